"""NASA's layout, as it comes and as it should not: made-up folders, read, learned from and judged."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from servers import dataset

from benchmarks import cmapss

POINTS = np.array([[0.0, 0.0, 100.0], [20.0, 0.7, 100.0], [42.0, 0.84, 60.0]])


def _run(unit: int, life: int, regimes: int, sensors: int, rng: np.random.Generator) -> np.ndarray:
    """One run to failure: a sensor that wears, one that stands still, and noise."""
    cycle = np.arange(1, life + 1)
    place = rng.integers(regimes, size=life)
    wear = np.clip(1 - (life - cycle) / 60, 0, None) ** 2
    readings = rng.normal(size=(life, sensors))
    readings[:, 0] = 500 + 100 * place + 5 * wear + rng.normal(0, 0.2, life)
    readings[:, 1] = 14.62
    flown = POINTS[place] + rng.normal(0, 0.001, (life, 3)) * [1, 1, 0]
    return np.column_stack([np.full(life, unit), cycle, flown, readings])


def _write(path: Path, rows: np.ndarray) -> None:
    path.write_text("".join(" ".join(f"{value:g}" for value in row) + "  \n" for row in rows))


def _folder(
    folder: Path, subset: str, *, regimes: int = 1, sensors: int = 21, units: int = 10, holes: bool = False
) -> Path:
    """Write train, test and RUL of a subset; the first test unit has run three cycles only."""
    rng = np.random.default_rng(0)
    runs = [_run(n + 1, int(rng.integers(70, 100)), regimes, sensors, rng) for n in range(2 * units)]
    left = [len(runs[units]) - 3, *rng.integers(5, 60, units - 1)]
    test = [
        run[: len(run) - gone] - [units, *[0] * (run.shape[1] - 1)]
        for run, gone in zip(runs[units:], left, strict=True)
    ]
    for name, part in (("train", np.vstack(runs[:units])), ("test", np.vstack(test))):
        if holes:
            part[::9, 5] = np.nan
            part[4::17, 2:] = np.nan
        _write(folder / f"{name}_{subset}.txt", np.vstack([part, np.full((int(holes), part.shape[1]), np.nan)]))
    _write(folder / f"RUL_{subset}.txt", np.array(left, dtype=float)[:, None])
    return folder


def _told(folder: Path, subset: str, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, float]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["cmapss", "--dir", str(folder), "--subset", subset, "--seeds", "1", *more])
        cmapss.main()
    found: dict[str, float] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("subset", "regimes", "sensors", "holes"), [("FD002", 3, 21, False), ("FD003", 1, 22, True), ("FD004", 3, 20, True)]
)
def test_other_subsets_are_learned_and_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], subset: str, regimes: int, sensors: int, holes: bool
) -> None:
    found = _told(_folder(tmp_path, subset, regimes=regimes, sensors=sensors, holes=holes), subset, capsys)
    assert (found["subset"], found["part"], found["units"]) == (subset, "test", 10)
    assert found["rmse_raw"] < 25
    assert found["share_within_interval"] >= 0.7
    assert 0 < found["interval_width"] < cmapss.CAP


def test_training_units_are_judged_by_the_others_at_random_cycles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _folder(tmp_path, "FD001")
    runs = cmapss.read_subset(folder, "FD001")[0]
    worn = runs.groupby("unit")["s1"].agg(set)
    seen: list[int] = []

    def judge(train: pd.DataFrame, test: pd.DataFrame, true: np.ndarray, seed: int) -> pd.DataFrame:
        left_out = [unit for unit in worn.index if unit not in set(train["unit"])]
        assert set(test["s1"]) <= set().union(*worn[left_out])
        lengths = test.groupby("unit")["cycle"].max().to_numpy()
        lives = np.repeat([len(runs[runs["unit"] == unit]) for unit in left_out], cmapss.CUTS)
        assert (lengths >= cmapss.SHORTEST).all()
        assert (lengths + true == lives).all()
        seen.extend(left_out)
        return pd.DataFrame({"life": true + 3, "low": true, "high": true + 5, "true": true})

    monkeypatch.setattr(cmapss, "judge", judge)
    found = _told(folder, "FD001", capsys, "--cross-validate")
    assert sorted(seen) == list(worn.index)
    assert (found["part"], found["units"], found["rmse_raw"]) == ("train", 10, 3)
    assert (found["share_within_interval"], found["interval_width"]) == (1, 5)


def test_shares_held_are_told_by_predicted_life() -> None:
    judged = pd.DataFrame(
        [
            (0, 0, 9, 8),
            (30, 25, 35, 36),
            (31, 25, 35, 26),
            (125, 110, 125, 109),
            (124, 110, 125, 124),
            (124, 110, 125, 140),
        ],
        columns=["life", "low", "high", "true"],
    )
    assert cmapss.held_by_prediction(judged) == {"0-30": 0.5, "30-60": 1.0, "120-125": 0.5}
    assert cmapss.figures(judged)["share_within_interval_below_cap"] == 0.6


def test_nasas_layout_is_read_as_it_comes(tmp_path: Path) -> None:
    train, test, true = cmapss.read_subset(_folder(tmp_path, "FD003", sensors=20, holes=True), "FD003")
    assert list(train)[:6] == ["unit", "cycle", "setting1", "setting2", "setting3", "s1"]
    assert list(train)[-1] == "s20"
    assert train["s1"].isna().any()
    assert train["unit"].nunique() == 10
    assert test.groupby("unit").size().iloc[0] == 3
    assert len(true) == 10


def _lose(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def _add(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text((folder / name).read_text() + text)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_lose("train_FD001.txt"), r"no train_FD001.txt .*expected are train_FD001.txt, test_FD001.txt, RUL_FD001.txt"),
        (_lose("RUL_FD001.txt"), "no RUL_FD001.txt"),
        (_add("RUL_FD001.txt", "12\n"), "one number for each of the 10 units of test_FD001"),
        (_add("test_FD001.txt", "9 1 x " + "1 " * 23 + "\n"), "test_FD001.txt: .*x"),
        (_add("test_FD001.txt", "9 " * 30 + "\n"), "test_FD001.txt: .*26 fields"),
        (
            _add("train_FD001.txt", "1 1 " + "0 " * 24 + "\n"),
            "train_FD001: each row needs a unit and a cycle of its own",
        ),
        (lambda folder: (folder / "train_FD001.txt").write_text(""), "train_FD001.txt: "),
        (lambda folder: (folder / "train_FD001.txt").write_bytes(b"\xff\xfe\x00"), "train_FD001.txt: "),
        (lambda folder: (folder / "train_FD001.txt").write_text("1 1 0 0 0\n"), "5 columns; expected are unit, cycle"),
        (lambda folder: (folder / "train_FD001.txt").write_text("1 1 0 0 0 7\n"), "has 6 columns, test_FD001 has 26"),
    ],
)
def test_what_is_not_of_the_layout_is_named(tmp_path: Path, spoil: Callable[[Path], object], said: str) -> None:
    folder = _folder(tmp_path, "FD001")
    spoil(folder)
    with pytest.raises(SystemExit, match=said):
        cmapss.read_subset(folder, "FD001")


@pytest.mark.slow
def test_nasas_own_part_gives_what_the_documents_say(capsys: pytest.CaptureFixture[str]) -> None:
    found = _told(dataset("cmapss_fd001"), "FD001", capsys)
    assert found["rmse_capped"] < 11.2
    assert found["share_within_interval"] >= 0.9

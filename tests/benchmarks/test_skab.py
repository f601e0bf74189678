"""The protocol of SKAB, on the real rig's data, and what may be read while the setting is chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from servers import dataset

from benchmarks import skab
from benchmarks.skab_choice import faulty_cases, healthy_cases
from models.detectors.windowed import WINDOW, Windowed

SIGNALS_OF_THE_RIG = (*skab.SIGNALS, "Current", "Pressure", "Temperature", "Thermocouple", "Voltage")


def test_rates_are_shares_of_sound_and_of_faulty_rows() -> None:
    alarm = np.array([True, True, False, False, True])
    fault = np.array([True, False, True, False, True])
    found = skab.rates(alarm, fault)
    assert (found["far"], found["mar"]) == (0.5, 1 - 2 / 3)
    assert found["f1"] == 2 * 2 / (3 + 3)


def test_both_layouts_give_the_same_experiments(tmp_path: Path) -> None:
    experiments = skab.read_file(dataset("skab") / "skab.csv.gz")
    few = {name: experiments[name] for name in ("anomaly-free/anomaly-free", "valve1/0", "other/9")}
    for name, rows in few.items():
        path = tmp_path / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        rows.drop(columns="experiment").to_csv(path, sep=";", index=False)
    read = skab.read_folder(tmp_path)
    assert set(read) == set(few)
    pd.testing.assert_frame_equal(skab.named(read)[list(skab.SIGNALS)].sort_index(), skab.named(few).sort_index())
    assert skab.measured(read) == skab.measured(few)


def test_the_published_protocol_gives_what_the_documents_say() -> None:
    found = skab.measured(skab.read_file(dataset("skab") / "skab.csv.gz"))
    assert (found["experiments"], found["rows"]) == (34, 23_801)
    assert found["f1"] > 0.77 > found["f1_always_alarm"]
    assert found["far"] < 0.13
    assert found["mar"] < 0.31


def test_a_score_is_read_of_rows_up_to_the_delay_and_no_later() -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(800, 3)), columns=list(skab.SIGNALS))
    changed = rows.copy()
    changed.iloc[600:] += 5.0
    detector = Windowed().fit(skab.named({"a": rows[:400]}))
    before, after = (skab.scored(detector, "a", frame[:400], frame[400:]) for frame in (rows, changed))
    delay = WINDOW // 2 + skab.SMOOTHED
    np.testing.assert_array_equal(before[: 200 - delay], after[: 200 - delay])
    assert (after[200:] > before[200:]).mean() > 0.99
    assert (after[: 200 - delay // 2] > before[: 200 - delay // 2] + 1).mean() < 0.01


def test_the_choice_reads_no_label_and_no_row_of_a_fault() -> None:
    """With labels turned and all rows after the first 400 replaced, the healthy rows and the faults are the same."""
    experiments = skab.read_file(dataset("skab") / "skab.csv.gz")
    names = [name for name in experiments if name.startswith(("anomaly-free", "valve1", "other/1"))]
    hidden = {}
    for name in names:
        rows = experiments[name].copy()
        rows[["anomaly", "changepoint"]] = 1 - rows[["anomaly", "changepoint"]]
        if not name.startswith("anomaly-free"):
            rows.loc[400:, list(SIGNALS_OF_THE_RIG)] = 1e6
        hidden[name] = rows
    seen = {}
    for key, given in {"given": {name: experiments[name] for name in names}, "hidden": hidden}.items():
        healthy = healthy_cases(given)
        seen[key] = [*healthy, *faulty_cases(healthy, 1, seed=3)]
    assert {case.source for case in seen["given"]} == set(skab.SOURCES)
    for one, other in zip(seen["given"], seen["hidden"], strict=True):
        assert one.name == other.name
        signals = list(SIGNALS_OF_THE_RIG)
        pd.testing.assert_frame_equal(one.rows[signals], other.rows[signals])
        pd.testing.assert_frame_equal(one.training[signals], other.training[signals])


def test_a_made_up_fault_stays_within_its_rows_but_for_what_lags() -> None:
    experiments = skab.read_file(dataset("skab") / "skab.csv.gz")
    healthy = healthy_cases({name: experiments[name] for name in ("anomaly-free/anomaly-free", "valve1/0", "valve1/1")})
    by_name = {(case.source, case.name): case for case in healthy}
    for case in faulty_cases(healthy, 3, seed=1):
        moved = (case.rows[list(skab.SIGNALS)] != by_name[case.source, case.name].rows[list(skab.SIGNALS)]).any(axis=1)
        first, last = np.flatnonzero(case.fault)[[0, -1]]
        assert not moved.to_numpy()[:first].any()
        assert not moved.to_numpy()[last + 21 :].any()


def test_a_choice_keeps_to_its_share_of_healthy_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    experiments = skab.read_file(dataset("skab") / "skab.csv.gz")
    few = {name: experiments[name] for name in ("anomaly-free/anomaly-free", "valve1/0", "valve1/1", "valve1/2")}
    monkeypatch.setattr(skab, "SETTINGS", ((skab.SIGNALS, 20, 2.0, 45),))
    (row,) = skab.choose(few, seeds=(1,))
    assert sum(share * row[source] for source, share in skab.SOURCES.items()) <= skab.HEALTHY_FAR
    assert 0 < row["mar"] < 1

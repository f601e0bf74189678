"""How many days are left: said of assets never seen, held as often as promised, and not said without grounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models import remaining_days
from models.arrays import load_arrays, save_arrays
from models.boosted_trees import TREE_ARRAYS
from models.remaining_days import RemainingDays

HORIZON = 7
Fleet = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _fleet(seed: int, *, assets: int = 60) -> Fleet:
    """Rows, days left, assets, openings: the first column falls as the failure comes; tickets open four days before."""
    rng = np.random.default_rng(seed)
    asset = np.repeat(np.arange(assets), HORIZON)
    shown = np.tile(np.arange(HORIZON, 0, -1.0), assets)
    matrix = np.column_stack([shown + rng.normal(0, 0.5, len(asset)), rng.normal(0, 1, len(asset))])
    opens = np.tile(np.arange(HORIZON, 0, -1) == 4, assets)
    return matrix, shown - 0.75, asset.astype(str), opens


def _fit(fleet: Fleet) -> RemainingDays | None:
    return RemainingDays.fit(*fleet, horizon_days=HORIZON, seed=0)


def test_nine_of_ten_of_a_fleet_never_seen_are_held_and_the_nearer_the_fewer_days_are_said() -> None:
    model = _fit(_fleet(0))
    assert model is not None
    matrix, left, _, opens = _fleet(1)
    said = model.predict(matrix)
    assert 0.8 <= np.mean([a.low <= days <= a.high for a, days in zip(said, left, strict=True) if days == 3.25]) <= 1.0
    assert 0 < np.mean([one.high - one.low for one, opened in zip(said, opens, strict=True) if opened]) < 3
    expected = np.array([one.expected for one in said])
    assert np.abs(expected - left).mean() < 0.7
    assert all(0 <= one.low <= one.expected <= one.high <= HORIZON for one in said)


def test_what_tells_nothing_gives_a_wide_interval() -> None:
    matrix, left, assets, opens = _fleet(0)
    told, blind = _fit((matrix, left, assets, opens)), _fit((matrix[:, 1:], left, assets, np.ones_like(opens)))
    assert told is not None
    assert blind is not None
    widths = [
        np.mean([one.high - one.low for one in model.predict(rows)])
        for model, rows in ((told, matrix), (blind, matrix[:, 1:]))
    ]
    assert widths[1] > 2 * widths[0]


def test_too_few_tickets_promise_nothing() -> None:
    assert _fit(_fleet(0, assets=8)) is None
    few, days, eight, opened = _fleet(0, assets=8)
    assert _fit((few, days, eight, np.ones_like(opened))) is None  # the tickets of one asset are alike
    matrix, left, assets, opens = _fleet(0)
    assert _fit((matrix, left, assets, np.zeros_like(opens))) is None


def test_no_asset_is_judged_by_trees_that_learned_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, left, assets, opens = _fleet(0)
    matrix[:, 1] = assets.astype(float)  # whose row it is
    learned: list[set[float]] = []
    judged: list[set[float]] = []
    grown = remaining_days._grown

    class Noted:
        def __init__(self, rows: np.ndarray, days: np.ndarray, seed: int) -> None:
            learned.append(set(rows[:, 1]))
            self._trees = grown(rows, days, seed)

        def raw(self, rows: np.ndarray) -> np.ndarray:
            judged.append(set(rows[:, 1]))
            return self._trees.raw(rows)

    monkeypatch.setattr(remaining_days, "_grown", Noted)
    assert _fit((matrix, left, assets, opens)) is not None
    assert len(judged) == remaining_days.FOLDS
    assert not any(some & others for some, others in zip(learned, judged, strict=False))
    assert set.union(*judged) == set(matrix[:, 1])


def test_of_many_days_a_share_teaches_nearly_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remaining_days, "MOST_ROWS", 150)  # of 420
    model = _fit(_fleet(0))
    assert model is not None
    matrix, left, _, _ = _fleet(1)
    expected = np.array([one.expected for one in model.predict(matrix)])
    assert np.abs(expected - left).mean() < 0.9


def test_what_is_saved_comes_back_and_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    model = _fit(_fleet(0))
    assert model is not None
    file = tmp_path / "days.npz"
    model.save(file)
    matrix = _fleet(1)[0]
    assert RemainingDays.load(file, HORIZON, 2).predict(matrix) == model.predict(matrix)
    with pytest.raises(ValueError, match="leads out of itself"):
        RemainingDays.load(file, HORIZON, 0)
    arrays = dict(load_arrays(file, (*TREE_ARRAYS, "edges", "reach")))
    arrays["reach"] = arrays["reach"][:1]
    save_arrays(file, arrays)
    with pytest.raises(ValueError, match=r"days\.npz: the interval's arrays do not fit"):
        RemainingDays.load(file, HORIZON, 2)

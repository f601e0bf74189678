"""Whether new data is still of the old kind."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.drift import MOVED, drift, stability_index


def _panel(seed: int, days: int = 400, *, shift: float = 0.0, features: int = 6) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({f"s{n}.mean": rng.normal(shift, 1, days) for n in range(features)})


def test_the_same_kind_of_data_has_not_moved() -> None:
    found = drift(_panel(1), _panel(2))
    assert found.compared == 6
    assert not found.moved
    assert found.objection() == ""


def test_what_moved_is_named_and_most_of_it_is_an_objection() -> None:
    moved = _panel(2)
    moved[["s0.mean", "s4.mean"]] += 2.0
    found = drift(_panel(1), moved)
    assert [name for name, _ in found.moved] in (["s0.mean", "s4.mean"], ["s4.mean", "s0.mean"])
    assert found.objection() == ""
    assert "6 of 6 features have moved" in drift(_panel(1), _panel(2, shift=2.0)).objection()


def test_a_feature_that_is_no_longer_reported_is_an_objection() -> None:
    for new in (_panel(2).assign(**{"s1.mean": np.nan}), _panel(2).drop(columns="s1.mean")):
        assert "s1.mean" in drift(_panel(1), new).objection()


def test_of_few_days_nothing_is_said() -> None:
    assert drift(_panel(1), _panel(2, days=20, shift=9.0)).compared == 0
    assert drift(_panel(1, days=20), _panel(2, shift=9.0)).objection() == ""


def test_the_index_is_that_of_a_worked_example() -> None:
    # Old: ten equal bins. New: a tenth of the lowest bin's share moved to the highest one's.
    old = np.repeat(np.arange(10.0), 100)
    new = np.concatenate([old[10:], np.full(10, 9.0)])
    expected = (0.09 - 0.10) * np.log(0.09 / 0.10) + (0.11 - 0.10) * np.log(0.11 / 0.10)
    assert stability_index(old, new) == pytest.approx(expected, abs=1e-4)
    assert stability_index(old, old + 20) > MOVED

"""Regimes: found where conditions gather about points, and what is left of a sensor is what the unit's wear did."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.regimes import Regimes
from models.remaining_life import RemainingLife

POINTS = np.array([[0.0, 0.0, 100.0], [10.0, 0.25, 100.0], [25.0, 0.62, 60.0], [42.0, 0.84, 100.0]])
CONDITIONS = ("height", "mach", "throttle")


def _runs(seed: int, units: int, *, regimes: bool) -> pd.DataFrame:
    """Whole runs; each cycle in a regime drawn by chance, which moves a sensor fifty times as far as wear does."""
    rng = np.random.default_rng(seed)
    runs = []
    for unit in range(units):
        life = int(rng.integers(120, 260))
        cycle = np.arange(1, life + 1)
        wear = np.clip(1 - (life - cycle) / 90, 0, None) ** 2
        place = rng.integers(len(POINTS), size=life) if regimes else np.zeros(life, dtype=int)
        flown = POINTS[place] + rng.normal(0, 0.002, (life, 3)) * [1, 1, 0]
        hot = 500.0 + 250.0 * place + (1 + place) * (5 * wear + rng.normal(0, 0.3, life))
        still = 14.62 + 0.1 * place
        columns = {"unit": unit, "cycle": cycle, "hot": hot, "still": still}
        runs.append(pd.DataFrame(columns | dict(zip(CONDITIONS, flown.T, strict=True))))
    return pd.concat(runs, ignore_index=True)


def test_regimes_are_found_as_many_as_there_are() -> None:
    runs = _runs(1, 10, regimes=True)
    found = Regimes.find(runs, CONDITIONS, ("hot", "still"))
    assert found is not None
    assert sorted(np.round(found.centres[:, 0] * found.scale[0]).tolist()) == [0, 10, 25, 42]
    plain = found.normalised(runs)
    assert abs(plain["hot"].mean()) < 1e-6
    assert abs(plain["hot"].std() - 1) < 0.01
    assert not plain["still"].any()


def test_rows_that_are_incomplete_do_not_count() -> None:
    runs = _runs(1, 10, regimes=True)
    holed = runs.copy()
    holed.loc[::7, "mach"] = np.nan
    holed.loc[3::11, "hot"] = np.nan
    found = Regimes.find(holed, CONDITIONS, ("hot", "still"))
    assert found is not None
    plain = found.normalised(holed)
    assert plain["hot"].isna().equals(holed[["mach", "hot"]].isna().any(axis=1))
    assert abs(plain["hot"].mean()) < 1e-6


def test_conditions_that_wander_make_no_regimes() -> None:
    runs = _runs(2, 10, regimes=False)
    assert Regimes.find(runs, CONDITIONS, ("hot",)) is None
    assert Regimes.find(runs.assign(height=0.0, mach=0.0), CONDITIONS, ("hot",)) is None


def test_a_few_rows_make_no_regimes() -> None:
    runs = _runs(2, 1, regimes=True).head(2)
    assert Regimes.find(runs, CONDITIONS, ("hot",)) is None


@pytest.mark.slow
def test_life_is_foretold_as_well_in_several_regimes_as_in_one() -> None:
    errors = {}
    for several in (True, False):
        model = RemainingLife.fit(_runs(3, 25, regimes=several), CONDITIONS, seeds=1)
        assert (model.regimes is not None) == several
        whole = _runs(4, 25, regimes=several)
        left = pd.Series(np.random.default_rng(0).integers(5, 80, 25))
        longest = whole.groupby("unit")["cycle"].transform("max")
        cut = whole[whole["cycle"] <= longest - whole["unit"].map(left)].reset_index(drop=True)
        errors[several] = np.sqrt(np.mean((model.predict(cut)["life"] - left) ** 2))
    assert errors[True] < 1.25 * errors[False]

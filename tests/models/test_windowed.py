"""What the windowed detector promises of raw signals, beyond what every detector does."""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.detectors.windowed import Windowed

SIGNALS = ["flow", "temperature"]


def _run(seed: int, *, level: float = 10.0, noise: float = 1.0, step: float = 0.0, rows: int = 400) -> pd.DataFrame:
    """A steady flow with noise, and a temperature that wanders by ``step`` a row."""
    rng = np.random.default_rng(seed)
    flow = level + noise * rng.normal(size=rows)
    temperature = 5 * level + np.cumsum(step * rng.normal(size=rows)) + 0.1 * noise * rng.normal(size=rows)
    return pd.DataFrame(np.column_stack([flow, temperature]), columns=SIGNALS)


def test_each_asset_is_taken_against_its_own_level_and_scale() -> None:
    """A large and a small pump: what is usual for one is a fault of the other."""
    detector = Windowed().fit(pd.concat({"large": _run(1, level=100.0, noise=5.0), "small": _run(2)}))
    for name, level, noise in (("large", 100.0, 5.0), ("small", 10.0, 1.0)):
        usual = detector.score(pd.concat({name: _run(3, level=level, noise=noise, rows=100)}))
        low = detector.score(pd.concat({name: _run(3, level=level - 2 * noise, noise=noise, rows=100)}))
        assert low[20:].min() > usual[20:].max()


def test_an_asset_that_was_not_learned_from_is_taken_for_a_middling_one() -> None:
    detector = Windowed().fit(pd.concat({f"pump {i}": _run(i) for i in range(5)}))
    known, unknown = (detector.score(pd.concat({name: _run(9, rows=200)}))[20:] for name in ("pump 1", "new"))
    assert abs(unknown.median() - known.median()) < 0.5
    assert detector.score(pd.concat({"new": _run(9, level=14.0, rows=200)}))[20:].min() > unknown.max()


def test_what_the_others_wander_gives_room_to_one_whose_training_stood_still() -> None:
    still = _run(1)
    others = {f"pump {i}": _run(i, step=0.3) for i in range(2, 9)}
    alone, among = Windowed().fit(pd.concat({"still": still})), Windowed().fit(pd.concat({"still": still} | others))
    later = pd.concat({"still": _run(20).assign(temperature=lambda rows: rows["temperature"] + 3)})
    assert among.score(later)[20:].median() < 0.7 * alone.score(later)[20:].median()


def test_a_wandering_signal_is_taken_from_where_it_was_last() -> None:
    """A temperature that rose all through the training is no fault where it ended, and is one where it began."""
    rising = _run(1, rows=400)
    rising["temperature"] += np.linspace(0, 20, 400)
    detector = Windowed().fit(rising)
    end, begin = (
        detector.score(_run(2, rows=100).assign(temperature=lambda rows, at=at: rows["temperature"] + at))[20:]
        for at in (20, 0)
    )
    assert (end < begin).all()


def test_signals_that_agree_say_more_than_one_that_went_far() -> None:
    training = pd.DataFrame(np.random.default_rng(1).normal(size=(400, 6)), columns=list("abcdef"))
    detector = Windowed().fit(training)
    later = pd.DataFrame(np.random.default_rng(2).normal(size=(100, 6)), columns=list("abcdef"))
    several = detector.score(later + 2.0)[20:]
    one = detector.score(later.assign(a=later["a"] + 2.0 * 6))[20:]
    assert several.min() > one.max()

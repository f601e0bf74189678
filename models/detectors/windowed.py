"""Windowed: whether a short stretch of raw signals lies and moves as it did while nothing was wrong."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.arrays import load_arrays, save_arrays
from models.grid import Floats
from models.scaling import MIN_ROWS, SCALING_ARRAYS, Scaling

WINDOW = 20
"""Rows of a window, the row itself and those before it: at one sample a second, a third of a minute."""
HORIZON = 4.0
"""Half trainings ahead for which a wandering signal is given room."""
CLIP = 60.0
"""Spreads beyond which a single sample says nothing more."""
MIN_SPREAD = 0.05
"""Movement within a window, in spreads of the training, below which less says nothing more."""


class Windowed:
    """The root mean square, over signals, of how unusual the mean and the movement of the last rows are; about one.

    Rows are samples in the order of their time, of one asset after the other (the first level of an index of two). Of
    each signal, scaled by its training, a window has a mean and a log standard deviation. Each is taken against its
    mean over the training's windows, in a spread that knows how signals wander: between windows that are next to each
    other they differ by noise, D(w) / 2; half a training apart by noise and wander, D(n / 2) / 2 (D: mean squared
    difference at a lag, the structure function). A steady drift's part grows with the square of the time, so

        spread^2 = noise + HORIZON^2 * wander

    and a temperature that rose all through the training raises nothing by rising on. A window with gaps says less: it
    counts by the square root of its share that is known. A signal's part is its share of the sum of squares.
    """

    name: ClassVar[str] = "windowed"
    reads: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *, seed: int = 0, window: int = WINDOW, horizon: float = HORIZON) -> None:
        del seed  # nothing is drawn
        self._window, self._horizon = window, horizon
        self._scaling: Scaling | None = None
        self._centre = self._spread = np.empty(0)

    def fit(self, matrix: pd.DataFrame) -> Self:
        """Learn from samples without a fault. Raises ``ValueError`` on too few rows, or where no signal varies."""
        if len(matrix) < MIN_ROWS + self._window:
            raise ValueError(f"{len(matrix)} rows are too few to learn from; {MIN_ROWS + self._window} are needed")
        self._scaling = Scaling.fit(matrix)
        run = _runs(matrix)
        place = np.arange(len(run)) - np.searchsorted(run, run)
        features, _ = self._features(matrix)
        features[place < self._window - 1] = np.nan
        half = (int(place.max()) + 2 - self._window) // 2
        noise, far = (_differences(features, run, lag) / 2 for lag in (self._window, max(half, 1)))
        whole = _mean((features - _mean(features)) ** 2)
        wander = np.maximum(np.nan_to_num(far) - np.nan_to_num(noise), 0.0)
        steady = np.maximum(np.nan_to_num(noise), np.nan_to_num(whole) - wander)
        self._centre = np.nan_to_num(_mean(features))
        self._spread = np.maximum(np.sqrt(steady + self._horizon**2 * wander), 1e-6)
        return self

    def score(self, matrix: pd.DataFrame) -> pd.Series:
        """Return the root mean square of each row's window, NaN for a row of which nothing is known."""
        squares, known = self._squares(matrix)
        count = np.isfinite(squares).sum(axis=1)
        mean = np.nansum(squares, axis=1) / np.where(known & (count > 0), count, np.nan)
        return pd.Series(np.sqrt(mean), index=matrix.index, name=self.name)

    def contributions(self, matrix: pd.DataFrame) -> pd.DataFrame:
        """Return each signal's share of the sum of squares, of mean and movement together."""
        squares, known = self._squares(matrix)
        means, movements = np.split(np.where(known[:, None], np.nan_to_num(squares), 0.0), 2, axis=1)
        return self._fitted.shares(means + movements, matrix)

    def save(self, folder: Path) -> None:
        """Write ``windowed.npz``."""
        learned = {"level": self._centre, "width": self._spread, "window": np.array(self._window)}
        save_arrays(folder / "windowed.npz", {**self._fitted.arrays(), **learned})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``windowed.npz``. Raises ``ValueError``."""
        arrays = load_arrays(folder / "windowed.npz", (*SCALING_ARRAYS, "level", "width", "window"))
        scaling, window = Scaling.from_arrays(arrays), arrays["window"]
        if arrays["level"].shape != (2 * len(scaling.features),) or arrays["level"].shape != arrays["width"].shape:
            raise ValueError("windowed.npz: level and width do not fit the signals")
        if window.shape != () or not 2 <= int(window) <= 100_000:
            raise ValueError("windowed.npz: not a window's length")
        detector = cls(window=int(window))
        detector._scaling, detector._centre, detector._spread = scaling, arrays["level"], arrays["width"]
        return detector

    @property
    def _fitted(self) -> Scaling:
        if self._scaling is None:
            raise ValueError("the detector was not fitted")
        return self._scaling

    def _squares(self, matrix: pd.DataFrame) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the squared deviations of each row's window, and of which rows anything is known."""
        features, count = self._features(matrix)
        squares = ((features - self._centre) / self._spread) ** 2 * np.tile(count / self._window, 2)
        known = np.isfinite(matrix.reindex(columns=list(self._fitted.features)).to_numpy(dtype=np.float64))
        return squares, known.any(axis=1)

    def _features(self, matrix: pd.DataFrame) -> tuple[Floats, Floats]:
        """Return mean and log movement of each row's window, and how many of its samples are known."""
        scaled = np.clip(self._fitted.apply(matrix), -CLIP, CLIP)
        run = _runs(matrix)
        start = np.maximum(np.arange(len(run)) + 1 - self._window, np.searchsorted(run, run))

        def within(values: Floats) -> Floats:
            total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
            return np.asarray(total[1:] - total[start])

        values, count = np.nan_to_num(scaled), within(np.isfinite(scaled).astype(np.float64))
        mean = within(values) / np.where(count > 0, count, np.nan)
        left = np.maximum(within(values**2) - count * mean**2, 0.0)
        variance = left / np.where(count > 2, count - 1, np.nan)
        return np.concatenate([mean, np.log(variance + MIN_SPREAD**2) / 2], axis=1), count


def _runs(matrix: pd.DataFrame) -> NDArray[np.intp]:
    """Number the runs of rows that are of one asset."""
    if matrix.index.nlevels < 2 or matrix.empty:
        return np.zeros(len(matrix), dtype=np.intp)
    asset = pd.factorize(matrix.index.get_level_values(0))[0]
    return np.cumsum(np.append(False, asset[1:] != asset[:-1]))


def _differences(features: Floats, run: NDArray[np.intp], lag: int) -> Floats:
    """Mean squared difference between windows of one run that are ``lag`` rows apart; NaN where there are none."""
    if len(run) <= lag:
        return np.full(features.shape[1], np.nan)
    return _mean(((features[lag:] - features[:-lag]) ** 2)[run[lag:] == run[:-lag]])


def _mean(values: Floats) -> Floats:
    known = np.isfinite(values).sum(axis=0)
    return np.asarray(np.nansum(values, axis=0) / np.where(known > 0, known, np.nan))

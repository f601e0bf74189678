"""Windowed: whether a short stretch of raw signals lies and moves as it did while nothing was wrong."""

from __future__ import annotations

from dataclasses import dataclass
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
HORIZON = 2.0
"""Half trainings ahead for which a wandering signal is given room."""
CLIP = 60.0
"""Spreads beyond which a single sample says nothing more."""
MIN_SPREAD = 0.05
"""Movement within a window, in spreads of the training, below which less says nothing more."""
MIN_WIDTH = 1e-6

_MAD_TO_SIGMA = 1.4826
_LEARNED = ("assets", "middle", "scale", "level", "width")


@dataclass(frozen=True)
class _Own:
    """What one asset's training says: its scale, and of its windows' features centre, noise and wander."""

    middle: Floats
    scale: Floats
    values: Floats
    centre: Floats
    noise: Floats
    wander: Floats
    lag: int


class Windowed:
    """The mean over signals of log(1 + z^2), z how unusual the mean and the movement of the last rows are.

    Rows are samples in the order of their time, of one asset after the other (the first level of an index of two).
    Each asset has its own scale and level; how far signals wander, a short training hardly tells, so half of that is
    the asset's own and half the median of all assets (one that was not learned from gets medians throughout).

    Of each signal, scaled by its training, a window has a mean and a log standard deviation. Each is taken against a
    level, in a spread that knows how signals wander: between windows that are next to each other they differ by noise,
    D(w) / 2; half a training apart by noise and wander, D(n / 2) / 2 (D: mean squared difference at a lag, the
    structure function). A steady drift's part grows with the square of the time, so

        spread^2 = noise + HORIZON^2 * wander

    and a temperature that rose all through the training raises nothing by rising on. The level of a movement is its
    mean; that of a mean is where the signal was last, averaged over as long as its wander lets the past count: the
    gain of a Kalman filter for a local level (Durbin & Koopman, Time Series Analysis by State Space Methods, 2.11).

    log(1 + z^2) is the surprise of a Cauchy law: several signals that agree say more than one that went far away. A
    window with gaps says less: its z^2 counts by its share that is known. A signal's part is its share of the sum.
    """

    name: ClassVar[str] = "windowed"
    reads: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *, seed: int = 0, window: int = WINDOW, horizon: float = HORIZON) -> None:
        del seed  # nothing is drawn
        self._window, self._horizon = window, horizon
        self._scaling: Scaling | None = None
        self._assets: NDArray[np.str_] = np.array([], dtype=np.str_)
        self._middle = self._scale = self._level = self._width = np.empty((0, 0))

    def fit(self, matrix: pd.DataFrame) -> Self:
        """Learn from samples without a fault. Raises ``ValueError`` on too few rows, or where no signal varies."""
        least = MIN_ROWS + self._window
        self._scaling = Scaling.fit(matrix)
        names, asset = _assets_of(matrix)
        enough = np.bincount(asset, minlength=len(names)) >= least
        if not enough.any():
            raise ValueError(f"too few rows to learn from: {least} of one asset are needed")
        owns = [self._learned(matrix[asset == number]) for number in np.flatnonzero(enough)]
        noise, wander = (_with_median([getattr(own, part) for own in owns]) for part in ("noise", "wander"))
        noise, wander = (noise + noise[-1]) / 2, (wander + wander[-1]) / 2
        levels = []
        for own, quiet, far in zip(owns, noise, wander, strict=False):  # the last is no asset's: the medians
            signals = len(own.middle)
            last = _last_level(own.values, quiet[:signals] * self._window, 2 * far[:signals] / own.lag)
            levels.append(np.concatenate([last, own.centre[signals:]]))
        self._assets = names[enough]
        self._middle, self._scale = (
            _with_median([own.middle for own in owns]),
            _with_median([own.scale for own in owns]),
        )
        self._level = _with_median(levels)
        self._width = np.maximum(np.sqrt(noise + self._horizon**2 * wander), MIN_WIDTH)
        return self

    def score(self, matrix: pd.DataFrame) -> pd.Series:
        """Return the mean surprise of each row's window, NaN for a row of which nothing is known."""
        surprise, known = self._surprise(matrix)
        count = np.isfinite(surprise).sum(axis=1)
        mean = np.nansum(surprise, axis=1) / np.where(known & (count > 0), count, np.nan)
        return pd.Series(mean, index=matrix.index, name=self.name)

    def contributions(self, matrix: pd.DataFrame) -> pd.DataFrame:
        """Return each signal's share of the surprise, of mean and movement together."""
        surprise, known = self._surprise(matrix)
        means, movements = np.split(np.where(known[:, None], np.nan_to_num(surprise), 0.0), 2, axis=1)
        return self._fitted.shares(means + movements, matrix)

    def save(self, folder: Path) -> None:
        """Write ``windowed.npz``."""
        learned = {name: getattr(self, f"_{name}") for name in (*_LEARNED, "window")}
        save_arrays(folder / "windowed.npz", {**self._fitted.arrays(), **learned})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``windowed.npz``. Raises ``ValueError``."""
        arrays = load_arrays(folder / "windowed.npz", (*SCALING_ARRAYS, *_LEARNED, "window"))
        scaling, window = Scaling.from_arrays(arrays), arrays["window"]
        if arrays["assets"].ndim != 1 or arrays["assets"].dtype.kind != "U":
            raise ValueError("windowed.npz: not the names of assets")
        for name, width in {"middle": 1, "scale": 1, "level": 2, "width": 2}.items():
            if arrays[name].shape != (len(arrays["assets"]) + 1, width * len(scaling.features)):
                raise ValueError(f"windowed.npz: {name} does not fit assets and signals")
        if window.shape != () or not 2 <= int(window) <= 100_000:
            raise ValueError("windowed.npz: not a window's length")
        detector = cls(window=int(window))
        detector._scaling = scaling
        for name in _LEARNED:
            setattr(detector, f"_{name}", arrays[name])
        return detector

    @property
    def _fitted(self) -> Scaling:
        if self._scaling is None:
            raise ValueError("the detector was not fitted")
        return self._scaling

    def _learned(self, matrix: pd.DataFrame) -> _Own:
        """Learn from one asset's rows; a signal that says nothing of its scale here has the scale of all rows."""
        fitted = self._fitted
        values = pd.DataFrame(_values(matrix, fitted))
        middle = values.median().to_numpy()
        away = (values - middle).abs().median().to_numpy()
        spread = np.maximum(_MAD_TO_SIGMA * away, values.std(ddof=0).to_numpy())
        middle = np.where(np.isfinite(middle), middle, fitted.centre)
        scale = np.where(np.nan_to_num(spread) > 0, spread, fitted.spread)
        scaled = np.clip((values.to_numpy() - middle) / scale, -CLIP, CLIP)
        run = _runs(matrix)
        place = np.arange(len(run)) - np.searchsorted(run, run)
        features, _ = self._features(scaled, run)
        features[place < self._window - 1] = np.nan
        half = max((int(place.max()) + 2 - self._window) // 2, 1)
        near, far = (np.nan_to_num(_differences(features, run, lag) / 2) for lag in (self._window, half))
        centre, wander = np.nan_to_num(_mean(features)), np.maximum(far - near, 0.0)
        steady = np.maximum(near, np.nan_to_num(_mean((features - centre) ** 2)) - wander)
        return _Own(middle, scale, scaled, centre, steady, wander, half)

    def _surprise(self, matrix: pd.DataFrame) -> tuple[Floats, NDArray[np.bool_]]:
        """Return log(1 + z^2) of each row's window, and of which rows anything is known."""
        values = _values(matrix, self._fitted)
        names, asset = _assets_of(matrix)
        learned = {name: number for number, name in enumerate(self._assets)}
        row = np.array([learned.get(name, len(learned)) for name in names], dtype=np.intp)[asset]
        scaled = np.clip((values - self._middle[row]) / self._scale[row], -CLIP, CLIP)
        features, count = self._features(scaled, _runs(matrix))
        squares = ((features - self._level[row]) / self._width[row]) ** 2 * np.tile(count / self._window, 2)
        return np.log1p(squares), np.asarray(np.isfinite(values).any(axis=1))

    def _features(self, scaled: Floats, run: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """Return mean and log movement of each row's window, and how many of its samples are known."""
        start = np.maximum(np.arange(len(run)) + 1 - self._window, np.searchsorted(run, run))

        def within(values: Floats) -> Floats:
            total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
            return np.asarray(total[1:] - total[start])

        values, count = np.nan_to_num(scaled), within(np.isfinite(scaled).astype(np.float64))
        mean = within(values) / np.where(count > 0, count, np.nan)
        left = np.maximum(within(values**2) - count * mean**2, 0.0)
        variance = left / np.where(count > 2, count - 1, np.nan)
        return np.concatenate([mean, np.log(variance + MIN_SPREAD**2) / 2], axis=1), count


def _values(matrix: pd.DataFrame, scaling: Scaling) -> Floats:
    """Return the samples of the signals learned, NaN where one is not known."""
    values = matrix.reindex(columns=list(scaling.features)).to_numpy(dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _assets_of(matrix: pd.DataFrame) -> tuple[NDArray[np.str_], NDArray[np.intp]]:
    """Return the names of the assets and the number of each row's; without a level of assets there is one."""
    if matrix.index.nlevels < 2:
        return np.array([""], dtype=np.str_), np.zeros(len(matrix), dtype=np.intp)
    number, names = pd.factorize(matrix.index.get_level_values(0))
    return np.array([str(name) for name in names], dtype=np.str_), number


def _with_median(rows: list[Floats]) -> Floats:
    """Return one row per asset, and the medians as the last."""
    return np.vstack([*rows, np.median(rows, axis=0)])


def _last_level(values: Floats, noise: Floats, drift: Floats) -> Floats:
    """Return the steady-state local level after the last row, of variances per row: of samples, of the level's step."""
    ahead = (drift + np.sqrt(drift**2 + 4 * drift * noise)) / 2
    gain = np.divide(ahead, ahead + noise, out=np.zeros_like(ahead), where=ahead > 0)
    weights = (1 - gain) ** np.arange(len(values))[::-1, None] * np.isfinite(values)
    total = weights.sum(axis=0)
    return np.asarray((weights * np.nan_to_num(values)).sum(axis=0) / np.where(total > 0, total, 1.0))


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

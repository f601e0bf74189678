"""The signals of a history folder's telemetry, for each asset type, with how often it is sampled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from config.batches import batches
from config.infer_register import MAX_TITLE, Fleet
from config.instants import NO_TIME, instants
from config.measured import measured
from config.naming import signal_name
from config.register import Signal, Text
from config.source import ConfigError, Problem

SAMPLED_ASSETS = 20
"""Assets of each type whose times are looked at to find the period of its signals."""
SAMPLED_TIMES = 10_000
"""Times looked at for each of them."""


def read_signals(path: Path, fleet: Fleet) -> dict[str, tuple[Signal, ...]]:
    """Return the signals of each type (as the register calls it): columns in which one of its assets has a number.

    Raises:
        ConfigError: the table is broken, or two columns are the same signal.
    """
    held = measured(path)
    columns = held.columns
    names = _signal_names(path, columns)
    reported = np.zeros((len(fleet.types), len(columns)), dtype=bool)
    times = _Times()
    for batch in batches(path, ("asset_id", "time"), held.numbers, held.truths):
        types = fleet.type_numbers(batch.column("asset_id"), path.name)
        times.look(batch, types)
        for number in np.flatnonzero(~reported.all(axis=0)):
            values = batch.column(columns[number]).to_numpy(zero_copy_only=False)
            met = np.unique(types[np.isfinite(values) & (types >= 0)])
            reported[met, number] = True
    periods = times.periods(path.name)
    return {
        name: tuple(
            Signal(name=names[column], unit="1", period=periods.get(i), title=titled(column))
            for column, seen in zip(columns, reported[i], strict=True)
            if seen
        )
        for i, name in enumerate(fleet.types)
    }


def _signal_names(path: Path, columns: Iterable[str]) -> dict[str, str]:
    problems = []
    found: dict[str, str] = {}
    for column in columns:
        name = signal_name(column)
        other = next((known for known, taken in found.items() if taken == name), None)
        if other is not None:
            problems.append(Problem(path.name, 1, f"columns {other!r} and {column!r} are both the signal {name!r}"))
        found[column] = name
    if len(found) > 512:
        problems.append(Problem(path.name, 1, f"has {len(found)} signals; 512 are the most"))
    if problems:
        raise ConfigError(problems)
    return found


def titled(text: str) -> Text:
    """Return what people read where data calls something ``text``, in any language."""
    return Text(en=text[:MAX_TITLE], zh=text[:MAX_TITLE])


class _Times:
    """A bounded sample of times, to tell how far apart the samples of a type are."""

    def __init__(self) -> None:
        self._of_type: dict[int, dict[str, list[str]]] = defaultdict(dict)

    def look(self, batch: pa.RecordBatch, types: npt.NDArray[np.int64]) -> None:
        """Take times of the first assets of each type, from a batch with ``asset_id`` and ``time``."""
        ids = batch.column("asset_id")
        for number in np.unique(types[types >= 0]):
            sample = self._of_type[int(number)]
            if len(sample) < SAMPLED_ASSETS:
                for name in pc.unique(ids.filter(pa.array(types == number))).to_pylist():
                    if len(sample) < SAMPLED_ASSETS:
                        sample.setdefault(name, [])
            wanted = [name for name, taken in sample.items() if len(taken) < SAMPLED_TIMES]
            if not wanted:
                continue
            chosen = batch.select(["asset_id", "time"]).filter(pc.is_in(ids, pa.array(wanted)))
            for name, time in zip(*(column.to_pylist() for column in chosen.columns), strict=True):
                if time is not None and len(sample[name]) < SAMPLED_TIMES:
                    sample[name].append(time)

    def periods(self, file: str) -> dict[int, float]:
        """Return the median spacing in seconds of each type (by number) that has one."""
        found: dict[int, float] = {}
        for number, sample in self._of_type.items():
            gaps = [np.diff(np.unique(_instants(taken, file))) for taken in sample.values()]
            together = np.concatenate(gaps) if gaps else np.array([])
            if together.size:
                found[number] = float(np.median(together)) / 1e9
        return found


def _instants(texts: list[str], file: str) -> npt.NDArray[np.int64]:
    written = pd.Series(texts, dtype="str")
    found = instants(written)
    if found.isna().any():
        value = written[found.isna()].iloc[0]
        raise ConfigError([Problem(file, 0, f"column 'time': {value[:40]!r} {NO_TIME}")])
    return found.to_numpy(dtype="datetime64[ns]").astype(np.int64)

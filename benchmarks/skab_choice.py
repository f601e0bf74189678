"""Healthy rows and made-up faults of SKAB's rig, by which the setting of ``benchmarks.skab`` is chosen.

No label is read, and of the experiments with a fault only the first 400 rows. Sizes and signs of the faults are what
physics lets expect of the faults that SKAB's description names; as shares of a signal's level, so that a noisy sensor
does not make its fault large.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Flags = NDArray[np.bool_]

VIBRATION, FLOW = ("Accelerometer1RMS", "Accelerometer2RMS"), "Volume Flow RateRMS"
_HEAT = ("Temperature", "Thermocouple")
_STARTS_UP = "other/13"
"""Its first 400 rows hold the start of the pump, so they are no healthy continuation of anything."""
_STRETCH, _STEP, _TRAINING, _SHORT = 1100, 650, 400, 250
_NEXT = pd.Timedelta(seconds=90)

# Per kind: the least and the largest change of each signal, as a share of its level (of heat: in degrees), the chance
# that it rises, and how much more flow and vibration move at the largest.
_KINDS: dict[str, tuple[dict[str, tuple[float, float, float]], float]] = {
    "valve": (
        {
            FLOW: (0.003, 0.1, 0.0),
            VIBRATION[0]: (0.005, 0.15, 0.7),
            VIBRATION[1]: (0.005, 0.15, 0.7),
            "Current": (0.005, 0.08, 0.0),
            "Temperature": (0.2, 2.0, 0.5),
            "Thermocouple": (0.01, 0.1, 0.7),
        },
        1.6,
    ),
    "imbalance": (
        {VIBRATION[0]: (0.01, 0.3, 1.0), VIBRATION[1]: (0.01, 0.3, 1.0), "Current": (0.003, 0.05, 1.0)},
        2.0,
    ),
    "leak": (
        {
            FLOW: (0.003, 0.05, 0.3),
            VIBRATION[0]: (0.005, 0.05, 0.5),
            VIBRATION[1]: (0.005, 0.05, 0.5),
            "Thermocouple": (0.05, 1.0, 0.5),
        },
        1.0,
    ),
    "cavitation": (
        {
            FLOW: (0.01, 0.15, 0.0),
            VIBRATION[0]: (0.02, 0.4, 1.0),
            VIBRATION[1]: (0.02, 0.4, 1.0),
            "Current": (0.01, 0.1, 0.0),
        },
        3.0,
    ),
    "hot water": ({"Thermocouple": (0.3, 5.0, 1.0), "Temperature": (0.2, 2.0, 1.0)}, 1.0),
}
_OTHERS = {"imbalance": 0.5, "leak": 0.3, "cavitation": 0.14, "hot water": 0.06}


@dataclass(frozen=True)
class Case:
    """What follows a training: rows, and which of them are faulty (none, where ``source`` is compared for alarms)."""

    source: str
    name: str
    training: pd.DataFrame
    rows: pd.DataFrame
    fault: Flags


def trainings(experiments: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the first 400 rows of each experiment with a fault, in the order of time."""
    faulty = {name: rows for name, rows in experiments.items() if not name.startswith("anomaly-free")}
    begins = {name: pd.Timestamp(rows["datetime"].iloc[0]) for name, rows in faulty.items()}
    return {name: faulty[name].iloc[:_TRAINING] for name in sorted(faulty, key=begins.__getitem__)}


def healthy_cases(experiments: dict[str, pd.DataFrame]) -> list[Case]:
    """Return held-out healthy rows: soon after a training, in a long run without a fault, and 20 minutes later.

    *within*: rows 250 to 400 of each experiment, of which 250 are the training. *run*: stretches of the experiment
    without a fault. *next*: the first 400 rows of the experiment that followed at once, on the same rig.
    """
    known = {name: rows for name, rows in trainings(experiments).items() if name != _STARTS_UP}
    run = next(rows for name, rows in experiments.items() if name.startswith("anomaly-free")).reset_index(drop=True)
    cases = [_healthy("within", name, rows.iloc[:_SHORT], rows.iloc[_SHORT:]) for name, rows in known.items()]
    for begin in range(0, len(run) - _STRETCH, _STEP):
        stretch = run.iloc[begin : begin + _STRETCH]
        cases.append(_healthy("run", f"run {begin}", stretch.iloc[:_TRAINING], stretch.iloc[_TRAINING:]))
    for (name, rows), (_, later) in zip(list(known.items()), list(known.items())[1:], strict=False):
        ended = pd.Timestamp(experiments[name]["datetime"].iloc[-1])
        if pd.Timestamp(later["datetime"].iloc[0]) - ended < _NEXT:
            cases.append(_healthy("next", name, rows, later))
    return cases


def faulty_cases(healthy: list[Case], each: int, seed: int) -> Iterator[Case]:
    """Yield ``each`` copies of the long healthy cases with a fault in their middle."""
    rng = np.random.default_rng(seed)
    for case in healthy:
        if case.source == "within":
            continue
        for _ in range(each):
            length = len(case.rows)
            first = int(length * rng.uniform(0.15, 0.3))
            last = first + int(length * rng.uniform(0.43, 0.57))
            kind = (
                "valve" if case.name.startswith("valve") else str(rng.choice(list(_OTHERS), p=list(_OTHERS.values())))
            )
            fault = np.zeros(length, dtype=bool)
            fault[first:last] = True
            yield Case(case.source, case.name, case.training, _with_fault(case, kind, first, last, rng), fault)


def _healthy(source: str, name: str, training: pd.DataFrame, rows: pd.DataFrame) -> Case:
    return Case(source, name, training, rows, np.zeros(len(rows), dtype=bool))


def _with_fault(case: Case, kind: str, first: int, last: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return the rows with a fault whose effect comes and goes some seconds late; heat follows over minutes."""
    changes, movement = _KINDS[kind]
    severity = rng.random()
    first, last = first + int(rng.integers(0, 20)), min(last + int(rng.integers(0, 20)), len(case.rows))
    time = np.arange(last - first)
    share = time / len(time)
    growth = [np.minimum(1, time / 15), np.minimum(1, share * 3), 1 - np.exp(-share * 8), np.ceil(share * 3 + 1e-9) / 3]
    shape = growth[rng.choice(4, p=[0.55, 0.15, 0.2, 0.1])]
    changed = case.rows.copy()
    for name, (least, largest, rises) in changes.items():
        size = least * (largest / least) ** np.clip(severity + 0.2 * rng.normal(), 0, 1)
        size *= 1 if rng.random() < rises else -1
        values = changed[name].to_numpy(dtype=np.float64, copy=True)
        if name in _HEAT:
            source = np.zeros(len(values))
            source[first:last] = size
            inertia = rng.uniform(60, 300)
            values += pd.Series(source).ewm(alpha=1 / inertia, adjust=False).mean().to_numpy()
        else:
            during = values[first:last]
            if name != "Current":
                during = during.mean() + (during - during.mean()) * (1 + (movement - 1) * severity)
            values[first:last] = during + size * shape * abs(case.training[name].median())
        changed[name] = values
    return changed

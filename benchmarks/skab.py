"""Faults on a real water-pump rig: SKAB's 34 experiments by its published protocol, with the windowed detector.

    python -m benchmarks.skab --file skab.csv.gz     one file, whose column ``experiment`` names each
    python -m benchmarks.skab --dir SKAB/data        SKAB's own folders: anomaly-free/, valve1/, valve2/, other/
    python -m benchmarks.skab --file ... --choose    the choice of the setting; reads no label, and no row after the
                                                     first 400 but of the experiment without a fault

Fitted on the first 400 rows of each experiment, scored on the rest, outlier task: F1, false-alarm rate (FAR) and
missed-alarm rate (MAR) over the rows of all experiments together. One setting serves all. Nothing is drawn by chance.
The last line is one JSON object; docs/evaluation.md says how the setting was chosen.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.detectors.windowed import HORIZON, WINDOW, Windowed

TRAINING_ROWS = 400
DELAY = 10
"""Rows after which a row is judged: by the window that it stands in the middle of."""
THRESHOLD = 1.33
"""Score above which a row is anomalous: chosen by --choose, as the delay and the detector's defaults are."""
HEALTHY_FAR = 0.08
"""Share of healthy rows that --choose lets a threshold call anomalous."""
_NOT_SIGNALS = ("experiment", "datetime", "anomaly", "changepoint")
_STRETCH, _STEP = 1100, 400
_SHORT_TRAINING = 250

Make = Callable[[], Windowed]
Flags = NDArray[np.bool_]


def read_file(path: Path) -> dict[str, pd.DataFrame]:
    """Read all experiments from one file, by their names."""
    return {str(name): rows.reset_index(drop=True) for name, rows in pd.read_csv(path).groupby("experiment")}


def read_folder(folder: Path) -> dict[str, pd.DataFrame]:
    """Read all experiments from SKAB's own folders, where values are apart by semicolons."""
    paths = sorted(folder.glob("*/*.csv"))
    return {f"{path.parent.name}/{path.stem}": pd.read_csv(path, sep=";") for path in paths}


def signals_of(experiment: pd.DataFrame) -> pd.DataFrame:
    """Return what the detector reads: the signals alone."""
    return experiment.drop(columns=[name for name in _NOT_SIGNALS if name in experiment])


def rates(alarm: Flags, fault: Flags) -> dict[str, float]:
    """Return F1, and the shares of sound rows with an alarm (``far``) and of faulty rows without one (``mar``)."""
    hits = int((alarm & fault).sum())
    return {
        "f1": 2 * hits / max(int(alarm.sum() + fault.sum()), 1),
        "far": float(alarm[~fault].mean()) if (~fault).any() else 0.0,
        "mar": 1 - hits / max(int(fault.sum()), 1),
    }


def scored(make: Make, rows: pd.DataFrame, delay: int, training_rows: int = TRAINING_ROWS) -> NDArray[np.float64]:
    """Fit on the first rows and return the scores of the rest, each read ``delay`` rows later (the last: at the end).

    A window may reach back into the training.
    """
    scores = make().fit(rows.iloc[:training_rows]).score(rows).to_numpy()
    return scores[np.minimum(np.arange(training_rows, len(rows)) + delay, len(rows) - 1)]


def measured(experiments: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """Return the figures of the protocol, and of an alarm that never ends."""
    faulty = {name: rows for name, rows in experiments.items() if not name.startswith("anomaly-free")}
    alarms, faults = [], []
    for rows in faulty.values():
        alarms.append(scored(Windowed, signals_of(rows), DELAY) > THRESHOLD)
        faults.append(rows["anomaly"].to_numpy()[TRAINING_ROWS:] == 1)
    alarm, fault = np.concatenate(alarms), np.concatenate(faults)
    always = rates(np.ones_like(fault), fault)["f1"]
    return {"experiments": len(faulty), "rows": len(fault), **rates(alarm, fault), "f1_always_alarm": always}


def with_faults(stretch: pd.DataFrame, rng: np.random.Generator) -> Iterator[tuple[pd.DataFrame, Flags]]:
    """Yield a healthy stretch with made-up faults in its middle: shifts, more movement, a swing, small and large."""
    first = 550 + int(rng.integers(-30, 30))
    last = first + int(rng.integers(250, 380))
    fault = np.zeros(len(stretch), dtype=bool)
    fault[first:last] = True
    training = stretch.iloc[:TRAINING_ROWS]
    growth = np.minimum(1.0, np.arange(last - first) / rng.choice([5, 60]))
    names = list(stretch.columns)
    for kind, size in [*product(["shift"], (1.5, 4.0, 10.0)), *product(["movement"], (1.7, 3.0)), ("swing", 4.0)]:
        changed = stretch.copy()
        for name in rng.choice(names, 1 if kind == "swing" else rng.integers(1, 4), replace=False):
            values = changed[name].to_numpy(copy=True)
            centre, spread = training[name].mean(), training[name].std()
            if kind == "movement":
                values[fault] = centre + (values[fault] - centre) * size
            else:
                shape = growth if kind == "shift" else np.abs(np.sin(np.flatnonzero(fault) / 25))
                values[fault] += rng.choice([-1.0, 1.0]) * size * spread * shape
            changed[name] = values
        yield changed, fault


def choose(experiments: dict[str, pd.DataFrame]) -> list[dict[str, float]]:
    """Try settings on rows without a fault; the threshold of each lets ``HEALTHY_FAR`` of held-out healthy rows pass.

    Held out are what follows 400 rows in stretches of the experiment without a fault, and what follows the first 250
    of the other experiments' first 400 (the mean of both thresholds is taken). The faults are made up.
    """
    healthy = next(signals_of(rows) for name, rows in experiments.items() if name.startswith("anomaly-free"))
    begins = range(0, len(healthy) - _STRETCH, _STEP)
    stretches = [healthy.iloc[begin : begin + _STRETCH].reset_index(drop=True) for begin in begins]
    trainings = [
        signals_of(rows).iloc[:TRAINING_ROWS]
        for name, rows in experiments.items()
        if not name.startswith("anomaly-free")
    ]
    rng = np.random.default_rng(1)
    cases = [case for stretch in stretches for case in with_faults(stretch, rng)]
    fault = np.concatenate([flags[TRAINING_ROWS:] for _, flags in cases])
    rows = []
    for window, horizon, centred in product((10, 15, 20, 30), (2.0, 4.0), (False, True)):
        delay = window // 2 if centred else 0

        def make(window: int = window, horizon: float = horizon) -> Windowed:
            return Windowed(window=window, horizon=horizon)

        later = np.concatenate([scored(make, stretch, delay) for stretch in stretches])
        sooner = np.concatenate([scored(make, training, delay, _SHORT_TRAINING) for training in trainings])
        threshold = float(np.mean([np.quantile(scores, 1 - HEALTHY_FAR) for scores in (later, sooner)]))
        alarm = np.concatenate([scored(make, changed, delay) for changed, _ in cases]) > threshold
        setting = {"window": window, "horizon": horizon, "delay": delay, "threshold": round(threshold, 2)}
        rows.append({**setting, **{name: round(value, 3) for name, value in rates(alarm, fault).items()}})
        sys.stdout.write(json.dumps(rows[-1]) + "\n")
    return rows


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("FLEETDX_DATASETS", "../shared/datasets")) / "skab" / "skab.csv.gz"
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--file", type=Path, default=default, help="all experiments in one file")
    source.add_argument("--dir", type=Path, help="SKAB's own folder of folders")
    parser.add_argument("--choose", action="store_true", help="try settings on rows without a fault, and end")
    options = parser.parse_args()
    begun = time.monotonic()
    if not (options.dir or options.file).exists():
        raise SystemExit(f"there is no {options.dir or options.file}; name the data with --file or --dir")
    experiments = read_folder(options.dir) if options.dir else read_file(options.file)
    if not experiments:
        raise SystemExit(f"there is no experiment in {options.dir or options.file}")
    if options.choose:
        sys.stdout.write(json.dumps({"choices": choose(experiments)}) + "\n")
        return
    result = {"window": WINDOW, "horizon": HORIZON, "delay": DELAY, "threshold": THRESHOLD, **measured(experiments)}
    plain = {name: round(value, 4) if isinstance(value, float) else value for name, value in result.items()}
    sys.stdout.write(json.dumps(plain | {"seconds": round(time.monotonic() - begun, 1)}) + "\n")


if __name__ == "__main__":
    main()

"""Remaining useful life on NASA's C-MAPSS turbofans, in NASA's own layout.

    python -m benchmarks.cmapss --dir DIR --subset FD001

Learns from the training runs alone, predicts the last cycle of each test unit, and prints the root mean square error
against the true life (raw) and against it capped at 125 cycles, the PHM 2008 score (sum over units of exp(-d/13) - 1
where the prediction is early by d, exp(d/10) - 1 where it is late; smaller is better), and how many true lives lie in
the 90 % interval. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from models.remaining_life import CAP, RemainingLife

_SETTINGS = ("setting1", "setting2", "setting3")
_COLUMNS = ["unit", "cycle", *_SETTINGS, *(f"s{n}" for n in range(1, 22))]


def read(folder: Path, name: str) -> pd.DataFrame:
    """Read ``<name>.txt`` or ``<name>.txt.gz``: 26 columns apart by blanks."""
    path = next((p for p in (folder / f"{name}.txt", folder / f"{name}.txt.gz") if p.exists()), None)
    if path is None:
        raise SystemExit(f"there is no {name}.txt in {folder}")
    frame = pd.read_csv(path, sep=r"\s+", header=None).iloc[:, : len(_COLUMNS)]
    frame.columns = pd.Index(_COLUMNS)
    return frame.sort_values(["unit", "cycle"], ignore_index=True)


def phm_score(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the score of the PHM 2008 data challenge (Saxena et al., PHM 2008)."""
    late = predicted - true
    return float(np.sum(np.where(late < 0, np.exp(-late / 13), np.exp(late / 10)) - 1))


def rmse(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the root mean square error."""
    return float(np.sqrt(np.mean((predicted - true) ** 2)))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, required=True, help="folder of train_, test_ and RUL_ files")
    parser.add_argument("--subset", default="FD001")
    parser.add_argument("--seeds", type=int, default=3, help="how often all is done, each time with other seeds")
    options = parser.parse_args()
    begun = time.monotonic()
    train, test = (read(options.dir, f"{kind}_{options.subset}") for kind in ("train", "test"))
    true = np.loadtxt(options.dir / f"RUL_{options.subset}.txt").astype(np.float64)
    rounds = []
    for number in range(options.seeds):
        found = RemainingLife.fit(train, _SETTINGS, seed=10 * number).predict(test)
        life = found["life"].to_numpy()
        inside = (found["low"].to_numpy() <= true) & (np.minimum(true, CAP) <= found["high"].to_numpy())
        rounds.append((rmse(life, true), rmse(life, np.minimum(true, CAP)), phm_score(life, true), inside.mean()))
    names = ("rmse_raw", "rmse_capped", "phm_score", "share_within_interval")
    middle, spread = np.mean(rounds, axis=0), np.ptp(rounds, axis=0)
    result: dict[str, object] = {"subset": options.subset, "units": len(true), "seeds": options.seeds}
    result |= {name: round(float(value), 3) for name, value in zip(names, middle, strict=True)}
    result |= {f"{name}_spread": round(float(value), 3) for name, value in zip(names, spread, strict=True)}
    result["seconds"] = round(time.monotonic() - begun, 1)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()

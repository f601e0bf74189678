"""Remaining useful life on NASA's C-MAPSS turbofans, in NASA's own layout.

    python -m benchmarks.cmapss --dir DIR --subset FD001 [--cross-validate]

Learns from the training runs alone, predicts the last cycle of each test unit, and prints the root mean square error
against the true life (raw) and against it capped at 125 cycles, the PHM 2008 score (sum over units of exp(-d/13) - 1
where the prediction is early by d, exp(d/10) - 1 where it is late; smaller is better), how many true lives lie in
the 90 % interval, of all and of those below the cap, also by predicted life, and how wide it is. The last line is one
JSON object.

With ``--cross-validate`` the test part is left alone: each fifth of the training units is judged by what was learned
from the others, cut off at random cycles. Choices are made by this.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from models.remaining_life import CAP, FOLDS, RemainingLife

CUTS = 20
SHORTEST = 30
_BANDS = (0.0, 30.0, 60.0, 90.0, 110.0, 120.0, CAP)
SETTINGS = ("setting1", "setting2", "setting3")
_LEADING = ["unit", "cycle", *SETTINGS]


def read_subset(folder: Path, subset: str) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Return training runs, test runs, and the true life of each test unit in the order of their numbers.

    Ends the program with what is wrong where a file is missing or not of NASA's layout.
    """
    train, test = (_runs(_table(folder, f"{kind}_{subset}"), f"{kind}_{subset}") for kind in ("train", "test"))
    if list(train) != list(test):
        raise SystemExit(f"train_{subset} has {train.shape[1]} columns, test_{subset} has {test.shape[1]}")
    true = _table(folder, f"RUL_{subset}").to_numpy()
    if true.shape != (test["unit"].nunique(), 1) or not (true >= 0).all():
        units = test["unit"].nunique()
        raise SystemExit(f"RUL_{subset} must hold one number for each of the {units} units of test_{subset}")
    return train, test, true[:, 0]


def _table(folder: Path, name: str) -> pd.DataFrame:
    """Read ``<name>.txt`` or ``<name>.txt.gz``: numbers apart by blanks. What is not finite is missing."""
    path = next((p for p in (folder / f"{name}.txt", folder / f"{name}.txt.gz") if p.is_file()), None)
    if path is None:
        kinds = ", ".join(f"{kind}_{name.partition('_')[2]}.txt" for kind in ("train", "test", "RUL"))
        raise SystemExit(f"there is no {name}.txt (or {name}.txt.gz) in {folder}; expected are {kinds}")
    try:
        table = pd.read_csv(path, sep=r"\s+", header=None, dtype=np.float64)
    except (ValueError, OSError, EOFError) as error:  # pandas' own errors and those of its codecs are ValueErrors
        raise SystemExit(f"{path}: {str(error).strip()}") from error
    return table.replace([np.inf, -np.inf], np.nan).dropna(how="all")


def _runs(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Name the columns: unit, cycle, three settings, then as many sensors as there are."""
    if table.shape[1] <= len(_LEADING):
        raise SystemExit(f"{name} has {table.shape[1]} columns; expected are {', '.join(_LEADING)} and sensors")
    sensors = (f"s{n}" for n in range(1, table.shape[1] - len(_LEADING) + 1))
    table.columns = pd.Index([*_LEADING, *sensors])
    place = table[["unit", "cycle"]]
    if place.isna().any(axis=None) or place.duplicated().any():
        raise SystemExit(f"{name}: each row needs a unit and a cycle of its own")
    return table.sort_values(["unit", "cycle"], ignore_index=True)


def phm_score(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the score of the PHM 2008 data challenge (Saxena et al., PHM 2008)."""
    late = predicted - true
    return float(np.sum(np.where(late < 0, np.exp(-late / 13), np.exp(late / 10)) - 1))


def rmse(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the root mean square error."""
    return float(np.sqrt(np.mean((predicted - true) ** 2)))


def cut(runs: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Cut each run off ``CUTS`` times at random, from its 30th cycle on; return the beginnings and what is left."""
    parts: list[pd.DataFrame] = []
    left: list[int] = []
    for _, run in runs.groupby("unit"):
        for length in rng.integers(min(SHORTEST, len(run)), len(run), size=CUTS, endpoint=True):
            parts.append(run.head(length).assign(unit=len(parts)))
            left.append(len(run) - length)
    return pd.concat(parts, ignore_index=True), np.array(left, dtype=np.float64)


def judge(train: pd.DataFrame, test: pd.DataFrame, true: np.ndarray, seed: int) -> pd.DataFrame:
    """Return life, low, high and true life of each test unit, by what is learned from the training runs."""
    return RemainingLife.fit(train, SETTINGS, seed=seed).predict(test).assign(true=true)


def held_out(runs: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Judge each fifth of the units, cut off at random, by the others."""
    rng = np.random.default_rng(seed)
    judged = []
    for units in np.array_split(rng.permutation(runs["unit"].unique()), FOLDS):
        out = runs["unit"].isin(units)
        judged.append(judge(runs[~out].reset_index(drop=True), *cut(runs[out], rng), seed))
    return pd.concat(judged, ignore_index=True)


def figures(judged: pd.DataFrame) -> dict[str, float]:
    """Return what is printed of one round."""
    life, low, high, true = (judged[name].to_numpy() for name in ("life", "low", "high", "true"))
    capped = np.minimum(true, CAP)
    inside = (low <= capped) & (capped <= high)
    return {
        "rmse_raw": rmse(life, true),
        "rmse_capped": rmse(life, capped),
        "phm_score": phm_score(life, true),
        "share_within_interval": inside.mean(),
        "share_within_interval_below_cap": inside[true < CAP].mean() if (true < CAP).any() else np.nan,
        "interval_width": (high - low).mean(),
    }


def held_by_prediction(judged: pd.DataFrame) -> dict[str, float]:
    """Return the share of true lives below the cap that lie in the interval, by bands of predicted life."""
    below = judged[judged["true"] < CAP]
    inside = (below["low"] <= below["true"]) & (below["true"] <= below["high"])
    names = [f"{low:g}-{high:g}" for low, high in pairwise(_BANDS)]
    band = pd.cut(below["life"], list(_BANDS), include_lowest=True, labels=names)
    return {str(name): round(float(share), 3) for name, share in inside.groupby(band, observed=True).mean().items()}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, required=True, help="folder of train_, test_ and RUL_ files")
    parser.add_argument("--subset", default="FD001")
    parser.add_argument("--seeds", type=int, default=3, help="how often all is done, each time with other seeds")
    parser.add_argument("--cross-validate", action="store_true", help="judge by held-out training units alone")
    options = parser.parse_args()
    begun = time.monotonic()
    train, test, true = read_subset(options.dir, options.subset)
    rounds = [
        held_out(train, 10 * n) if options.cross_validate else judge(train, test, true, 10 * n)
        for n in range(options.seeds)
    ]
    found = [figures(judged) for judged in rounds]
    result: dict[str, object] = {"subset": options.subset, "part": "train" if options.cross_validate else "test"}
    result |= {"units": train["unit"].nunique() if options.cross_validate else len(true), "seeds": options.seeds}
    result |= {name: round(float(np.mean([f[name] for f in found])), 3) for name in found[0]}
    result |= {f"{name}_spread": round(float(np.ptp([f[name] for f in found])), 3) for name in found[0]}
    result["share_within_interval_below_cap_by_predicted_life"] = held_by_prediction(pd.concat(rounds))
    result["seconds"] = round(time.monotonic() - begun, 1)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()

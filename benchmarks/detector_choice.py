"""Which detectors stand in the default ensemble: tried on January to June of a public fleet, no later day is read.

    python -m benchmarks.detector_choice

Each set learns from the sound days of January to April (Microsoft's sample for predictive maintenance, 75 machines) and
is judged on May and June, by the average precision of its raw score for "fails within 7 days", and by its tickets. The
ensemble's own draws (isolation forest) are repeated with several seeds. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.derive import FURTHER, derived_panel
from models.ensemble import ENSEMBLE, Ensemble
from models.evaluation import average_precision, evaluate
from models.labels import healthy_days
from models.panel import panel_index
from models.persistence import Persistence, openings
from models.threshold import anomalous

FITTED_UNTIL, JUDGED_UNTIL = np.datetime64("2015-04-30"), np.datetime64("2015-06-30")
HORIZON_DAYS = 7
BEFORE = ("robust_z", "pca", "isolation_forest")
SETS: tuple[tuple[str, ...], ...] = (
    BEFORE,
    *((name,) for name in (*BEFORE, "peers", "drift", "fault_rate")),
    *((*BEFORE, name) for name in ("peers", "drift", "fault_rate")),
    (*BEFORE, "drift", "fault_rate"),
    (*BEFORE, "peers", "drift", "fault_rate"),
)
_SIGNALS = ("volt", "rotate", "pressure", "vibration")


def events(path: Path) -> pd.DataFrame:
    """Read what happened up to the last day judged, with the keys ``asset_id`` and ``time`` (ns)."""
    rows = pd.read_csv(path, parse_dates=["datetime"])
    rows = rows[rows["datetime"] < JUDGED_UNTIL + np.timedelta64(1, "D")]
    at = rows["datetime"].astype("datetime64[ns]").astype("int64")
    return rows.assign(asset_id=rows["machineID"].map("M{:03}".format), time=at).reset_index(drop=True)


def base_panel(dataset: Path) -> pd.DataFrame:
    """Return the base features of January to June: a day's mean of each signal, and its faults."""
    daily = pd.read_csv(dataset / "telemetry_daily.csv.gz", parse_dates=["date"])
    daily = daily[daily["date"] <= JUDGED_UNTIL].sort_values(["machineID", "date"])
    index = panel_index(list(daily["machineID"].map("M{:03}".format)), list(daily["date"].to_numpy()))
    base = pd.DataFrame({f"{name}.mean": daily[name].to_numpy() for name in _SIGNALS}, index=index)
    faults = events(dataset / "errors.csv")
    for code, rows in faults.groupby("errorID"):
        counts = rows.groupby(["asset_id", rows["datetime"].dt.normalize()]).size()
        counts.index = panel_index(list(counts.index.get_level_values(0)), list(counts.index.get_level_values(1)))
        base[f"faults.{code}.count"] = counts.reindex(index, fill_value=0).to_numpy(dtype=np.float64)
    base["faults.count"] = base[[name for name in base.columns if name.startswith("faults.")]].sum(axis=1)
    return base.assign(**{"exposure.hours": 24.0, "completeness": 1.0})


def judged(dataset: Path, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Return each set's figures, means over the seeds."""
    base, failures = base_panel(dataset), events(dataset / "failures.csv")
    derived = derived_panel(base, pd.Series("plant", index=base.index.get_level_values(0).unique()), further=FURTHER)
    fitted = derived.index.get_level_values(1) <= FITTED_UNTIL
    assert isinstance(derived.index, pd.MultiIndex)
    known = failures[failures["datetime"] < FITTED_UNTIL + np.timedelta64(1, "D")]
    repairs = events(dataset / "maint.csv")
    healthy = healthy_days(derived.index, known, repairs[repairs["datetime"] < FITTED_UNTIL])
    later = failures[failures["datetime"] > FITTED_UNTIL + np.timedelta64(1, "D")]
    persistence = Persistence(2, 3)
    found = []
    for detectors in SETS:
        figures = []
        for seed in seeds:
            ensemble = Ensemble.fit(
                derived[fitted],
                healthy[fitted],
                detectors=detectors,
                false_tickets_per_100_asset_days=1.0,
                persistence=persistence,
                seed=seed,
            )
            raw = ensemble.raw(derived)
            held = anomalous(ensemble.levels(raw)[f"score.{ENSEMBLE}"], ensemble.threshold, persistence)
            opened = openings(held) & ~fitted
            at = derived.index[opened.to_numpy()]
            end = at.get_level_values(1).to_numpy().astype("datetime64[ns]").astype(np.int64) + 25 * 3600 * 10**9
            tickets = pd.DataFrame({"asset_id": list(at.get_level_values(0)), "opened": end})
            report = evaluate(tickets, later, int((~fitted).sum()), HORIZON_DAYS)
            precision = average_precision(raw[ENSEMBLE][~fitted], failures, HORIZON_DAYS)
            figures.append((precision, report.recall, report.precision, float(report.tickets)))
        middle, spread = np.mean(figures, axis=0), np.ptp(figures, axis=0)
        names = ("average_precision", "recall", "precision", "tickets")
        row = {name: round(float(value), 3) for name, value in zip(names, middle, strict=True)}
        found.append({"detectors": detectors, **row, "average_precision_spread": round(float(spread[0]), 3)})
        sys.stdout.write(json.dumps(found[-1]) + "\n")
        sys.stdout.flush()
    return found


def main() -> None:
    """Try the sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=Path(os.environ.get("FLEETDX_DATASETS", "../shared/datasets")))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    dataset = options.dataset if options.dataset.name == "azure_pdm" else options.dataset / "azure_pdm"
    if not dataset.is_dir():
        raise SystemExit(f"no data set at {dataset}; name its folder with --dataset")
    sys.stdout.write(json.dumps({"choices": judged(dataset, range(options.seeds))}) + "\n")


if __name__ == "__main__":
    main()

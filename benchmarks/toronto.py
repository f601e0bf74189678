"""A control: a real fleet's log in which a car's past hardly tells its next failure. No skill is to be claimed on it.

    python -m benchmarks.toronto --cars 30       the 30 cars with the most rows, July to December 2018, and a walk
                                                 through January to March 2019; without --cars all 500

Toronto's subway delay log (City of Toronto, open data) as a history folder: every coded delay with a car's number is
a fault of that car, and one of the car's own equipment (codes that begin with EU) that cost five minutes or more is a
failure, whose mode is the code. There is no telemetry. ``fleetdx backtest`` walks through it as it comes, without a
configuration. The last line is its JSON, with ``claims``: how much more its scores are worth than a coin
(average precision over prevalence; 1 is no skill), and its false tickets beside those of a ticket for any fault.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

FIRST, TRAIN_UNTIL, UNTIL = date(2018, 7, 1), date(2018, 12, 31), date(2019, 3, 31)
HORIZON_DAYS = 7
FAILURE_MINUTES = 5
EQUIPMENT = "EU"


def write_history(log: Path, folder: Path, *, first: date = FIRST, last: date = UNTIL, cars: int | None = None) -> None:
    """Write the log's days ``first`` to ``last`` as a history folder, of the ``cars`` with the most rows if given."""
    rows = pd.read_csv(log, dtype={"Vehicle": "Int64"})
    rows = rows[(rows["Vehicle"] > 0) & rows["Code"].notna() & rows["Date"].between(str(first), str(last))]
    rows = rows.assign(asset_id="C" + rows["Vehicle"].astype(str), code=rows["Code"].str.strip())
    rows = rows.assign(time=rows["Date"] + "T" + rows["Time"] + ":00Z")
    if cars is not None:
        rows = rows[rows["asset_id"].isin(rows["asset_id"].value_counts().index[:cars])]
    rows = rows.drop_duplicates(["asset_id", "time", "code"]).sort_values(["time", "asset_id"])
    folder.mkdir(parents=True, exist_ok=True)
    fleet = pd.DataFrame({"asset_id": sorted(rows["asset_id"].unique())})
    fleet.assign(asset_type="car", site="toronto").to_csv(folder / "assets.csv", index=False)
    rows[["asset_id", "time", "code"]].to_csv(folder / "faults.csv", index=False)
    failed = rows[rows["code"].str.startswith(EQUIPMENT) & (rows["Min Delay"] >= FAILURE_MINUTES)]
    failed = failed.rename(columns={"code": "failure_mode"})
    failed[["asset_id", "time", "failure_mode"]].to_csv(folder / "failures.csv", index=False)


def backtest(history: Path, train_until: date = TRAIN_UNTIL) -> dict[str, Any]:
    """Return what ``fleetdx backtest`` says of a history folder, and what that claims."""
    command = [sys.executable, "-m", "fleetdx", "backtest", str(history), "--train-until", str(train_until)]
    command += ["--horizon", str(HORIZON_DAYS), "--json"]
    result: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    precision, prevalence = result["average_precision"], result["prevalence"]
    claims = {
        "average_precision_over_prevalence": round(precision / prevalence, 2) if precision and prevalence else None,
        "tickets_per_100_asset_days": round(100 * result["tickets"] / max(result["asset_days"], 1), 3),
        "any_fault_tickets_per_100_asset_days": round(
            100 * result["baselines"]["any_fault"]["tickets"] / max(result["asset_days"], 1), 3
        ),
    }
    return result | {"claims": claims}


def main() -> None:
    """Run the control."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=Path(os.environ.get("FLEETDX_DATASETS", "../shared/datasets")))
    parser.add_argument("--cars", type=int, help="only those with the most rows")
    options = parser.parse_args()
    folder = options.dataset if options.dataset.name == "ttc_subway" else options.dataset / "ttc_subway"
    log = next(iter(sorted(folder.glob("delays*.csv*"))), None)
    if log is None:
        raise SystemExit(f"there is no delay log in {folder}; name its folder with --dataset")
    with tempfile.TemporaryDirectory(prefix="fleetdx-toronto-") as scratch:
        write_history(log, Path(scratch), cars=options.cars)
        sys.stdout.write(json.dumps(backtest(Path(scratch))) + "\n")


if __name__ == "__main__":
    main()

"""How long the models take for a fleet of a given size, on simulated features.

    python -m benchmarks.models_scale --assets 4000 --training-days 225

Measures, in a process of its own, the look-back columns of a history of ``--training-days`` (and those that the first
looks back on) and fitting the ensemble on them, with what that process needs at most; then the look-back columns and
the levels of one day as in service, and the base features of one day from its samples. Ten signals make
60 features (six statistics each), which looking back makes 120 for the detectors. With ``--processes 2`` that day is
also scored and explained site by site (``--sites`` of them), here and in so many processes, and the results compared.
The last line of the output is one JSON object; times in seconds, memory in MB.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from config.register import AssetType, FaultCode, Signal, Text
from diagnostics.fan_out import Scored, ThisProcess, Workers, local_processes
from diagnostics.scoring import ToScore
from models.derive import LOOK_BACK_DAYS, derived_panel
from models.ensemble import ENSEMBLE, Ensemble
from models.features import STATISTICS, base_panel
from models.panel import INDEX_NAMES
from models.persistence import Persistence

FIRST = np.datetime64("2026-01-01", "s")
DETECTORS = ("robust_z", "pca", "isolation_forest", "peers")
_T = TypeVar("_T")


def panel_of(assets: int, days: int, signals: int, codes: int) -> pd.DataFrame:
    """Simulated base features: normal data, Poisson faults, two in a hundred days silent."""
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_arrays(
        [
            pd.array([f"A{a:05}" for a in range(assets)], dtype="str").repeat(days),
            np.tile(FIRST + np.arange(days) * np.timedelta64(1, "D"), assets),
        ],
        names=INDEX_NAMES,
    )
    silent = rng.random(len(index)) < 0.02
    columns: dict[str, np.ndarray] = {}
    for signal in range(signals):
        for statistic in STATISTICS:
            columns[f"signal_{signal}.{statistic}"] = np.where(silent, np.nan, rng.normal(50, 5, len(index)))
    total = np.zeros(len(index))
    for code in range(codes):
        sets = rng.poisson(0.03, len(index))
        columns[f"faults.F{code}.count"] = np.where(silent, np.nan, sets)
        total += sets
    columns["faults.count"] = np.where(silent, np.nan, total)
    columns["exposure.hours"] = np.where(silent, np.nan, rng.uniform(4, 18, len(index)))
    columns["completeness"] = np.where(silent, 0.0, 1.0)
    return pd.DataFrame(columns, index=index)


def samples_of(assets: int, signals: int, period_s: int) -> tuple[AssetType, pd.DataFrame, pd.MultiIndex]:
    """One day of samples of all assets, all signals in each."""
    rng = np.random.default_rng(1)
    count = 86400 // period_s
    title = Text(en="x", zh="x")
    asset_type = AssetType(
        id="vehicle",
        title=title,
        signals=tuple(Signal(name=f"signal_{s}", unit="1", period=period_s) for s in range(signals)),
        faults=tuple(FaultCode(code=f"F{c}", title=title) for c in range(5)),
    )
    names = pd.array([f"A{a:05}" for a in range(assets)], dtype="str")
    start = FIRST.astype("datetime64[ns]").astype(np.int64)
    frame = pd.DataFrame(
        {"asset_id": names.repeat(count), "time": np.tile(start + np.arange(count) * period_s * 10**9, assets)}
    )
    for signal in range(signals):
        frame[f"signal_{signal}"] = rng.normal(50, 5, len(frame))
    return asset_type, frame, pd.MultiIndex.from_arrays([names, np.full(assets, FIRST)], names=INDEX_NAMES)


def by_site(panel: pd.DataFrame, today: np.datetime64, sites: int, ensemble: Ensemble) -> list[ToScore]:
    """What the daily cycle hands over of one day, of assets shared evenly among some sites."""
    assets = panel.index.get_level_values(0).unique()
    tasks = []
    for number, some in enumerate(np.array_split(assets.to_numpy(), sites)):
        of_site = panel[panel.index.get_level_values(0).isin(some)]
        rows = of_site.index[of_site.index.get_level_values(1) == today]
        assert isinstance(rows, pd.MultiIndex)
        tasks.append(
            ToScore(
                panel=of_site,
                group=f"site-{number}",
                since=today,
                rows=rows,
                idle=np.zeros(len(rows), dtype=bool),
                min_completeness=0.5,
                renewals=None,
                ensemble=ensemble,
                detectors=(ENSEMBLE,),
                explained=True,
            )
        )
    return tasks


def scored_by(workers: Workers, tasks: Sequence[ToScore]) -> list[Scored]:
    """The results of all tasks, in order, as the sweep asks for them."""
    waiting: deque[Callable[[], Scored]] = deque()
    results = []
    for task in tasks:
        waiting.append(workers.begin(task))
        if len(waiting) > workers.ahead:
            results.append(waiting.popleft()())
    return results + [result() for result in waiting]


def side_by_side(tasks: Sequence[ToScore], processes: int, times: dict[str, float]) -> None:
    """Time one process and several over the same day. Raises ``AssertionError`` where they differ."""
    alone = timed("day_by_site_here", times, lambda: scored_by(ThisProcess(), tasks))
    workers = local_processes(processes)
    try:
        timed("start_processes", times, lambda: scored_by(workers, [tasks[0]] * processes))
        together = timed(f"day_by_site_{processes}_processes", times, lambda: scored_by(workers, tasks))
    finally:
        workers.close()
    for (panel, _), (other, _) in zip(alone, together, strict=True):
        pd.testing.assert_frame_equal(panel, other, check_exact=True)


class Fitted(NamedTuple):
    """What a fit took: seconds by step, and MB at most."""

    seconds: dict[str, float]
    peak_mb: int


def fit_history(assets: int, training_days: int, signals: int, codes: int, folder: Path) -> Fitted:
    """Derive and fit as the service does, all days healthy, and save the ensemble into an empty folder."""
    times: dict[str, float] = {}
    base = panel_of(assets, LOOK_BACK_DAYS + training_days, signals, codes)
    names = base.index.get_level_values(0).unique()
    groups = pd.Series([f"site-{i // 50}" for i in range(len(names))], index=names)
    first = FIRST + np.timedelta64(LOOK_BACK_DAYS, "D")
    training = timed("derive_all_days", times, partial(derived_panel, base, groups, since=first))
    del base
    fit = partial(
        Ensemble.fit,
        training,
        pd.Series(True, index=training.index),
        detectors=DETECTORS,
        false_tickets_per_100_asset_days=0.5,
        persistence=Persistence(2, 3),
    )
    timed("fit", times, fit).save(folder)
    return Fitted(times, peak_mb())


def peak_mb() -> int:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def timed(name: str, times: dict[str, float], work: Callable[[], _T]) -> _T:
    """Do ``work``, note its seconds under ``name`` and print them."""
    start = time.perf_counter()
    result = work()
    times[name] = round(time.perf_counter() - start, 2)
    print(f"{name:22} {times[name]:8.2f} s", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=int, default=400)
    parser.add_argument("--signals", type=int, default=10)
    parser.add_argument("--codes", type=int, default=10)
    parser.add_argument("--training-days", type=int, default=90, help="days to fit on, after the first look-back")
    parser.add_argument("--day-assets", type=int, default=10_000, help="assets of the one day")
    parser.add_argument("--sites", type=int, default=8, help="among which those assets are shared, with --processes")
    parser.add_argument("--processes", type=int, default=1, help="that score the one day side by side")
    parser.add_argument("--period", type=int, default=300, help="seconds between the samples of the one day")
    options = parser.parse_args()
    times: dict[str, float] = {}

    with tempfile.TemporaryDirectory(prefix="fleetdx-models-") as scratch:
        history = (options.assets, options.training_days, options.signals, options.codes)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
            fitted = alone.submit(fit_history, *history, Path(scratch)).result()
        times |= fitted.seconds
        ensemble = Ensemble.load(Path(scratch))

    recent = panel_of(options.day_assets, LOOK_BACK_DAYS + 1, options.signals, options.codes)
    assets = recent.index.get_level_values(0).unique()
    groups = pd.Series([f"site-{i // 50}" for i in range(len(assets))], index=assets)
    today = FIRST + np.timedelta64(LOOK_BACK_DAYS, "D")
    rows = timed("derive_one_day", times, partial(derived_panel, recent, groups, since=today))
    if options.processes > 1:
        with threadpool_limits(1):
            side_by_side(by_site(recent, today, options.sites, ensemble), options.processes, times)
    del recent
    levels = timed("score_one_day", times, lambda: ensemble.score(rows))
    strangest = levels["score.ensemble"].nlargest(100).index
    timed("explain_100_days", times, lambda: ensemble.explain(rows.loc[strangest]))

    asset_type, frame, asset_days = samples_of(options.day_assets, options.signals, options.period)
    no_faults = pd.DataFrame(
        {"asset_id": pd.Series(dtype="str"), "code": pd.Series(dtype="str"), "time": np.array([], "i8")}
    )
    timed("base_features_one_day", times, lambda: base_panel(asset_type, ZoneInfo("UTC"), frame, no_faults, asset_days))
    report = {
        "assets": options.assets,
        "training_days": options.training_days,
        "features": options.signals * len(STATISTICS),
        "asset_days_derived": options.assets * (LOOK_BACK_DAYS + options.training_days),
        "asset_days_fitted": options.assets * options.training_days,
        "fit_peak_memory_mb": fitted.peak_mb,
        "day_assets": options.day_assets,
        "day_samples": len(frame) * options.signals,
        "seconds": times,
        "peak_memory_mb": peak_mb(),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()

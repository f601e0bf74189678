"""A public fleet's year, from the broker to the ticket: 75 machines, 418 component failures, January to September 2015.

    make bench-azure                          all of it, on DuckDB and, where influxd is found, on InfluxDB
    make bench-azure ARGS="--choose"          other probabilities and budgets, on January to June alone
    make bench-azure ARGS="--compare"         rules and case base beside the anomaly models and the failure model

The data (Microsoft's sample for predictive maintenance) is written as a history folder, published through a real
mosquitto by ``fleetdx replay``, stored, learned from up to 30 June, and walked day by day to 30 September; the tickets
are filed in a real Roundup and counted there. A day's telemetry is the mean over the day, known at its end: it bears
the time 23:59. The last line is one JSON object; docs/evaluation.md says what its figures mean.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from config.installation import Installation
from fleetdx.backtest import backtest_program, fast_program, walk
from fleetdx.backtest_command import bring_tables
from fleetdx.backtest_figures import evaluated
from fleetdx.backtest_said import say_report
from fleetdx.data_folder import DataFolder
from fleetdx.field_records import field_records
from fleetdx.history import ANY_AGE_DAYS, bring
from fleetdx.ingest_thread import IngestThread
from fleetdx.opened_tickets import opened_tickets
from fleetdx.program import Program
from fleetdx.servers import influxdb, roundup
from fleetdx.servers.broker import broker
from fleetdx.servers.influxdb import InfluxDBServer
from fleetdx.servers.process import free_port
from fleetdx.servers.roundup import RoundupServer
from fleetdx.terminal import console, progress
from fleetdx.wiring import read_installation, telemetry_store
from ingest.history import History

TRAIN_UNTIL, UNTIL = date(2015, 6, 30), date(2015, 9, 30)
HORIZON_DAYS = 7.0
SHORTER_DAYS = (1.0, 2.0)
"""Horizons for which the walk is done once more, without broker and tickets."""
# Chosen by --choose on January to June, before tickets opened at the risk that would have cost least: fitted on January
# to April, judged on May and June by F1.
CHOSEN = {"min_probability": 0.65, "false_tickets_per_100_asset_days": 1.0}
FIGURES = ("recall", "precision", "tickets", "median_lead_hours", "p10_lead_hours", "average_precision")
CHOICES = [
    {"min_probability": probability, "false_tickets_per_100_asset_days": budget}
    for probability in (0.5, 0.65, 0.8)
    for budget in (0.25, 1.0)
]


def write_history(
    dataset: Path, folder: Path, *, machines: int | None = None, first: date | None = None, last: date | None = None
) -> None:
    """Write the data set as a history folder, of the first ``machines`` and the days ``first`` to ``last`` if given."""

    def chosen(machine: str, at: str) -> bool:
        day = date.fromisoformat(at[:10])
        return (machines is None or int(machine) <= machines) and (first or date.min) <= day <= (last or date.max)

    def rows(name: str) -> Iterator[dict[str, str]]:
        path = dataset / name
        with gzip.open(path, "rt") if name.endswith(".gz") else path.open() as file:
            yield from csv.DictReader(file)

    def write(name: str, header: tuple[str, ...], content: Iterator[tuple[str, ...]]) -> None:
        with (folder / name).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(content)

    def name(machine: str) -> str:
        return f"M{int(machine):03}"

    folder.mkdir(parents=True, exist_ok=True)
    write(
        "assets.csv",
        ("asset_id", "asset_type", "site", "model", "age"),
        (
            (name(r["machineID"]), "machine", "plant", r["model"], r["age"])
            for r in rows("machines.csv")
            if machines is None or int(r["machineID"]) <= machines
        ),
    )
    signals = ("volt", "rotate", "pressure", "vibration")
    by_day = sorted(rows("telemetry_daily.csv.gz"), key=lambda r: r["date"])
    write(
        "telemetry.csv",
        ("asset_id", "time", *signals),
        (
            (name(r["machineID"]), f"{r['date']}T23:59:00Z", *(r[s] for s in signals))
            for r in by_day
            if chosen(r["machineID"], r["date"])
        ),
    )
    for source, target, columns, fixed in (
        ("errors.csv", "faults.csv", {"code": "errorID"}, {}),
        ("maint.csv", "maintenance.csv", {"component": "comp"}, {"action": "replaced"}),
        ("failures.csv", "failures.csv", {"failure_mode": "failure"}, {}),
    ):
        write(
            target,
            ("asset_id", "time", *columns, *fixed),
            (
                (name(r["machineID"]), f"{r['datetime']}Z", *(r[c] for c in columns.values()), *fixed.values())
                for r in rows(source)
                if chosen(r["machineID"], r["datetime"])
            ),
        )


EACH_ALONE = {"group_from": 1000, "tickets_per_hour": 10_000}
"""A year's tickets are delivered within minutes here: as they come in the field, each goes on its own."""
CONFIG = Path(__file__).with_name("azure_config")
"""Expert rules and knowledge for the machines, written from January to June."""
VARIANTS: Mapping[str, tuple[bool, dict[str, Any]]] = {
    "anomaly models alone": (False, {"learn": ()}),
    "expert rules": (True, {"learn": (), "ticket": "review"}),
    "case base": (False, {"learn": ("casebase",)}),
    "rules and case base": (True, {"learn": ("casebase",)}),
    "failure model": (False, {"learn": ("failure",)}),
    "failure model, rules and case base": (True, {"learn": ("failure", "casebase")}),
}
"""What speaks in a walk: whether expert rules do, and the settings of the models."""


def with_config(history: Path) -> Path:
    """Give a history folder the configuration with rules and knowledge; return the folder."""
    shutil.copytree(CONFIG, history / "config", dirs_exist_ok=True)
    shutil.copyfile(history / "assets.csv", history / "config" / "assets.csv")
    return history


def compare(
    history: Path,
    scratch: Path,
    variants: Sequence[str],
    train_until: date = TRAIN_UNTIL,
    until: date = UNTIL,
    horizon_days: float = HORIZON_DAYS,
) -> dict[str, Any]:
    """Walk the test months once for each variant, all from the same scored training months; no broker, no tickets."""
    inferred = read_installation(history)
    ruled = read_installation(with_config(history))
    learned_from, opened = scratch / "learned", History.open(history)
    later = datetime(until.year, until.month, until.day, tzinfo=UTC) + timedelta(days=30)
    with backtest_program(configured(ruled, {}), learned_from) as program:
        bring(program, opened)
        program.ledger.learning = True  # what rules say of these months opens nothing
        with progress("asset-days of the training months") as report:
            groups = [group for group in program.sweep.due(later) if group.day <= train_until]
            program.do(groups, progress=report)
    results: dict[str, Any] = {}
    for name in variants:
        rules, models = VARIANTS[name]
        folder = scratch / name.replace(" ", "-").replace(",", "")
        shutil.copytree(learned_from, folder)
        installation = replace(ruled, rule_files=ruled.rule_files if rules else ())
        installation = configured(installation, CHOSEN | {"ticket": inferred.settings.models.ticket} | models)
        with backtest_program(installation, folder) as program:
            with progress(name) as report:
                walk(program, train_until, until, report)
            results[name] = evaluated(program, opened.failures(), train_until, until, horizon_days)
        shutil.rmtree(folder)
        console.print({"variant": name} | {figure: results[name][figure] for figure in FIGURES})
    return results


def configured(installation: Installation, models: Mapping[str, Any], **sections: Mapping[str, Any]) -> Installation:
    """Return an installation with some of its models' settings changed, and its servers."""
    settings = installation.settings
    update = {"models": settings.models.model_copy(update=models)}
    for section, values in sections.items():
        update[section] = getattr(settings, section).model_copy(update=values)
    return replace(installation, settings=settings.model_copy(update=update))


def publish_and_store(program: Program, history: Path, port: int) -> dict[str, int]:
    """Let ``fleetdx replay`` publish the history while the program takes it in; return what was counted."""
    ingest = IngestThread(program.subscriber(program.pipeline(max_age_days=ANY_AGE_DAYS)))
    ingest.start()
    command = [sys.executable, "-m", "fleetdx", "replay", str(history), "--port", str(port), "--json"]
    published = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    with progress("messages stored") as report:
        while ingest.messages < published["messages"]:
            report(ingest.messages, published["messages"])
            if ingest.idle_seconds > 120:
                raise SystemExit("nothing was stored for two minutes")
            time.sleep(0.05)
    ingest.finish()
    counted = program.accounting.counters()
    kept = {name: getattr(counted, name) for name in ("stored", "duplicates", "quarantined", "lost")}
    return {"messages": published["messages"], **kept}


def run_on(
    store: str, history: Path, folder: Path, train_until: date, until: date, horizon_days: float
) -> tuple[dict[str, Any], list[tuple[str, int]]]:
    """Take the whole way on one store; return the report, and the tickets (asset, time in ns)."""
    begun = time.monotonic()
    with ExitStack() as stack:

        def started(server: Any) -> Any:
            server.start()
            stack.callback(server.stop)
            return server

        mqtt = started(broker(folder / "broker", free_port()))
        tickets = started(RoundupServer(folder / "tickets", free_port()))
        os.environ |= {"BENCH_TICKETS_PASSWORD": roundup.PASSWORD, "BENCH_STORE_TOKEN": influxdb.TOKEN}
        kept: dict[str, Any] = {"kind": store}
        if store == "influxdb":
            server = started(InfluxDBServer(folder / "influxdb", free_port()))
            kept |= {"url": server.url, "org": influxdb.ORG, "bucket": influxdb.BUCKET}
            kept |= {"token_env": "BENCH_STORE_TOKEN"}
        system = {
            "connector": "roundup", "url": tickets.url, "user": roundup.USER, "password_env": "BENCH_TICKETS_PASSWORD"
        }  # fmt: skip
        installation = configured(
            read_installation(history), CHOSEN,
            mqtt={"port": mqtt.port, "client_id": "fleetdx-bench"}, store=kept, tickets=system, alerts=EACH_ALONE,
        )  # fmt: skip
        own_store = telemetry_store(installation, DataFolder(folder / "data"))  # of a server started for this walk
        program = stack.enter_context(backtest_program(installation, folder / "data", own_store))
        counted = publish_and_store(program, history, mqtt.port)
        opened = History.open(history)
        program.ledger.note_field_records(field_records(opened))
        with progress(f"asset-days walked on {store}") as report:
            walk(program, train_until, until, report)
        with progress("tickets filed in Roundup") as report:
            delivered = program.deliver(progress=report)
        result = evaluated(program, opened.failures(), train_until, until, horizon_days)
        wished = opened_tickets(installation.register, installation.settings.daily)
        result |= {
            "ingest": counted,
            "tickets_created": delivered.created,
            "tickets_in_roundup": _issues(tickets),
            "seconds": round(time.monotonic() - begun, 1),
        }
        return result, sorted(zip(wished["asset_id"], wished["opened"].tolist(), strict=True))


def _issues(tickets: RoundupServer) -> int:
    answer = httpx.get(
        f"{tickets.url}/rest/data/issue",
        params={"@page_size": 100_000},
        auth=(roundup.USER, roundup.PASSWORD),
        headers={"X-Requested-With": "rest"},
        timeout=60,
    )
    answer.raise_for_status()
    return len(answer.json()["data"]["collection"])


def skill(history: Path, train_until: date, until: date, horizon_days: float) -> dict[str, Any]:
    """Walk the test months by models that look so far ahead, from the history's tables; return the figures."""
    models = CHOSEN | {"horizon_days": math.ceil(horizon_days)}
    installation = configured(read_installation(history), models, alerts=EACH_ALONE)
    opened = History.open(history)
    with tempfile.TemporaryDirectory() as folder, fast_program(installation, Path(folder)) as program:
        bring_tables(program, opened)
        with progress(f"asset-days walked, {horizon_days:g} days ahead") as report:
            walk(program, train_until, until, report)
        result = evaluated(program, opened.failures(), train_until, until, horizon_days)
    return {name: result[name] for name in FIGURES}


def choose(history: Path) -> list[dict[str, Any]]:
    """Walk May and June, fitted on January to April, with each choice; no later day is read."""
    rows = []
    for choice in CHOICES:
        installation = configured(read_installation(history), choice)
        with tempfile.TemporaryDirectory() as folder, backtest_program(installation, Path(folder)) as program:
            opened = History.open(history)
            bring(program, opened)
            walk(program, date(2015, 4, 30), TRAIN_UNTIL, lambda _done, _total: None)
            result = evaluated(program, opened.failures(), date(2015, 4, 30), TRAIN_UNTIL, HORIZON_DAYS)
        row = choice | {name: result[name] for name in FIGURES}
        rows.append(row)
        console.print(row)
    return rows


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=Path(os.environ.get("FLEETDX_DATASETS", "../shared/datasets")))
    parser.add_argument("--store", choices=("duckdb", "influxdb", "both"), default="both")
    parser.add_argument("--horizon", type=float, default=HORIZON_DAYS, help="days")
    parser.add_argument("--machines", type=int, help="only the first so many")
    parser.add_argument("--until", type=date.fromisoformat, default=UNTIL)
    parser.add_argument("--choose", action="store_true", help="try other settings on January to June, and end")
    parser.add_argument("--compare", action="store_true", help="walk once for each of what may speak, and end")
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=list(VARIANTS), help="of --compare")
    options = parser.parse_args()
    dataset = options.dataset if options.dataset.name == "azure_pdm" else options.dataset / "azure_pdm"
    if not dataset.is_dir():
        raise SystemExit(f"no data set at {dataset}; name its folder with --dataset")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fleetdx-azure-") as scratch:
        history = Path(scratch) / "history"
        last = TRAIN_UNTIL if options.choose else options.until
        write_history(dataset, history, machines=options.machines, last=last)
        if options.choose:
            sys.stdout.write(json.dumps({"choices": choose(history)}) + "\n")
            return
        if options.compare:
            compared = compare(
                history, Path(scratch), options.variants, until=options.until, horizon_days=options.horizon
            )
            seconds = round(time.monotonic() - begun, 1)
            sys.stdout.write(json.dumps({"variants": compared, "seconds": seconds}) + "\n")
            return
        stores = ["duckdb", "influxdb"] if options.store == "both" else [options.store]
        if influxdb.executable() is None and "influxdb" in stores:
            console.print("There is no influxd on PATH: the walk on InfluxDB is left out.")
            stores.remove("influxdb")
        results = {}
        tickets = {}
        for store in stores:
            results[store], tickets[store] = run_on(
                store, history, Path(scratch) / store, TRAIN_UNTIL, options.until, options.horizon
            )
            say_report(results[store], time.monotonic() - results[store]["seconds"])
        horizons = {f"{options.horizon:g}": {name: results[stores[0]][name] for name in FIGURES}}
        for days in SHORTER_DAYS:
            horizons[f"{days:g}"] = skill(history, TRAIN_UNTIL, options.until, days)
    first = results[stores[0]]
    same = all(found == tickets[stores[0]] for found in tickets.values()) if len(stores) > 1 else None
    by_store = {store: {name: result[name] for name in ("seconds", "ingest")} for store, result in results.items()}
    whole = {"stores": by_store, "same_tickets_on_all_stores": same, "seconds": round(time.monotonic() - begun, 1)}
    whole["by_horizon"] = horizons
    whole["average_precision_by_horizon"] = {days: found["average_precision"] for days, found in horizons.items()}
    sys.stdout.write(json.dumps(first | whole) + "\n")


if __name__ == "__main__":
    main()

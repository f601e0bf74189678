"""``fleetdx import`` and ``replay``: a history folder into the store, or through a broker."""

from __future__ import annotations

import time
from pathlib import Path

from config.operating_day import NS
from fleetdx.counted import say_counters
from fleetdx.data_folder import DataFolder
from fleetdx.field_records import field_records
from fleetdx.left_out import say_columns_left_out
from fleetdx.program import Program
from fleetdx.publisher import Publisher
from fleetdx.terminal import print_json, progress, say
from fleetdx.wiring import read_installation
from ingest import aemp
from ingest import history as histories
from ingest.counters import Counters
from ingest.history import History

ANY_AGE_DAYS = 100_000.0


def import_history(folder: Path, config: Path | None, data: Path, *, as_json: bool) -> None:
    """Store a history folder's telemetry, faults and field records."""
    with Program(read_installation(config or folder), DataFolder(data)) as program:
        counters, records = bring(program, History.open(folder))
        if as_json:
            print_json(counters.as_dict() | {"field_records": records})
        else:
            say_counters(counters, f", {records:,} new records of maintenance and failures")


def import_aemp(file: Path, config: Path, data: Path, *, asset_id: str | None, as_json: bool) -> None:
    """Store the fault codes of a file that a telematics portal gave (ISO 15143-3)."""
    with Program(read_installation(config), DataFolder(data)) as program:
        pipeline, register = program.pipeline(max_age_days=ANY_AGE_DAYS), program.installation.register
        counters = aemp.import_faults(file, register, pipeline, program.accounting, program.store, asset_id=asset_id)
        if as_json:
            print_json(counters.as_dict())
        else:
            say_counters(counters)


def bring(program: Program, history: History) -> tuple[Counters, int]:
    """Import a history into a program; return what was counted, and how many field records are new."""
    say_columns_left_out(history)
    pipeline = program.pipeline(max_age_days=ANY_AGE_DAYS)
    with progress("samples imported") as report:
        counters = histories.import_history(history, pipeline, program.accounting, report)
    return counters, program.ledger.note_field_records(field_records(history))


def replay_history(folder: Path, *, host: str, port: int, prefix: str, speed: float | None, as_json: bool) -> None:
    """Publish a history through a broker, ``speed`` times as fast as it happened."""
    history = History.open(folder)
    say_columns_left_out(history)
    publisher = Publisher(host, port, "fleetdx-replay")
    begun, first, sent = time.monotonic(), None, 0
    with progress("messages published") as report:
        for topic, payload, at in history.messages(prefix):
            first = at if first is None else first
            if speed is not None:
                wait = (at - first) / NS / speed - (time.monotonic() - begun)
                if wait > 0:
                    publisher.drain()
                    time.sleep(wait)
            publisher.send(topic, payload)
            sent += 1
            if sent % 500 == 0:
                report(sent, None)
        publisher.close()
    seconds = round(time.monotonic() - begun, 1)
    if as_json:
        print_json({"messages": sent, "seconds": seconds})
    else:
        say(f"{sent:,} messages published in {seconds:,} s.")

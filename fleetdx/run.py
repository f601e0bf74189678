"""``fleetdx run``, ``ingest`` and ``score``: the service, whole or in parts."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from config.installation import Installation
from config.watch import Watched
from fleetdx.counted import say_counters
from fleetdx.data_folder import DataFolder
from fleetdx.failure import CannotGoOn
from fleetdx.ingest_thread import IngestThread
from fleetdx.intake_watch import LOOK_SECONDS, IntakeWatch
from fleetdx.program import Program
from fleetdx.terminal import print_json, progress, say
from fleetdx.wiring import (
    check_connector,
    configuration_folder,
    load_rules,
    post,
    read_installation,
    secret,
    ticket_connector,
)

if TYPE_CHECKING:
    from waitress.server import BaseWSGIServer

log = logging.getLogger(__name__)
_WATCH_SECONDS = 2
_DELIVER_SECONDS = 15
LARGEST_REQUEST = 2_000_000
"""Bytes that the console's server takes of a request, before any page looks at it."""
_ATTEND_SECONDS = 15


def run(config: Path, data: Path) -> None:
    """Ingest, score, deliver and serve until told to stop."""
    stop = _stopping()
    installation = read_installation(config)
    os.environ["FLEETDX_BASE_URL"] = installation.settings.console.base_url or ""  # for Django's settings
    with Program(installation, DataFolder(data)) as program:
        from console.context import provide  # Django is set up by now

        settings = program.installation.settings
        _check_ticket_system(program)
        if settings.outcomes.secret_env:
            secret(settings.outcomes.secret_env, "the key of inbound outcomes")
        pipeline = program.pipeline()
        subscriber = program.subscriber(pipeline)
        ingesting, watch = IngestThread(subscriber, stop.set), IntakeWatch(program, subscriber)
        scheduler = _scheduler(program, stop)
        scheduler.add_job(watch.look, "interval", seconds=LOOK_SECONDS)
        written = configuration_folder(config)
        watched = Watched(written, _usable) if written is not None else None  # what is inferred does not change

        def look_for_changes() -> None:
            changed = watched.poll(datetime.now(UTC)) if watched is not None else None
            if changed is not None:
                program.adopt(changed)
                pipeline.adopt(changed.register)
                provide(program.installation, program.store, program.accounting, program.rules.held_back)
                say("The changed configuration is in force; store, mqtt and console take up theirs at the next start.")

        if written is not None:
            scheduler.add_job(look_for_changes, "interval", seconds=_WATCH_SECONDS)
        console = console_server(settings.console.host, settings.console.port, program)
        ingesting.start()
        scheduler.start()
        threading.Thread(target=console.run, name="console", daemon=True).start()
        say(f"Console: http://{settings.console.host}:{console.effective_port}/   Ctrl-C ends.")
        stop.wait()
        scheduler.shutdown(wait=True)
        console.close()
        ingesting.finish()


def _check_ticket_system(program: Program) -> None:
    """Raise ``CannotGoOn`` where tickets or letters could never be delivered; opens no connection."""
    post(program.installation)
    connector = ticket_connector(program.installation)
    if connector is not None:
        connector.close()


def _usable(installation: Installation) -> None:
    """Raise ``ConfigError`` for what reading the files does not show."""
    load_rules(installation)
    check_connector(installation)


def _scheduler(program: Program, stop: threading.Event) -> BackgroundScheduler:
    """Return a scheduler, not started, of the sweep and the deliveries.

    In UTC, and what is missed is run late once: what a job does depends on what is due, never on when it is started.
    """
    defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    scheduler = BackgroundScheduler(timezone=UTC, job_defaults=defaults, executors={"default": ThreadPoolExecutor(4)})
    minutes = program.installation.settings.daily.sweep_minutes
    soon = datetime.now(UTC)
    scheduler.add_job(lambda: program.score(stop=stop), "interval", minutes=minutes, next_run_time=soon)
    scheduler.add_job(program.deliver, "interval", seconds=_DELIVER_SECONDS)
    if program.installation.settings.outcomes.poll:
        scheduler.add_job(program.ask, "interval", seconds=program.installation.settings.tickets.poll_seconds)
    scheduler.add_job(program.attend, "interval", seconds=_ATTEND_SECONDS)
    return scheduler


def console_server(host: str, port: int, program: Program) -> BaseWSGIServer:
    """Return a waitress server of the console, bound and not yet serving. Raises ``CannotGoOn`` if it can't bind."""
    from waitress.server import create_server

    from console.context import provide
    from console.wsgi import application

    provide(program.installation, program.store, program.accounting, program.rules.held_back)
    try:
        return create_server(
            application, host=host, port=port, threads=4, ident=None, max_request_body_size=LARGEST_REQUEST
        )
    except OSError as error:
        raise CannotGoOn(f"cannot serve the console on {host}:{port}: {error.strerror}. Choose another port.") from None


def ingest(config: Path, data: Path, *, idle_exit: float | None, as_json: bool) -> None:
    """Take messages until told to stop, or until none came for a while.

    Raises ``CannotGoOn`` where none came because none could: no broker answers, or the store does not.
    """
    stop = _stopping()
    with Program(read_installation(config), DataFolder(data)) as program, progress("messages") as report:
        subscriber = program.subscriber(program.pipeline(max_age_days=None))
        intake = IntakeWatch(program, subscriber)
        taken, last, problem, looked = 0, time.monotonic(), "", 0.0

        def took(messages: int) -> None:
            nonlocal taken, last
            taken, last = taken + messages, time.monotonic()
            report(taken, None)

        def watch() -> None:
            nonlocal problem, looked
            while not stop.wait(0.2):
                if time.monotonic() - looked > LOOK_SECONDS:
                    looked = time.monotonic()
                    with suppress(sqlite3.OperationalError):  # a full disk; it is tried again
                        intake.note()
                if idle_exit is not None and time.monotonic() - last > idle_exit:
                    problem = subscriber.problem
                    stop.set()

        threading.Thread(target=watch, daemon=True).start()
        subscriber.run(stop, took)
        if problem:
            raise CannotGoOn(f"nothing can be taken in: {problem}")
        counters = program.accounting.counters()
        if as_json:
            print_json(counters.as_dict())
        else:
            say_counters(counters)


def score(config: Path, data: Path, *, until: datetime | None, as_json: bool) -> None:
    """Score what is due and deliver tickets, once."""
    clock = time.time_ns
    if until is not None:
        at = int(until.replace(tzinfo=until.tzinfo or UTC).timestamp() * 1e9)

        def clock() -> int:
            return at

    with Program(read_installation(config), DataFolder(data), clock) as program:
        _check_ticket_system(program)
        with progress("scoring asset-days") as report:
            swept = program.score(progress=report)
        program.attend()
        with progress("delivering tickets") as report:
            delivered = program.deliver(progress=report)
        result = {
            "asset_days": swept.asset_days,
            "revisions": swept.revisions,
            "tickets_created": delivered.created,
            "tickets_found": delivered.found,
            "tickets_continued": delivered.continued,
            "tickets_held_back": delivered.held_back,
            "tickets_postponed": delivered.postponed,
            "tickets_dead": delivered.dead,
        }
        if as_json:
            print_json(result)
        else:
            say(", ".join(f"{name.replace('_', ' ')}: {n}" for name, n in result.items()))


def _stopping() -> threading.Event:
    """Return an event that SIGTERM and Ctrl-C set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop

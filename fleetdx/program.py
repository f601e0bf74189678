"""An installation at work on a data folder: the parts, put together once, for every command that does real work."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

from threadpoolctl import threadpool_limits

from config.installation import Installation
from config.operating_day import NS
from diagnostics.daily import DailyCycle
from diagnostics.heard import Heard
from diagnostics.sweep import DAYS_AT_ONCE, Due, Sweep, SweepReport
from diagnostics.training import Trainer
from fleetdx.data_folder import DataFolder
from fleetdx.terminal import Report
from fleetdx.wiring import (
    connect_relational,
    disconnect_relational,
    load_rules,
    post,
    telemetry_store,
    ticket_connector,
    workers,
)
from ingest.accounting import Accounting, DayArrivals
from ingest.mqtt import Subscriber
from ingest.pipeline import Pipeline
from ingest.spool import Spool
from models.registry import Registry

if TYPE_CHECKING:
    from alerts.ledger import DjangoLedger
    from alerts.outcomes.polling import PollReport
    from alerts.tickets.outbox import DeliveryReport

log = logging.getLogger(__name__)


def _silent(_done: int, _total: int | None) -> None:
    """Tell nobody."""


class Program:
    """Open it with ``with``. ``clock`` returns ns since the epoch; a replay or a demo gives its own.

    ``ledger`` makes the ledger, once the tables can be reached; a back-test gives one of its own. ``hear`` is told what
    each single rule says of each day.

    Raises (on entering):
        ConfigError: the rules are broken.
        StoreError: the telemetry store can't be opened.
    """

    def __init__(
        self,
        installation: Installation,
        data: DataFolder,
        clock: Callable[[], int] = time.time_ns,
        ledger: Callable[[], DjangoLedger] | None = None,
        hear: Callable[[Heard], None] | None = None,
    ) -> None:
        self.installation, self.data, self.clock, self._make_ledger = installation, data, clock, ledger
        self._hear = hear
        self.store = telemetry_store(installation, data)
        self.workers = workers(installation)
        self.accounting = Accounting(data.ingest)
        self.arrivals: Callable[[], Iterable[DayArrivals]] = self.accounting.arrivals
        self.for_readers = True
        self._scoring = threading.Lock()
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            opened.enter_context(self.data.owned())
            connect_relational(self.data)
            opened.callback(disconnect_relational)
            from alerts.ledger import DjangoLedger
            from alerts.tickets.outbox import try_all_at_once

            try_all_at_once()  # the folder is ours, so whoever held a ticket is gone
            self.ledger = (self._make_ledger or DjangoLedger)()
            self.store.open()
            opened.callback(self.store.close)
            self.accounting.open()
            opened.callback(self.accounting.close)
            opened.callback(self.workers.close)
            self.adopt(self.installation)
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._opened.close()

    def adopt(self, installation: Installation) -> None:
        """Score by another configuration from now on.

        Raises ``ConfigError``, and changes nothing, where its rules are broken.
        """
        rules = load_rules(installation)
        for name, reason in rules.held_back.items():
            log.warning("Rule %s opens no tickets by itself and runs as review: %s", name, reason)
        register, settings = installation.register, installation.settings
        with self._scoring:
            self.installation, self.rules = installation, rules
            self.ledger.adopt(installation)
            self.trainer = Trainer(register, settings, self.ledger, Registry(self.data.registry))
            knowledge, readers = installation.knowledge, self.for_readers
            cycle = DailyCycle(
                register,
                knowledge,
                rules,
                settings,
                self.store,
                self.ledger,
                self._hear,
                for_readers=readers,
                workers=self.workers,
                heeded=None if readers else self.ledger.open_alerts,
            )
            self.sweep = Sweep(register, settings.daily, self.arrivals, self.ledger, cycle, self.trainer)

    def pipeline(self, *, max_age_days: float | None = None) -> Pipeline:
        """Return a pipeline into the store; each is used by one thread."""
        return Pipeline(
            self.store,
            self.accounting,
            self.installation.register,
            mqtt=self.installation.settings.mqtt,
            settings=self.installation.settings.ingest,
            clock=self.clock,
            max_age_days=max_age_days,
        )

    def subscriber(self, pipeline: Pipeline) -> Subscriber:
        """Return a subscriber that feeds a pipeline."""
        settings = self.installation.settings
        most = settings.ingest.spool_max_mb * 1_000_000
        spool = Spool(self.data.ingest.with_name("spool.sqlite3"), most) if most else None
        return Subscriber(settings.mqtt, settings.ingest, pipeline, spool)

    def now(self) -> datetime:
        """Return the clock's instant."""
        return datetime.fromtimestamp(self.clock() / NS, UTC)

    def score(
        self,
        now: datetime | None = None,
        *,
        until: date | None = None,
        stop: threading.Event | None = None,
        progress: Report = _silent,
    ) -> SweepReport:
        """Score every asset-day that is due at ``now`` (the clock's, if not given); see ``Sweep.run``."""
        # Matrices of one day are small: threads that wait for each other cost more than they bring.
        with self._scoring, threadpool_limits(1):
            return self.sweep.run(now or self.now(), until=until, stop=stop, progress=progress)

    def do(self, groups: Sequence[Due], *, days_at_once: int = DAYS_AT_ONCE, progress: Report = _silent) -> SweepReport:
        """Score what ``sweep.due`` returned, or some of it; see ``Sweep.do``."""
        with self._scoring, threadpool_limits(1):
            return self.sweep.do(groups, days_at_once=days_at_once, progress=progress)

    def fit(self, last: date) -> None:
        """Fit every asset type's model on the recorded days up to ``last``, and score by it from now on."""
        with self._scoring:
            for asset_type in self.installation.register.asset_types.values():
                self.trainer.fit(
                    asset_type, last, datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)
                )

    def attend(self) -> int:
        """End shelves, group alerts, call and write to support, as time has passed; return how many letters went."""
        from alerts.upkeep import attend

        return attend(self.installation, post(self.installation), datetime.now(UTC))

    def deliver(self, *, progress: Report = _silent) -> DeliveryReport:
        """Deliver the tickets that are due; none where no ticket system is configured."""
        from alerts.tickets.continuation import Continuation
        from alerts.tickets.dispatch import arrange, sendable
        from alerts.tickets.outbox import DeliveryReport, deliver
        from alerts.tickets.text import compose

        connector = ticket_connector(self.installation)
        if connector is None:
            return DeliveryReport()
        settings = self.installation.settings.tickets
        now = datetime.now(UTC)  # deliveries wait in real time, also where the fleet's time is simulated
        try:
            arrange(self.installation.register, self.installation.settings.alerts, now)
            return deliver(
                connector,
                lambda alert: compose(alert, self.installation),
                now,
                among=sendable(),
                retry_after=timedelta(seconds=settings.retry_seconds),
                continuation=Continuation(settings.reopen_within, settings.wont_fix_lasts),
                progress=progress,
            )
        finally:
            connector.close()

    def ask(self) -> PollReport:
        """Ask the ticket system what became of its tickets, and record it; nothing where it cannot tell."""
        from alerts.outcomes.polling import PollReport, poll

        connector = ticket_connector(self.installation)
        if connector is None:
            return PollReport()
        try:
            return poll(connector, self.installation.settings, self.installation.knowledge, datetime.now(UTC))
        finally:
            connector.close()

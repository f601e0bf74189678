"""A walk through a history in the order of time: the service itself, on what was known at the end of each day.

Up to a day it only learns, then the models are fitted, and from there on each day is scored and its tickets count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from config.installation import Installation
from config.operating_day import NS
from config.settings import Store
from diagnostics.sweep import DAYS_AT_ONCE, Due
from fleetdx.backtest_store import HistoryStore
from fleetdx.data_folder import DataFolder
from fleetdx.failure import CannotGoOn
from fleetdx.program import Program
from fleetdx.terminal import Report
from telemetry.store import TelemetryStore

if TYPE_CHECKING:
    from fleetdx.backtest_ledger import BacktestLedger

_NEVER_BY_ITSELF = 3650
"""Training days that the service would wait for: the walk fits at the day that it is told."""


class Backtest(Program):
    """A program for a walk on a folder of its own. ``ledger`` is one of a back-test.

    It never opens the store that the settings choose, which is the service's: without a ``store`` it keeps samples in
    its folder. By itself it is the service in all it writes; with a ``HistoryStore`` nothing is kept that only people
    would read.
    """

    ledger: BacktestLedger

    def __init__(self, installation: Installation, folder: Path, store: TelemetryStore | None = None) -> None:
        models = installation.settings.models.model_copy(update={"min_training_days": _NEVER_BY_ITSELF})
        settings = installation.settings.model_copy(update={"models": models, "store": Store()})
        fast = isinstance(store, HistoryStore)
        super().__init__(
            replace(installation, settings=settings),
            DataFolder(folder),
            ledger=_column_ledger if fast else _backtest_ledger,
        )
        self.days_at_once = DAYS_AT_ONCE
        if store is not None:
            self.store, self.for_readers = store, not fast
        if isinstance(store, HistoryStore):
            self.arrivals = store.arrivals


def backtest_program(installation: Installation, folder: Path, store: TelemetryStore | None = None) -> Backtest:
    """Return a program for a walk as the service makes it; ``store`` is one for this walk alone."""
    return Backtest(installation, folder, store)


def fast_program(installation: Installation, folder: Path) -> Backtest:
    """Return a program for a walk through a history whose tables are loaded into its store; see ``bring_tables``."""
    folder.mkdir(parents=True, exist_ok=True)
    return Backtest(installation, folder, HistoryStore(folder / "history.duckdb", installation.register))


def _backtest_ledger() -> BacktestLedger:
    from fleetdx.backtest_ledger import BacktestLedger

    return BacktestLedger()


def _column_ledger() -> BacktestLedger:
    from fleetdx.column_ledger import ColumnLedger

    return ColumnLedger()


def walk(program: Backtest, train_until: date, until: date | None, progress: Report) -> None:
    """Learn from the days up to ``train_until``, fit, and score the days after it up to ``until`` (or all).

    From then on models are fitted again when the service would. Raises ``CannotGoOn`` where there is nothing to learn
    from, or nothing after it.
    """
    span = program.store.span()
    if span is None:
        raise CannotGoOn("the history holds no sample of an asset that it knows: there is nothing to walk through.")
    begin, end = (datetime.fromtimestamp(at // NS, UTC) for at in span)
    if not begin.date() <= train_until < end.date():
        raise CannotGoOn(
            f"the history goes from {begin.date()} to {end.date()}: up to {train_until} nothing can be learned, "
            "or after it nothing is left to walk through. Give another --train-until."
        )
    if until is not None and until <= train_until:
        raise CannotGoOn(f"the walk would end on {until}, before it begins on the day after {train_until}.")
    groups = _while_they_last(program.sweep.due(end + timedelta(days=30)))
    learned = [group for group in groups if group.day <= train_until]
    walked = [group for group in groups if group.day > train_until and (until is None or group.day <= until)]
    before, after = (sum(len(group.revisions) for group in some) for some in (learned, walked))
    days = program.days_at_once
    program.ledger.learning = True
    program.do(learned, days_at_once=days, progress=lambda done, _total: progress(done, before + after))
    program.fit(train_until)
    program.ledger.learning = False
    program.do(walked, days_at_once=days, progress=lambda done, _total: progress(before + done, before + after))


def _while_they_last(groups: Sequence[Due]) -> list[Due]:
    """Return the groups without the days after an asset's last one: it failed for good or was taken out.

    The service cannot know that, and waits for such an asset; here its days would only water down what is said of the
    others. Of types that report faults alone a day without any is no end. ``groups`` are in the order of days.
    """
    last = {asset: group.day for group in groups for asset, revision in group.revisions.items() if revision}
    measured = {group.asset_type for group in groups if group.samples}
    kept = []
    for group in groups:
        lasting = {asset: n for asset, n in group.revisions.items() if group.day <= last.get(asset, group.day)}
        group = group._replace(revisions=lasting) if group.asset_type in measured else group
        if group.revisions:
            kept.append(group)
    return kept

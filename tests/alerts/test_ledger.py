"""The ledger in the tables gives back what was recorded, and the daily cycle over it is the one over dictionaries."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from diagnoses import DAY, diagnosis, outcome
from memory_ledger import MemoryLedger
from small_fleet import BERLIN, Fleet, closed, days, rule_set, settings

from config.operating_day import NS, day_bounds
from diagnostics.records import AnomalyScore, AssetDay, Contribution, DayOutcome

pytestmark = pytest.mark.usefixtures("tables")


def test_what_is_recorded_is_done_at_its_revision() -> None:
    from alerts.ledger import DjangoLedger

    ledger = DjangoLedger()
    ledger.record([outcome(diagnosis(asset_id=a), arrivals_revision=n) for n, a in enumerate(["A", "B", "C"])])
    assert ledger.done(["A", "C", "X"], DAY, DAY) == {AssetDay("A", DAY): 0, AssetDay("C", DAY): 2}
    assert ledger.done(["A"], DAY + timedelta(days=1), date.max) == {}
    ledger.record([outcome(diagnosis(asset_id="A"), arrivals_revision=9)])
    assert ledger.done(["A"], DAY, DAY) == {AssetDay("A", DAY): 9}


def test_history_is_the_recorded_panel_to_the_last_bit() -> None:
    from alerts.ledger import DjangoLedger

    ledger = DjangoLedger()
    odd = {"temp.mean": 0.1 + 0.2, "temp.max": 1e-300, "temp.min": -0.0, "temp.std": float("nan")}
    score = AnomalyScore("A", DAY, "ensemble", "v1", 3.5, 3.0, 0.1 + 0.7, (Contribution("temp.mean.own", 5.0, 1.0),))
    ledger.record([outcome(diagnosis(asset_id="A"), features=odd, scores=(score,))])
    ledger.record([outcome(diagnosis(DAY + timedelta(days=1), asset_id="A"), features={"completeness": 0.0})])
    ledger.record([outcome(diagnosis(asset_id="B"), features={"completeness": 1.0})])
    found = ledger.history(["A"], DAY, DAY + timedelta(days=1))
    assert list(found.index) == [("A", pd.Timestamp(DAY)), ("A", pd.Timestamp(DAY + timedelta(days=1)))]
    first = found.iloc[0]
    assert (first["temp.mean"], first["temp.max"], first["score.ensemble"]) == (0.1 + 0.2, 1e-300, 0.1 + 0.7)
    assert "temp.std" not in found or np.isnan(first["temp.std"])
    assert found["completeness"].isna().tolist() == [True, False]
    assert ledger.history(["nobody"], DAY, DAY).empty


def test_recording_again_counts_a_revision_and_leaves_no_score_of_before() -> None:
    from alerts.ledger import DjangoLedger
    from alerts.models import AssetDayRun, Score

    ledger = DjangoLedger()
    scores = tuple(AnomalyScore("A", DAY, name, "v1", 3.5, 3.0, 0.9) for name in ("ensemble", "pca"))
    ledger.record([outcome(diagnosis(asset_id="A"), scores=scores)])
    assert sorted(Score.objects.values_list("detector", flat=True)) == ["ensemble", "pca"]
    ledger.record([outcome(diagnosis(asset_id="A"), features={"completeness": 0.4})])
    run = AssetDayRun.objects.get()
    assert (run.revision, run.features) == (1, {"completeness": 0.4})
    assert not Score.objects.exists()


def test_what_fails_on_the_way_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    from alerts import ledger as module
    from alerts.models import Alert, AssetDayRun, Ticket

    def broken(outcomes: Sequence[DayOutcome], *, keep_days: bool) -> None:
        original(outcomes, keep_days=keep_days)
        raise OSError("disk full")

    original = module.raise_alerts
    monkeypatch.setattr(module, "raise_alerts", broken)
    with pytest.raises(OSError, match="disk full"):
        module.DjangoLedger().record([outcome(diagnosis())])
    assert [kind.objects.count() for kind in (AssetDayRun, Alert, Ticket)] == [0, 0, 0]


def test_field_records_keep_their_time_to_the_millisecond() -> None:
    from alerts.ledger import DjangoLedger

    ledger = DjangoLedger()
    start = int(datetime(2026, 5, 4, tzinfo=UTC).timestamp()) * NS
    times = [start + n * 1_000_000 for n in range(0, 2000, 7)]
    assert ledger.note_field_records([("A", at, "maintenance", "x") for at in times]) == len(times)
    found = ledger.field_records(["A"], times[-2])
    assert found["maintenance"]["time"].tolist() == times[:-1]
    assert found["failures"].empty


def test_the_daily_cycle_over_the_tables_finds_what_it_finds_over_dictionaries(tmp_path: Path) -> None:
    from alerts.ledger import DjangoLedger
    from alerts.models import Alert, Ticket

    models = settings(min_training_days=8, false_tickets_per_100_asset_days=2.0)
    kept = MemoryLedger()

    class Both(DjangoLedger):
        def record(self, outcomes):  # type: ignore[no-untyped-def]
            super().record(outcomes)
            told.extend(outcomes)

    told: list[object] = []
    ledgers = (kept, Both())
    for number, ledger in enumerate(ledgers):
        folder = tmp_path / str(number)
        fleet = Fleet(folder, ledger, rule_set(folder), models)
        with closing(fleet.accounting):
            for n, day in enumerate(days(DAY, 12)):
                for asset_id in ("B-1", "B-2", "B-3", "B-4", "B-5", "B-6"):
                    if (asset_id, n) != ("B-5", 6):
                        fleet.arrive(asset_id, day, temp=95 if asset_id == "B-2" and n >= 9 else 50)
                if n % 3 == 2:
                    fleet.run(closed(day))
                    fleet.restart()
            if number == 1:
                repaired = day_bounds(BERLIN.zone, DAY + timedelta(days=12))[0] + 9 * 3600 * NS
                ledgers[1].note_field_records([("B-2", repaired, "maintenance", "seal: replaced")])
                fleet.arrive("B-2", DAY + timedelta(days=12), temp=95)
                fleet.run(closed(DAY + timedelta(days=12)))
    expected = [repr(outcome) for outcomes in kept.recorded for outcome in outcomes]
    assert [repr(outcome) for outcome in told][: len(expected)] == expected
    alert = Alert.objects.get(asset_id="B-2", failure_mode="HOT")
    assert (alert.first_day, alert.days_seen) == (DAY + timedelta(days=9), 3)
    assert (alert.state, alert.closed_reason) == ("closed", "maintenance: seal: replaced")
    assert list(Ticket.objects.values_list("key", flat=True)) == ["B-2/HOT/1"]

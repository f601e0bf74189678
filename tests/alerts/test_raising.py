"""From diagnoses to alerts and tickets, in the tables."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from diagnoses import DAY, diagnosis, outcome
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.knowledge import ANOMALY
from config.operating_day import NS
from config.register import SEVERITIES
from diagnostics.records import Diagnosis
from fleetdx.data_folder import DataFolder

pytestmark = pytest.mark.usefixtures("tables")
ROOT = Path(__file__).parents[2]


def later(days: int) -> date:
    return DAY + timedelta(days=days)


def told(*diagnoses: Diagnosis) -> None:
    from alerts.ledger import DjangoLedger

    DjangoLedger().record([outcome(*diagnoses)])


def alerts() -> list[Any]:
    from alerts.models import Alert

    return list(Alert.objects.order_by("id"))


def tickets() -> list[str]:
    from alerts.models import Ticket

    return list(Ticket.objects.order_by("id").values_list("key", flat=True))


def test_a_condition_that_holds_opens_one_alert_and_one_ticket_however_often_it_is_told() -> None:
    for _ in range(3):
        told(diagnosis())
    (alert,) = alerts()
    assert (alert.state, alert.episode, alert.days_seen, alert.severity) == ("unacknowledged", 1, 1, "major")
    assert alert.act_by == alert.known_at + timedelta(hours=48)
    assert tickets() == ["EMU-01-A/AIR-LEAK/1"]


@pytest.mark.parametrize("condition", [False, None])
def test_what_does_not_hold_or_is_not_known_opens_nothing(condition: bool | None) -> None:
    told(diagnosis(condition=condition))
    assert alerts() == []


def test_more_days_are_counted_on_the_same_alert() -> None:
    for n, condition in enumerate([True, True, None, False, True]):
        told(diagnosis(later(n), condition))
    (alert,) = alerts()
    assert (alert.days_seen, alert.days_clear, alert.first_day, alert.last_true_day) == (3, 0, DAY, later(4))
    assert list(alert.days.values_list("condition", flat=True)) == [True, True, None, False, True]
    assert len(tickets()) == 1


def test_after_it_was_closed_the_next_time_is_the_next_episode_with_its_own_ticket() -> None:
    from alerts.lifecycle import review

    told(diagnosis())
    review.acknowledge(alerts()[0].pk, None)
    for n in (1, 2, 3):
        told(diagnosis(later(n), False))
    assert (alerts()[0].state, alerts()[0].closed_reason) == ("closed", "returned to normal")
    told(diagnosis(later(4)))
    assert [alert.episode for alert in alerts()] == [1, 2]
    assert tickets() == ["EMU-01-A/AIR-LEAK/1", "EMU-01-A/AIR-LEAK/2"]


def test_several_days_in_one_call_are_as_good_as_one_by_one() -> None:
    from alerts.ledger import DjangoLedger
    from alerts.lifecycle import review

    told(diagnosis())
    review.acknowledge(alerts()[0].pk, None)
    days = [diagnosis(later(n), condition) for n, condition in enumerate([False, False, False, True], 1)]
    DjangoLedger().record([outcome(day) for day in days])
    assert [(alert.episode, alert.state) for alert in alerts()] == [(1, "closed"), (2, "unacknowledged")]


def test_a_revision_of_a_day_of_a_closed_episode_opens_no_other() -> None:
    from alerts.lifecycle import review

    told(diagnosis())
    review.acknowledge(alerts()[0].pk, None)
    for n in (1, 2, 3):
        told(diagnosis(later(n), False))
    told(diagnosis(later(2), True))
    assert len(alerts()) == 1


def test_late_data_that_thinks_otherwise_takes_no_evidence_away() -> None:
    told(diagnosis())
    told(diagnosis(condition=False))
    (alert,) = alerts()
    assert list(alert.days.values_list("condition", flat=True)) == [True]
    assert alert.days.get().diagnosis["text"] == {"en": "It leaks.", "zh": "泄漏。"}
    assert len(tickets()) == 1


EVENTS = st.tuples(
    st.sampled_from([True, False, None]),
    st.sampled_from(SEVERITIES),
    st.sampled_from(["auto", "review"]),
    st.sampled_from([24.0, 48.0, 168.0]),
    st.sampled_from(["", "acknowledge", "confirm", "repair"]),
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(EVENTS, min_size=1, max_size=12))
def test_whatever_is_told_severity_never_falls_while_an_alert_is_open(events: list[tuple[Any, ...]]) -> None:
    from alerts.lifecycle import review
    from alerts.models import Alert, AssetDayRun

    Alert.objects.all().delete()
    AssetDayRun.objects.all().delete()
    before: dict[int, Any] = {}
    for n, (condition, severity, ticket, hours, act) in enumerate(events):
        told(diagnosis(later(n), condition, severity=severity, ticket=ticket, act_within_hours=hours))
        now = {alert.pk: alert for alert in alerts()}
        still_open = [alert for alert in now.values() if alert.state != "closed"]
        assert len(still_open) <= 1
        assert sorted(alert.episode for alert in now.values()) == list(range(1, len(now) + 1))
        for pk, alert in now.items():
            known = before.get(pk)
            if known is not None:
                assert SEVERITIES.index(alert.severity) >= SEVERITIES.index(known.severity)
                assert alert.act_by <= known.act_by
                assert (known.state, alert.state) != ("closed", "unacknowledged")
                if condition is None:
                    assert (alert.state, alert.days_clear) == (known.state, known.days_clear)
        assert (condition is True) <= bool(still_open)
        wanted = [a.pk for a in now.values() if a.ticket == "auto" or a.confirmed_at]
        assert [alert.pk for alert in now.values() if hasattr(alert, "case")] == wanted
        for alert in still_open:
            if act == "acknowledge":
                review.acknowledge(alert.pk, None)
            elif act == "confirm":
                review.confirm(alert.pk, None)
            elif act == "repair":
                review.close_repaired(alert.asset_id, alert.known_at, "x")
        before = {alert.pk: alert for alert in alerts()}


# Review, suppression, repair.


def test_what_is_under_review_gets_its_ticket_when_somebody_confirms_it() -> None:
    from alerts.lifecycle import review

    told(diagnosis(ticket="review"))
    assert tickets() == []
    for _ in range(2):
        review.confirm(alerts()[0].pk, None)
    assert tickets() == ["EMU-01-A/AIR-LEAK/1"]


def test_what_was_under_review_gets_its_ticket_when_a_firm_rule_agrees() -> None:
    told(diagnosis(ticket="review", severity="minor"))
    told(diagnosis(later(1), ticket="auto"))
    (alert,) = alerts()
    assert (alert.ticket, alert.severity) == ("auto", "major")
    assert len(tickets()) == 1


def test_a_closed_alert_is_not_confirmed() -> None:
    from alerts.lifecycle import review

    told(diagnosis(ticket="review"))
    review.close_repaired("EMU-01-A", alerts()[0].known_at, "x")
    review.confirm(alerts()[0].pk, None)
    assert tickets() == []


def test_what_another_failure_mode_explains_opens_no_ticket_until_it_stands_alone() -> None:
    cause = {"failure_mode": "DOOR-DRIVE", "suppresses": ("AIR-LEAK",)}
    told(diagnosis(), diagnosis(**cause))
    leak = next(alert for alert in alerts() if alert.failure_mode == "AIR-LEAK")
    assert leak.suppressed_by == "explained by DOOR-DRIVE"
    assert tickets() == ["EMU-01-A/DOOR-DRIVE/1"]
    told(diagnosis(later(1), None), diagnosis(later(1), False, **cause))
    assert tickets() == ["EMU-01-A/DOOR-DRIVE/1"]  # what is not known asks for nothing
    told(diagnosis(later(2)), diagnosis(later(2), False, **cause))
    assert sorted(tickets()) == ["EMU-01-A/AIR-LEAK/1", "EMU-01-A/DOOR-DRIVE/1"]


def test_an_anomaly_is_explained_by_any_open_alert_of_its_asset_and_of_no_other() -> None:
    anomaly = {"failure_mode": ANOMALY.code, "ticket": "auto"}
    told(diagnosis(), diagnosis(**anomaly))
    told(diagnosis(asset_id="EMU-01-B", **anomaly))
    assert tickets() == ["EMU-01-A/AIR-LEAK/1", f"EMU-01-B/{ANOMALY.code}/1"]
    explained = next(a for a in alerts() if a.failure_mode == ANOMALY.code and a.asset_id == "EMU-01-A")
    assert explained.suppressed_by == "explained by AIR-LEAK"


def test_a_repair_closes_what_was_known_before_it_and_nothing_else() -> None:
    from alerts.ledger import DjangoLedger

    ledger = DjangoLedger()
    told(diagnosis())
    told(diagnosis(asset_id="EMU-01-B"))
    told(diagnosis(later(2), failure_mode="DOOR-DRIVE"))
    at = int(alerts()[0].known_at.timestamp()) * NS + 5 * 3600 * NS
    records = [("EMU-01-A", at, "maintenance", "dryer: replaced"), ("EMU-99", at, "failure", "AIR-LEAK")]
    assert ledger.note_field_records(records) == 2
    assert ledger.note_field_records(records) == 0
    assert ledger.close_repaired(["EMU-01-A", "EMU-01-B"], 0, at - 10**6) == 0
    assert ledger.close_repaired(["EMU-01-B"], 0, at) == 0
    assert ledger.close_repaired(["EMU-01-A", "EMU-01-B"], 0, at) == 1
    assert ledger.close_repaired(["EMU-01-A", "EMU-01-B"], 0, at) == 0
    assert [alert.state for alert in alerts()] == ["closed", "unacknowledged", "unacknowledged"]
    assert alerts()[0].closed_reason == "maintenance: dryer: replaced"
    assert alerts()[0].closed_at.timestamp() * NS == at


# Two scorers at once.


def test_the_second_of_two_scorers_finds_the_alert_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    from alerts.lifecycle import raising, states

    begin, first = states.raised, True

    def overtaken(day: date) -> states.Life:
        nonlocal first
        if first:
            first = False
            raising.raise_alerts([outcome(diagnosis())])
        return begin(day)

    monkeypatch.setattr(states, "raised", overtaken)
    raising.raise_alerts([outcome(diagnosis())])
    assert not first
    assert len(alerts()) == 1
    assert len(tickets()) == 1


def test_two_threads_that_record_the_same_days_leave_one_alert_and_one_ticket_each() -> None:
    from django.db import connections

    from alerts.ledger import DjangoLedger
    from alerts.models import AssetDayRun

    together, errors = threading.Barrier(2), list[BaseException]()

    def score() -> None:
        try:
            for n in range(10):
                together.wait(20)
                DjangoLedger().record([outcome(diagnosis(asset_id=f"C-{n}"))])
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=score) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert sorted(tickets()) == [f"C-{n}/AIR-LEAK/1" for n in range(10)]
    assert len(alerts()) == 10
    assert set(AssetDayRun.objects.values_list("revision", flat=True)) == {1}


SCORER = """
import sys, time
from pathlib import Path
from fleetdx.data_folder import DataFolder
from fleetdx.wiring import connect_relational
folder = Path(sys.argv[1])
connect_relational(DataFolder(folder))
from alerts.ledger import DjangoLedger
from diagnoses import diagnosis, outcome
(folder / f"ready-{sys.argv[2]}").touch()
while len(list(folder.glob("ready-*"))) < 2:
    time.sleep(0.001)
for n in range(20):
    DjangoLedger().record([outcome(diagnosis(asset_id=f"C-{n}"))])
"""


@pytest.mark.slow
def test_two_processes_that_record_the_same_days_leave_one_alert_and_one_ticket_each(tables: DataFolder) -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    scorers = [
        subprocess.Popen(
            [sys.executable, "-c", SCORER, str(tables.root), str(number)],
            env=os.environ | {"PYTHONPATH": path},
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    assert [(scorer.communicate(timeout=60)[1], scorer.returncode) for scorer in scorers] == [("", 0)] * 2
    assert sorted(tickets()) == sorted(f"C-{n}/AIR-LEAK/1" for n in range(20))
    assert len(alerts()) == 20

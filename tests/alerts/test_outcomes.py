"""From what the workshop found to the alert, to repeat offenders, and to what models learn."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from diagnoses import DAY, diagnosis, outcome

from alerts.outcomes.finding import Finding
from config.operating_day import NS
from config.settings import Outcomes, Settings
from diagnostics.records import Diagnosis
from fleetdx.data_folder import DataFolder

pytestmark = pytest.mark.usefixtures("tables")
SETTINGS = Settings()
NOW = datetime(2027, 1, 1, tzinfo=UTC)


def later(days: int) -> date:
    return DAY + timedelta(days=days)


def noon(days: int) -> datetime:
    return datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=UTC) + timedelta(days=days)


def told(*diagnoses: Diagnosis) -> None:
    from alerts.ledger import DjangoLedger

    for one in diagnoses:
        DjangoLedger().record([outcome(one)])


def alerts() -> list[Any]:
    from alerts.models import Alert

    return list(Alert.objects.order_by("id"))


def found(alert: Any, verdict: str = "confirmed", days: int = 1, *, settings: Settings = SETTINGS, **more: Any) -> bool:
    from alerts.models import Outcome
    from alerts.outcomes.record import record

    finding = Finding(verdict=verdict, at=noon(days), **more)  # type: ignore[arg-type]
    return record(alert.pk, finding, Outcome.Source.CONSOLE, settings, NOW)


def records() -> dict[str, list[tuple[str, int, str]]]:
    from alerts.ledger import DjangoLedger

    frames = DjangoLedger().field_records(["EMU-01-A", "EMU-02-A"], int(NOW.timestamp()) * NS)
    return {name: list(frame.itertuples(index=False, name=None)) for name, frame in frames.items()}


def sound() -> list[tuple[str, str, str]]:
    from alerts.ledger import DjangoLedger

    frame = DjangoLedger().sound_days(["EMU-01-A", "EMU-02-A"], int(NOW.timestamp()) * NS)
    return [(asset, str(day.date()), what) for asset, day, what in frame.itertuples(index=False)]


@pytest.mark.parametrize(
    ("verdict", "action", "state", "reason"),
    [
        ("confirmed", "hose replaced", "closed", "outcome: confirmed"),
        ("confirmed", "", "acknowledged", ""),
        ("false_alarm", "", "acknowledged", ""),
        ("no_trouble_found", "tested", "acknowledged", ""),
    ],
)
def test_a_repair_closes_the_alert_and_every_other_finding_is_taking_note(
    verdict: str, action: str, state: str, reason: str
) -> None:
    told(diagnosis())
    assert found(alerts()[0], verdict, action=action)
    (alert,) = alerts()
    assert (alert.state, alert.closed_reason) == (state, reason)
    assert alert.acknowledged_at == NOW


def test_one_in_which_nothing_was_found_stays_with_its_ticket_until_it_returns_to_normal() -> None:
    from alerts.models import Ticket

    told(diagnosis())
    found(alerts()[0], "no_trouble_found")
    told(*(diagnosis(later(n)) for n in (1, 2, 3)))
    assert [(alert.state, alert.days_seen) for alert in alerts()] == [("acknowledged", 4)]
    assert Ticket.objects.count() == 1
    told(*(diagnosis(later(n), False) for n in (4, 5, 6)))
    assert [(alert.state, alert.closed_reason) for alert in alerts()] == [("closed", "returned to normal")]


def test_one_that_has_returned_closes_when_somebody_says_what_it_was() -> None:
    told(diagnosis(), *(diagnosis(later(n), False) for n in (1, 2, 3)))
    assert alerts()[0].state == "returned"
    found(alerts()[0], "false_alarm", 4)
    assert (alerts()[0].state, alerts()[0].closed_reason) == ("closed", "outcome: false_alarm")


def test_the_same_again_changes_nothing_and_a_correction_is_kept_beside_what_was_said_before() -> None:
    from alerts.models import Outcome

    told(diagnosis())
    (alert,) = alerts()
    assert found(alert, "confirmed", cause="hose", cost=None)
    assert not found(alert, "confirmed", cause="hose")
    assert found(alert, "false_alarm", cause="hose")
    rows = Outcome.objects.order_by("id")
    assert [(row.verdict, row.superseded_at is None) for row in rows] == [("confirmed", False), ("false_alarm", True)]


def test_a_confirmed_one_is_a_failure_and_a_repair_for_the_models() -> None:
    told(diagnosis())
    found(alerts()[0], action="hose replaced")
    at = int(noon(1).timestamp()) * NS
    known = records()
    assert known["failures"] == [("EMU-01-A", at, "AIR-LEAK")]
    assert known["maintenance"] == [("EMU-01-A", at, "AIR-LEAK: hose replaced")]
    assert [row[:3] for row in known["outcomes"]] == [("EMU-01-A", at, "AIR-LEAK")]
    assert sound() == []


def test_what_was_found_instead_is_what_failed() -> None:
    told(diagnosis(failure_mode="ANOMALY", source="model:ensemble@1", ticket="review"))
    found(alerts()[0], failure_mode="AIR-DRYER")
    assert [what for _, _, what in records()["failures"]] == ["AIR-DRYER"]


def test_a_failure_that_the_field_reported_itself_counts_once() -> None:
    from alerts.ledger import DjangoLedger

    told(diagnosis())
    reported = int(noon(1).timestamp()) * NS - 3600 * NS
    DjangoLedger().note_field_records([("EMU-01-A", reported, "failure", "AIR-LEAK")])
    found(alerts()[0])
    assert records()["failures"] == [("EMU-01-A", reported, "AIR-LEAK")]


def test_days_of_an_alert_in_which_nothing_was_wrong_are_sound_until_it_was_looked_at() -> None:
    told(diagnosis(), diagnosis(later(1)), diagnosis(later(2), None), diagnosis(later(3)), diagnosis(later(4)))
    found(alerts()[0], "no_trouble_found", 3)
    assert sound() == [("EMU-01-A", str(later(n)), "AIR-LEAK") for n in (0, 1, 3)]
    assert records()["failures"] == []


def test_a_correction_corrects_what_is_learned() -> None:
    told(diagnosis())
    found(alerts()[0], "false_alarm")
    assert len(sound()) == 1
    found(alerts()[0], "confirmed")
    assert sound() == []
    assert len(records()["failures"]) == 1


# Repeat offenders.


def back(after_days: int = 10, *, verdict: str = "confirmed", action: str = "hose replaced") -> Any:
    """Let it be repaired, and come back; return the second alert."""
    told(diagnosis())
    found(alerts()[0], verdict, action=action)
    if not action:
        told(*(diagnosis(later(n), False) for n in (1, 2, 3)))
    told(diagnosis(later(after_days)))
    return alerts()[1]


@pytest.mark.parametrize(("verdict", "action"), [("confirmed", "hose replaced"), ("no_trouble_found", "")])
def test_what_is_back_soon_after_an_outcome_is_a_repeat_offender_and_is_held(verdict: str, action: str) -> None:
    alert = back(verdict=verdict, action=action)
    assert alert.repeat_of == alerts()[0]
    assert alert.held
    assert not alerts()[0].held


def test_what_is_back_late_or_was_never_judged_is_none() -> None:
    alert = back(40)
    assert (alert.repeat_of, alert.held) == (None, False)


def test_without_an_outcome_it_is_none() -> None:
    from alerts.ledger import DjangoLedger

    told(diagnosis())
    repaired = int(noon(1).timestamp()) * NS
    DjangoLedger().note_field_records([("EMU-01-A", repaired, "maintenance", "air: hose")])
    assert DjangoLedger().close_repaired(["EMU-01-A"], 0, repaired + 1) == 1
    told(diagnosis(later(9)))
    assert (alerts()[1].repeat_of, alerts()[1].held) == (None, False)


def test_another_asset_or_failure_mode_is_none() -> None:
    told(diagnosis())
    found(alerts()[0], action="hose replaced")
    told(diagnosis(later(5), asset_id="EMU-02-A"), diagnosis(later(5), failure_mode="AIR-DRYER"))
    assert [alert.repeat_of for alert in alerts()] == [None, None, None]


def test_neither_acknowledging_nor_a_return_to_normal_nor_a_repair_closes_it_but_the_root_cause_does() -> None:
    from alerts.ledger import DjangoLedger
    from alerts.lifecycle import review

    alert = back()
    review.acknowledge(alert.pk, None)
    told(*(diagnosis(later(n), False) for n in range(11, 17)))
    assert alerts()[1].state == "acknowledged"
    repaired = int(noon(17).timestamp()) * NS
    DjangoLedger().note_field_records([("EMU-01-A", repaired, "maintenance", "air: hose")])
    assert DjangoLedger().close_repaired(["EMU-01-A"], 0, repaired + 1) == 0
    found(alert, action="hose replaced again", days=17)
    assert alerts()[1].state == "acknowledged"
    found(alert, action="hose replaced again", days=17, root_cause="bracket chafes the hose: moved")
    assert (alerts()[1].state, alerts()[1].held, alerts()[1].closed_reason) == ("closed", False, "outcome: confirmed")


def test_with_its_root_cause_known_it_goes_on_by_the_ordinary_way() -> None:
    alert = back()
    found(alert, "no_trouble_found", 11, root_cause="sensor drifts when cold")
    assert (alerts()[1].state, alerts()[1].held) == ("acknowledged", False)
    told(*(diagnosis(later(n), False) for n in (12, 13, 14)))
    assert alerts()[1].state == "closed"


def test_marking_again_changes_nothing_and_an_outcome_that_comes_late_marks_it_then() -> None:
    from alerts.lifecycle import review
    from alerts.lifecycle.repeat_offenders import mark_repeats

    told(diagnosis())
    review.acknowledge(alerts()[0].pk, None)
    told(*(diagnosis(later(n), False) for n in (1, 2, 3)), diagnosis(later(8)))
    assert alerts()[1].repeat_of is None
    found(alerts()[0], "no_trouble_found", 3)
    assert mark_repeats(30) == 1
    assert mark_repeats(30) == 0
    assert alerts()[1].held


# Score cards and probation.


def judged(**counts: int) -> None:
    """Raise an alert on each of some assets on one day and judge it on the third."""
    verdicts = [verdict for verdict, count in counts.items() for _ in range(count)]
    told(*(diagnosis(asset_id=f"EMU-{n:02}-B") for n in range(len(verdicts))))
    for alert, verdict in zip(alerts()[-len(verdicts) :], verdicts, strict=True):
        found(alert, verdict, 2)


def cards() -> dict[str, Any]:
    from alerts.outcomes.scorecard import score_cards

    return {card.source: card for card in score_cards(Outcomes(), 7, {})}


def test_the_score_card_of_a_version_counts_what_became_of_its_alerts() -> None:
    judged(confirmed=2, false_alarm=1, no_trouble_found=1)
    told(diagnosis(later(60)))
    card = cards()["rule:air-leak-firm@1"]
    assert (card.raised, card.confirmed, card.false_alarm, card.no_trouble_found) == (5, 2, 1, 1)
    assert (card.open, card.unjudged, card.missed, card.judged, card.precision) == (1, 0, 0, 4, 0.5)
    # Said at the end of the first day, found at noon of the third.
    assert card.lead_median_days == pytest.approx(1.5)
    assert card.lead_p10_days == pytest.approx(1.5)
    assert card.at_least < 0.5 < card.at_most
    assert (card.first_day, card.last_day) == (DAY, later(60))


def test_each_version_has_a_card_of_its_own_and_both_that_spoke_of_an_alert_are_judged_by_it() -> None:
    told(diagnosis(), diagnosis(later(1), source="rule:air-leak-firm@2"))
    found(alerts()[0], "confirmed", 4)
    first, second = cards()["rule:air-leak-firm@1"], cards()["rule:air-leak-firm@2"]
    assert (first.confirmed, second.confirmed) == (1, 1)
    assert first.lead_median_days == pytest.approx(second.lead_median_days + 1)


def test_a_failure_without_an_alert_is_missed_by_whoever_spoke_of_that_failure_mode_at_the_time() -> None:
    from alerts.ledger import DjangoLedger

    told(diagnosis(condition=False), diagnosis(later(9), False), diagnosis(failure_mode="AIR-DRYER", condition=False))
    days = {"too-early": -3, "missed": 5, "too-late": 20}
    DjangoLedger().note_field_records(
        [("EMU-02-A", int(noon(day).timestamp()) * NS, "failure", "AIR-LEAK") for day in days.values()]
    )
    assert {card.failure_modes: card.missed for card in cards().values()} == {("AIR-DRYER", "AIR-LEAK"): 1}
    assert cards()["rule:air-leak-firm@1"].raised == 0


def test_a_failure_that_the_field_reports_confirms_an_alert_that_nobody_judged() -> None:
    from alerts.ledger import DjangoLedger

    told(diagnosis())
    failed = int(noon(4).timestamp()) * NS
    DjangoLedger().note_field_records([("EMU-01-A", failed, "failure", "AIR-LEAK")])
    card = cards()["rule:air-leak-firm@1"]
    assert (card.confirmed, card.missed, card.lead_median_days) == (1, 0, 3.5)
    found(alerts()[0], "false_alarm", 4)
    assert cards()["rule:air-leak-firm@1"].confirmed == 0


def test_a_version_that_is_wrong_too_often_goes_on_probation_and_its_next_alert_waits_for_a_person(
    caplog: pytest.LogCaptureFixture,
) -> None:
    from alerts.models import Ticket

    judged(confirmed=1, false_alarm=4)
    card = cards()["rule:air-leak-firm@1"]
    assert card.probation == "1 of 5 confirmed: at most 49% with 90% confidence, below 50%"
    assert "is on probation" in caplog.text
    assert Ticket.objects.count() == 5
    told(diagnosis(later(90)))
    assert alerts()[-1].ticket == "review"
    assert Ticket.objects.count() == 5
    told(diagnosis(later(90), asset_id="EMU-02-A", source="rule:air-leak-firm@2"))
    assert alerts()[-1].ticket == "auto"  # a new version begins anew
    assert Ticket.objects.count() == 6


def test_one_false_alarm_does_not_condemn_and_neither_do_few() -> None:
    judged(false_alarm=4)
    assert cards()["rule:air-leak-firm@1"].probation == ""


def test_a_person_takes_it_off_and_only_what_is_found_after_that_counts() -> None:
    from alerts.models import Probation
    from alerts.outcomes.probation import end, judge

    judged(false_alarm=5)
    source = "rule:air-leak-firm@1"
    with pytest.raises(ValueError, match="reason"):
        end(source, "anna", " ", NOW)
    assert end(source, "anna", "threshold was wrong on one car only", NOW + timedelta(days=1))
    assert not end(source, "anna", "again", NOW)
    assert judge([source], Outcomes(), 7, NOW + timedelta(days=2)) == []
    told(diagnosis(later(100)))
    assert alerts()[-1].ticket == "auto"
    row = Probation.objects.get()
    assert (row.ended_by, row.ended_why) == ("anna", "threshold was wrong on one car only")


def test_the_tables_hold_that_an_alert_has_one_current_outcome(tables: DataFolder) -> None:
    from django.db import IntegrityError, transaction

    from alerts.models import Outcome

    told(diagnosis())
    found(alerts()[0])
    row = Outcome.objects.get()
    row.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save(force_insert=True)

"""Rules and models speak of the same failure mode with one voice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from config.register import Text
from diagnostics.diagnose import merged
from diagnostics.records import Diagnosis, Expected

SAID = Diagnosis(
    asset_id="A",
    day=date(2026, 1, 1),
    failure_mode="LEAK",
    source="rule:leak@1",
    condition=True,
    severity="minor",
    act_within_hours=48,
    known_at=datetime(2026, 1, 2, tzinfo=UTC),
    text=Text(en="x", zh="x"),
    suppresses=("ANOMALY",),
)
FORESEEN = replace(SAID, source="model:failure@1", severity="major", probability=0.8, suppresses=("LOW",))


@pytest.mark.parametrize(
    ("rule", "model", "together"),
    [
        (True, True, True), (True, False, True), (True, None, True), (False, True, True), (None, True, True),
        (None, False, None), (False, None, None), (False, False, False), (None, None, None),
    ],
)  # fmt: skip
def test_what_holds_beats_what_is_unknown_and_that_beats_what_does_not(
    rule: bool | None, model: bool | None, together: bool | None
) -> None:
    found = merged([replace(SAID, condition=rule), replace(FORESEEN, condition=model)])
    assert [diagnosis.condition for diagnosis in found] == [together]


def test_the_most_severe_of_those_that_hold_speaks_and_all_that_hold_suppress() -> None:
    [both] = merged([SAID, FORESEEN])
    assert both.source == "model:failure@1"
    assert set(both.suppresses) == {"ANOMALY", "LOW"}
    [rule_alone] = merged([SAID, replace(FORESEEN, condition=False, probability=0.1)])
    assert rule_alone.source == "rule:leak@1"
    assert rule_alone.probability == 0.1
    assert rule_alone.suppresses == ("ANOMALY",)


def test_the_time_at_which_it_is_expected_stands_whoever_speaks_and_is_the_latest_deadline() -> None:
    soon = replace(FORESEEN, severity="info", expected=Expected(0.2, 1.0, 2.5))
    [both] = merged([SAID, soon])
    assert both.source == "rule:leak@1"
    assert (both.expected, both.act_within_hours) == (soon.expected, 24.0)
    [later] = merged([SAID, replace(soon, expected=Expected(1.0, 4.0, 6.0))])
    assert later.act_within_hours == 48
    [gone] = merged([SAID, replace(soon, condition=False)])
    assert (gone.expected, gone.act_within_hours) == (None, 48)


def test_other_assets_and_modes_stay_apart() -> None:
    others = [replace(SAID, asset_id="B"), replace(SAID, failure_mode="WEAR")]
    assert merged([SAID, *others]) == [SAID, *others]

"""What keeps alerts back: a machine of decisions and days, beside the life that none of them may touch."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from alerts.lifecycle.states import observed, raised
from alerts.lifecycle.suppression import Hold, Kind, withheld

BEGIN = datetime(2026, 5, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Keeping(RuleBasedStateMachine):
    """One failure mode of an asset; beside it stands an alert that nobody keeps back."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.holds = BEGIN, list[Hold]()
        self.ends: dict[Kind, datetime | None] = {}
        self.life = self.free = raised(BEGIN.date())
        self.by_design = ""

    @rule(hours=st.integers(1, 100))
    def time_passes(self, hours: int) -> None:
        self.now += hours * HOUR
        self.ends = {kind: end for kind, end in self.ends.items() if end is None or end > self.now}

    @rule(
        kind=st.sampled_from(["shelved", "out-of-service"]), hours=st.integers(1, 200), mode=st.sampled_from(["", "X"])
    )
    def somebody_decides(self, kind: Kind, hours: int, mode: str) -> None:
        until = self.now + hours * HOUR
        self.holds.append(Hold(kind, mode, self.now, until))
        before = self.ends.get(kind, self.now)
        self.ends[kind] = None if before is None else max(until, before)

    @rule()
    def it_is_out_of_service_until_further_notice(self) -> None:
        self.holds.append(Hold("out-of-service", "", self.now, None))
        self.ends["out-of-service"] = None

    @rule()
    def another_failure_mode_is_kept_back(self) -> None:
        self.holds.append(Hold("shelved", "Y", self.now, self.now + 1000 * HOUR))

    @rule()
    def everything_is_ended_by_somebody(self) -> None:
        self.holds = [Hold(h.kind, h.failure_mode, h.since, h.until, h.ended_at or self.now) for h in self.holds]
        self.ends = {}

    @rule(reason=st.sampled_from(["", "explained by Z"]))
    def a_rule_explains_it_or_not(self, reason: str) -> None:
        self.by_design = reason

    @rule(condition=st.sampled_from([True, False, None]))
    def a_day_is_observed(self, condition: bool | None) -> None:
        day: date = self.life.last_day + timedelta(days=1)
        withheld("X", self.holds, self.by_design, self.now)
        self.life, self.free = observed(self.life, day, condition), observed(self.free, day, condition)

    @invariant()
    def what_was_decided_holds_until_its_end_and_the_life_goes_on(self) -> None:
        found = withheld("X", self.holds, self.by_design, self.now)
        expected = next((kind for kind in ("out-of-service", "shelved") if kind in self.ends), None)
        assert found == (expected or ("by design" if self.by_design else None))
        assert self.life == self.free

    @invariant()
    def no_shelf_lasts_for_ever(self) -> None:
        shelves = [hold for hold in self.holds if hold.kind == "shelved"]
        end = max((hold.until for hold in shelves if hold.until), default=self.now)
        assert withheld("X", shelves, "", end) is None


Keeping.TestCase.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)
TestKeeping = Keeping.TestCase


def test_a_shelf_without_an_end_and_one_that_ends_before_it_begins_are_refused() -> None:
    with pytest.raises(ValueError, match="a shelf has an end"):
        Hold("shelved", "X", BEGIN, None)
    with pytest.raises(ValueError, match="ends before it begins"):
        Hold("shelved", "X", BEGIN, BEGIN)

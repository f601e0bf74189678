"""The life of an alert: a machine that is told anything in any order, beside what must hold of it."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from alerts.lifecycle.fingerprint import fingerprint, ticket_key
from alerts.lifecycle.states import CLEAR_DAYS, Life, acknowledged, explained, observed, raised, repaired

DAY = date(2026, 5, 4)


class AlertLife(RuleBasedStateMachine):
    """Beside the life stands what was told of it: known days since the last that held, and who took note."""

    @initialize()
    def begin(self) -> None:
        self.life, self.day = raised(DAY), DAY
        self.held, self.clear, self.noted, self.returned, self.closed = 1, 0, False, False, False

    @rule(condition=st.sampled_from([True, False, None]), gap=st.integers(1, 40))
    def a_day_passes(self, condition: bool | None, gap: int) -> None:
        self.day += timedelta(days=gap)
        before, self.life = self.life, observed(self.life, self.day, condition)
        if condition is None or self.closed:
            assert self.life == before
            return
        if condition:
            self.held, self.clear = self.held + 1, 0
            self.noted = self.noted and not self.returned
            self.returned = False
            return
        self.clear += 1
        if self.clear >= CLEAR_DAYS:
            self.returned = True
            self.closed = self.noted

    @rule(condition=st.sampled_from([True, False, None]), back=st.integers(0, 30))
    def a_day_from_before_is_told_again(self, condition: bool | None, back: int) -> None:
        assert observed(self.life, self.life.last_day - timedelta(days=back), condition) == self.life

    @rule()
    def somebody_takes_note(self) -> None:
        self.life = acknowledged(self.life)
        if not self.closed:
            self.noted = True
            self.closed = self.returned

    @precondition(lambda self: not self.closed)
    @rule()
    def nothing_is_told_for_a_year(self) -> None:
        for _ in range(365):
            self.day += timedelta(days=1)
            self.life = observed(self.life, self.day, None)

    @precondition(lambda self: self.held > 3)
    @rule()
    def it_is_repaired(self) -> None:
        self.life, self.closed = repaired(self.life), True

    @invariant()
    def it_stands_where_it_should(self) -> None:
        state = "closed" if self.closed else "returned" if self.returned else None
        expected = state or ("acknowledged" if self.noted else "unacknowledged")
        assert self.life.state == expected
        assert self.life.open == (not self.closed)
        assert self.life.days_seen == self.held
        assert self.life.days_clear == self.clear
        assert self.life.last_day <= self.day


AlertLife.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestAlertLife = AlertLife.TestCase


def told(*conditions: bool | None, life: Life | None = None) -> Life:
    life = life or raised(DAY)
    for n, condition in enumerate(conditions, 1):
        life = observed(life, life.last_day + timedelta(days=n), condition)
    return life


@pytest.mark.parametrize(
    ("life", "state"),
    [
        (told(False, False), "unacknowledged"),
        (told(False, False, False), "returned"),
        (told(False, False, None, None, None, None), "unacknowledged"),
        (told(False, None, False, None, False), "returned"),
        (told(False, False, True, False, False), "unacknowledged"),
        (told(False, False, False, True), "unacknowledged"),
        (told(False, False, False, life=acknowledged(raised(DAY))), "closed"),
        (acknowledged(told(False, False, False)), "closed"),
        (told(True, life=repaired(raised(DAY))), "closed"),
    ],
)
def test_where_it_stands_after_some_days(life: Life, state: str) -> None:
    assert life.state == state


def test_the_same_asset_and_failure_mode_are_the_same_alert_and_each_episode_its_own_ticket() -> None:
    assert fingerprint("EMU-01-A", "AIR-LEAK") == "EMU-01-A/AIR-LEAK"
    assert ticket_key("EMU-01-A", "AIR-LEAK", 2) == "EMU-01-A/AIR-LEAK/2"
    keys = {ticket_key(a, m, n) for a in ("A", "B") for m in ("X", "Y") for n in (1, 2, 11)}
    assert len(keys) == 12


STEPS = st.lists(st.sampled_from(["holds", "clear", "unknown", "acknowledge", "repair"]), max_size=30)


def lived(life: Life, steps: list[str]) -> Life:
    for step in steps:
        if step == "acknowledge":
            life = acknowledged(life)
        elif step == "repair":
            life = repaired(life)
        else:
            condition = {"holds": True, "clear": False, "unknown": None}[step]
            life = observed(life, life.last_day + timedelta(days=1), condition)
    return life


@given(steps=STEPS)
def test_nothing_closes_one_that_is_held_and_all_else_of_it_is_as_ever(steps: list[str]) -> None:
    held = lived(raised(DAY, held=True), steps)
    assert held.open
    assert held.held
    free = lived(raised(DAY), steps)
    if free.open:
        assert (held.state, held.days_seen, held.days_clear) == (free.state, free.days_seen, free.days_clear)


@given(steps=STEPS)
def test_when_the_root_cause_is_known_it_goes_on_as_if_it_had_never_been_held(steps: list[str]) -> None:
    known = explained(lived(raised(DAY, held=True), steps))
    assert not known.held
    if "repair" not in steps and "acknowledge" in steps and steps[-CLEAR_DAYS:] == ["clear"] * CLEAR_DAYS:
        assert not known.open
    assert not repaired(known).open
    still = acknowledged(raised(DAY, held=True))
    assert explained(still).open

"""Which alerts become a group, whatever they are and in whatever portions they come."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.tickets.grouping import Cause, Group, Known, grouped

DAY = datetime(2026, 5, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)
LEAK, DOOR = Cause("AIR-LEAK", "emu", "madrid"), Cause("DOOR-DRIVE", "emu", "madrid")


def known(*hours: float, cause: Cause = LEAK, first: int = 0) -> list[Known]:
    return [Known(DAY + hour * HOUR, first + n, cause) for n, hour in enumerate(hours)]


def members(groups: list[Group]) -> list[list[int]]:
    return [[one.alert for one in group.joined] for group in groups]


def test_few_stay_alone_and_many_within_the_window_are_one_group() -> None:
    assert grouped(known(0, 1, 2, 3), [], 5, 24 * HOUR) == []
    assert members(grouped(known(0, 1, 2, 3, 24), [], 5, 24 * HOUR)) == [[0, 1, 2, 3, 4]]
    assert grouped(known(0, 1, 2, 3, 24.1), [], 5, 24 * HOUR) == []
    assert members(grouped(known(0, 20, 21, 22, 23, 24.1), [], 5, 24 * HOUR)) == [[0, 1, 2, 3, 4]]
    assert members(grouped(known(0, 30, 31, 32, 33, 34), [], 5, 24 * HOUR)) == [[1, 2, 3, 4, 5]]


def test_other_causes_do_not_count() -> None:
    mixed = [*known(0, 0, 0), *known(0, 0, 0, cause=DOOR, first=10)]
    assert grouped(mixed, [], 4, 24 * HOUR) == []
    assert members(grouped(mixed, [], 3, 24 * HOUR)) == [[0, 1, 2], [10, 11, 12]]


def test_who_comes_later_joins_the_group_that_is_there_and_after_its_window_none() -> None:
    there = Group(LEAK, DAY, 7)
    (joined,) = grouped(known(-3, 5, 24, 24.5), [there], 5, 24 * HOUR)
    assert (joined.number, members([joined])) == (7, [[0, 1, 2]])
    assert grouped(known(5, cause=DOOR), [Group(LEAK, DAY, 7)], 5, 24 * HOUR) == []


ALERTS = st.lists(
    st.tuples(st.integers(0, 100), st.sampled_from([LEAK, DOOR, Cause("AIR-LEAK", "emu", "shanghai")])), max_size=60
)


@settings(max_examples=200, deadline=None)
@given(ALERTS, st.integers(2, 6), st.integers(1, 48), st.lists(st.integers(0, 60), max_size=4))
def test_each_is_in_one_group_at_most_and_groups_are_what_they_should_be(
    given_alerts: list[tuple[int, Cause]], least: int, hours: int, cuts: list[int]
) -> None:
    window = hours * HOUR
    alerts = [Known(DAY + hour * HOUR, n, cause) for n, (hour, cause) in enumerate(given_alerts)]
    bounds = sorted({0, len(alerts), *(cut for cut in cuts if cut < len(alerts))})
    alone: list[Known] = []
    groups: dict[int, Group] = {}
    for begin, end in pairwise(bounds):
        alone += alerts[begin:end]
        before = [Group(group.cause, group.first_at, number) for number, group in groups.items()]
        for group in grouped(alone, before, least, window):
            if group.number is None:
                assert len(group.joined) >= least
                groups[len(groups)] = Group(group.cause, group.first_at, joined=list(group.joined))
            else:
                groups[group.number].joined += group.joined
        inside = {one.alert for group in groups.values() for one in group.joined}
        alone = [one for one in alone if one.alert not in inside]
    places = Counter(one.alert for group in groups.values() for one in group.joined)
    assert all(times == 1 for times in places.values())
    assert set(places) | {one.alert for one in alone} == {one.alert for one in alerts}
    for group in groups.values():
        assert {one.cause for one in group.joined} == {group.cause}
        assert all(abs(one.at - group.first_at) <= window for one in group.joined)
    for cause in {one.cause for one in alone}:
        times = sorted(one.at for one in alone if one.cause == cause)
        assert all(last - first > window for first, last in zip(times, times[least - 1 :], strict=False))

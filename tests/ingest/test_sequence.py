"""Numbering: what is new, what repeats, what is missing; and a gateway that begins to count again."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from ingest.counters import sequence_from_text, sequence_to_text
from ingest.sequence import MAX_EPOCHS, MAX_INTERVALS, Sequence

HOUR = 3600 * 10**9


def take(sequence: Sequence, *messages: tuple[int, int]) -> list[bool]:
    return [sequence.take(seq, time) for seq, time in messages]


def test_a_run_without_a_gap_misses_nothing() -> None:
    sequence = Sequence()
    assert take(sequence, *[(n, 100 + n) for n in range(50)]) == [True] * 50
    assert sequence.missing == 0
    assert (sequence.epochs[0].lows, sequence.epochs[0].highs) == ([0], [49])


def test_what_is_missing_is_counted_and_taken_back_when_it_comes_late() -> None:
    sequence = Sequence()
    take(sequence, (0, 100), (1, 101), (5, 105))
    assert sequence.missing == 3
    assert take(sequence, (3, 103)) == [True]
    assert sequence.missing == 2
    assert take(sequence, (2, 102), (4, 104)) == [True, True]
    assert sequence.missing == 0


def test_what_was_before_the_first_message_is_not_missed() -> None:
    sequence = Sequence()
    take(sequence, (1000, 5), (1001, 6))
    assert sequence.missing == 0


def test_a_repetition_is_told_whenever_it_comes() -> None:
    sequence = Sequence()
    take(sequence, (0, 100), (1, 101), (2, 102))
    assert take(sequence, (2, 102), (0, 100), (1, 101)) == [False, False, False]
    assert sequence.missing == 0


def test_a_gateway_that_begins_to_count_again_repeats_nothing_and_loses_nothing() -> None:
    sequence = Sequence()
    take(sequence, *[(n, n * HOUR) for n in range(10)])
    assert take(sequence, *[(n, (20 + n) * HOUR) for n in range(5)]) == [True] * 5
    assert sequence.missing == 0
    assert len(sequence.epochs) == 2
    # A message from before the restart, again, and one from after it, again.
    assert take(sequence, (9, 9 * HOUR), (4, 24 * HOUR)) == [False, False]
    assert len(sequence.epochs) == 2


def test_what_is_lost_in_each_epoch_is_counted() -> None:
    sequence = Sequence()
    take(sequence, (0, 1), (3, 4), (0, 10), (2, 12))
    assert sequence.missing == 2 + 1
    assert take(sequence, (1, 2)) == [True]  # late, and from before the restart
    assert sequence.missing == 1 + 1


def test_a_clock_set_back_while_counting_goes_on_is_no_restart() -> None:
    sequence = Sequence()
    take(sequence, (0, 100 * HOUR), (1, 101 * HOUR))
    assert take(sequence, (2, 50 * HOUR), (3, 51 * HOUR)) == [True, True]
    assert len(sequence.epochs) == 1
    assert sequence.missing == 0


def test_a_message_without_any_time_is_numbered_where_counting_is() -> None:
    sequence = Sequence()
    assert [sequence.take(n, None) for n in (0, 1, 3, 3)] == [True, True, True, False]
    assert sequence.missing == 1


def test_epochs_and_gaps_kept_are_bounded_and_what_is_given_up_stays_counted() -> None:
    sequence = Sequence()
    for restart in range(3 * MAX_EPOCHS):
        take(sequence, (0, restart * HOUR + 1), (2, restart * HOUR + 2))
    assert len(sequence.epochs) == MAX_EPOCHS
    assert sequence.missing == 3 * MAX_EPOCHS
    sequence = Sequence()
    for n in range(MAX_INTERVALS + 500):
        sequence.take(2 * n, n + 1)
    assert len(sequence.epochs[0].lows) == MAX_INTERVALS
    assert sequence.missing == MAX_INTERVALS + 499
    assert sequence.take(1, 1) is False  # its gap was given up: nobody can say any more


@given(
    st.integers(0, 2**62),
    st.lists(st.integers(0, 200), min_size=1, max_size=60),
    st.randoms(use_true_random=False),
)
def test_any_order_with_any_repetitions_counts_as_a_set_does(first: int, came: list[int], order: random.Random) -> None:
    order.shuffle(came)
    sequence, seen = Sequence(), set[int]()
    for n in came:
        assert sequence.take(first + n, 1000 + n) is (n not in seen)
        seen.add(n)
        assert sequence.missing == max(seen) - min(seen) + 1 - len(seen)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_restarts_with_late_and_repeated_messages_are_counted_exactly(lengths: list[int], rng: random.Random) -> None:
    """Each epoch's first message comes before its others; everything else may be late, lost or repeated."""
    sequence, sent, time = Sequence(), [], 0
    for length in lengths:
        time += HOUR
        epoch = [(seq, time + seq) for seq in range(length)]
        head, rest = epoch[0], epoch[1:]
        assert sequence.take(*head) is True
        rng.shuffle(rest)
        for message in rest:
            assert sequence.take(*message) is True
        sent += epoch
    assert sequence.missing == 0
    for message in rng.sample(sent, len(sent)):
        assert sequence.take(*message) is False
    assert sequence.missing == 0


@given(st.lists(st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 2**62)), max_size=30))
def test_what_is_written_down_reads_back(messages: list[tuple[int, int]]) -> None:
    sequence = Sequence()
    take(sequence, *messages)
    text = sequence_to_text(sequence)
    assert sequence_from_text(sequence.latest, sequence.given_up, text) == sequence
    copy = sequence.copy()
    copy.take(5, 2**62 + 1)
    assert sequence_to_text(sequence) == text


def test_a_repetition_from_before_a_restart_is_told_even_where_it_seems_to_count_on() -> None:
    sequence = Sequence()
    take(sequence, (0, 1 * HOUR), (1, 2 * HOUR), (0, 5 * HOUR))
    assert take(sequence, (1, 2 * HOUR)) == [False]
    assert take(sequence, (1, 6 * HOUR)) == [True]

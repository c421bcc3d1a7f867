"""The clock of a partition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.abandonment.domain.clock import PartitionClock


def test_behind_the_end_it_is_the_arrival_of_the_last_record() -> None:
    clock = PartitionClock(next_offset=0)
    clock.end_seen(10, sent_at=5_000)
    clock.applied(0, arrival=100)
    assert clock.now == 100


def test_at_the_end_it_is_the_time_at_which_the_fetch_was_sent() -> None:
    clock = PartitionClock(next_offset=0)
    clock.applied(9, arrival=100)
    clock.end_seen(10, sent_at=5_000)
    assert clock.now == 5_000


def test_before_the_position_is_known_no_end_counts() -> None:
    clock = PartitionClock()
    clock.end_seen(0, sent_at=5_000)
    assert clock.now == 0


def test_imported_records_do_not_move_it() -> None:
    clock = PartitionClock(now=50, next_offset=0)
    clock.applied(0, arrival=0)
    assert (clock.now, clock.next_offset) == (50, 1)


@given(
    st.lists(
        st.one_of(st.tuples(st.just("record"), st.integers(0, 99)), st.tuples(st.integers(0, 9), st.integers(0, 99)))
    )
)
def test_it_never_runs_backwards(story: list[tuple[str | int, int]]) -> None:
    clock, before = PartitionClock(next_offset=0), 0
    for what, at in story:
        if isinstance(what, str):
            clock.applied(clock.next_offset, at)
        else:
            clock.end_seen(what, at)
        assert clock.now >= before
        before = clock.now

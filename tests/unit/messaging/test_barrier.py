"""What makes a barrier valid."""

import pytest

from services.messaging.domain.barrier import Barrier, above_the_end, vector
from trolleybus.contracts.messages import TopicPosition

BARRIER = Barrier(ends=(), read_at=1_000_000, tick=50.0)


@pytest.mark.parametrize(("tick", "fresh"), [(50.0, True), (52.0, True), (52.001, False), (49.9, False)])
def test_P3_a_barrier_is_good_for_two_seconds_from_its_read(tick: float, fresh: bool) -> None:
    assert BARRIER.fresh(tick) is fresh


def test_the_wall_clock_of_a_call_is_the_reads_plus_what_passed() -> None:
    assert BARRIER.wall(51.25) == 1_001_250


def test_P3_a_position_above_the_end_is_found() -> None:
    ends = {("orders.v1", 0): 5, ("orders.v1", 1): 7}
    assert above_the_end({("orders.v1", 0): 5, ("orders.v1", 1): 6}, ends) == []
    assert above_the_end({("orders.v1", 0): 6, ("other.v1", 0): 9}, ends) == [("orders.v1", 0)]


def test_the_vector_names_every_place_in_order() -> None:
    assert vector({("b", 1): 2, ("a", 3): 4}) == (
        TopicPosition(topic="a", partition=3, offset=4),
        TopicPosition(topic="b", partition=1, offset=2),
    )

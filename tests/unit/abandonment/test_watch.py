"""When a partition counts as stuck."""

from __future__ import annotations

import pytest

from services.abandonment.log_ends import End
from services.abandonment.watch import STUCK_AFTER_MS, TOLD_AFTER_MS, Movement, Stuck


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


async def test_a_partition_that_goes_on_moves() -> None:
    movement = Movement()
    for now in range(0, 3 * STUCK_AFTER_MS, 1_000):
        movement.seen(1, now, End(10**9, 0), now)
        assert await movement.problem(now, yes) == ""


async def test_an_idle_partition_that_is_asked_for_its_end_moves() -> None:
    movement = Movement()
    for now in range(0, 3 * STUCK_AFTER_MS, 1_000):
        movement.seen(1, 7, End(7, now - 50), now)
        assert await movement.problem(now, yes) == ""


async def test_a_partition_that_nobody_tells_anything_of_is_told_and_ends_the_process_if_kafka_answers_others() -> None:
    movement = Movement()
    for now in (0, TOLD_AFTER_MS, STUCK_AFTER_MS):
        movement.seen(1, 7, None, now)
        movement.seen(2, now, End(10**9, now), now)
    assert await movement.problem(TOLD_AFTER_MS - 1, yes) == ""
    assert "partition 1 has stood at offset 7 for 10 s" in await movement.problem(TOLD_AFTER_MS, yes)
    with pytest.raises(Stuck, match="although Kafka answers"):
        await movement.problem(STUCK_AFTER_MS, yes)


async def test_a_partition_with_records_to_read_that_stays_is_stuck_however_often_its_end_is_told() -> None:
    movement = Movement()
    for now in range(0, STUCK_AFTER_MS + 1_000, 1_000):
        movement.seen(1, 7, End(9, now), now)
    with pytest.raises(Stuck):
        await movement.problem(STUCK_AFTER_MS, yes)


async def test_while_kafka_answers_nobody_the_process_waits() -> None:
    movement = Movement()
    for now in (0, 10 * STUCK_AFTER_MS):
        movement.seen(1, 7, None, now)
    assert "has stood" in await movement.problem(10 * STUCK_AFTER_MS, no)


async def test_a_partition_that_waits_for_the_registry_is_not_stuck_however_long_kafka_answers() -> None:
    movement = Movement()
    movement.seen(1, 7, End(9, 0), 0)
    movement.waits(1)
    assert await movement.problem(10 * STUCK_AFTER_MS, yes) == ""
    movement.seen(1, 7, End(9, 10 * STUCK_AFTER_MS), 10 * STUCK_AFTER_MS)
    assert await movement.problem(10 * STUCK_AFTER_MS, yes) == ""

"""When a partition is taken to be stuck."""

from services.abandonment.movement import STUCK_AFTER, Movement


def test_P2_a_partition_that_lags_and_does_not_move_is_stuck_after_a_while_and_not_before() -> None:
    movement = Movement()
    assert not movement.is_stuck(0, 82, lag=5, now=0.0)
    assert not movement.is_stuck(0, 82, lag=5, now=STUCK_AFTER)
    assert movement.is_stuck(0, 82, lag=5, now=STUCK_AFTER + 0.1)
    assert not movement.is_stuck(0, 82, lag=5, now=STUCK_AFTER + 0.2)
    assert movement.is_stuck(0, 82, lag=5, now=2 * STUCK_AFTER + 0.3)


def test_a_partition_that_moves_or_has_nothing_to_read_is_not_stuck() -> None:
    movement = Movement()
    assert not any(movement.is_stuck(0, offset, lag=5, now=offset * 1.0) for offset in range(10))
    assert not any(movement.is_stuck(1, 82, lag=0, now=second * 1.0) for second in range(10))

"""When a partition is read again."""

from services.abandonment.rereading import STUCK_AFTER, Gap, Rereading


def test_P2_missing_records_are_read_again_once_while_others_from_before_still_come() -> None:
    reading = Rereading()
    assert reading.gap(0, missing=82, found=93) is Gap.READ_AGAIN
    assert reading.gap(0, missing=82, found=94) is Gap.IGNORE
    assert reading.gap(1, missing=82, found=93) is Gap.READ_AGAIN


def test_a_gap_that_shows_again_is_real() -> None:
    reading = Rereading()
    assert reading.gap(0, missing=82, found=93) is Gap.READ_AGAIN
    assert reading.gap(0, missing=82, found=93) is Gap.REAL
    assert reading.gap(0, missing=95, found=97) is Gap.READ_AGAIN


def test_a_gap_behind_another_is_read_again_too() -> None:
    reading = Rereading()
    reading.gap(0, missing=82, found=93)
    assert reading.gap(0, missing=90, found=93) is Gap.READ_AGAIN


def test_P2_a_partition_that_lags_and_does_not_move_is_read_again_after_a_while_and_not_before() -> None:
    reading = Rereading()
    assert not reading.is_stuck(0, 82, lag=5, now=0.0)
    assert not reading.is_stuck(0, 82, lag=5, now=STUCK_AFTER)
    assert reading.is_stuck(0, 82, lag=5, now=STUCK_AFTER + 0.1)
    assert not reading.is_stuck(0, 82, lag=5, now=STUCK_AFTER + 0.2)


def test_a_partition_that_moves_or_has_nothing_to_read_is_left_alone() -> None:
    reading = Rereading()
    assert not any(reading.is_stuck(0, offset, lag=5, now=offset * 1.0) for offset in range(10))
    assert not any(reading.is_stuck(1, 82, lag=0, now=second * 1.0) for second in range(10))


def test_reading_again_for_being_stuck_forgets_a_gap_that_was_only_seen_in_passing() -> None:
    reading = Rereading()
    reading.is_stuck(0, 82, lag=5, now=0.0)
    reading.gap(0, missing=82, found=104)
    assert reading.is_stuck(0, 82, lag=5, now=STUCK_AFTER + 1)
    assert reading.gap(0, missing=82, found=88) is Gap.READ_AGAIN

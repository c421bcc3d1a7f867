"""Event time."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.clock import UNSET_CLOCKS_MS, BadTime, corrected_time, event_time, parse_rfc3339

TIMES = st.integers(min_value=-(10**14), max_value=10**15)
ARRIVALS = st.integers(min_value=UNSET_CLOCKS_MS, max_value=4_000_000_000_000)


@given(st.none() | TIMES, st.none() | TIMES, ARRIVALS)
def test_event_time_is_never_after_the_arrival_nor_before_anything_believable(
    occurred_at: int | None, sent_at: int | None, received_at: int
) -> None:
    assert UNSET_CLOCKS_MS <= event_time(occurred_at, sent_at, received_at) <= received_at
    assert 1 <= corrected_time(occurred_at, sent_at, received_at) <= received_at


@given(st.integers(0, 10**9), st.integers(-(10**12), 10**12), ARRIVALS)
def test_a_clock_that_is_off_does_not_matter_where_the_time_of_sending_is_known(
    ago: int, drift: int, received_at: int
) -> None:
    by_its_clock = received_at + drift
    assert corrected_time(by_its_clock - ago, by_its_clock, received_at) == max(1, received_at - ago)


def test_a_time_that_no_clock_was_set_to_is_read_as_the_arrival() -> None:
    assert event_time(parse_rfc3339("1970-01-01T00:00:00Z"), None, 1_780_000_000_000) == 1_780_000_000_000
    assert event_time(parse_rfc3339("0001-01-01T00:00:00Z"), None, 1_780_000_000_000) == 1_780_000_000_000


@given(st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)), st.integers(-1439, 1439))  # noqa: DTZ001 - the zone is added below
def test_times_are_read_as_the_standard_library_reads_them(naive: datetime, offset: int) -> None:
    moment = naive.replace(microsecond=naive.microsecond // 1000 * 1000, tzinfo=timezone(timedelta(minutes=offset)))
    expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert parse_rfc3339(moment.isoformat()) == expected


def test_a_leap_second_is_a_time() -> None:
    assert parse_rfc3339("2016-12-31T23:59:60Z") == parse_rfc3339("2017-01-01T00:00:00Z")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-03-01",
        "2026-03-01T18:30:00",
        "2026-13-01T18:30:00Z",
        "2026-02-30T18:30:00Z",
        "2026-03-01T18:30:61Z",
        "2026-03-01T18:30:00+24:00",
        "1780000000",
        "2026-03-01T18:30:00Z\n",
        "२०२६-03-01T18:30:00Z",
    ],
)
def test_what_is_no_time_with_an_offset_is_refused(text: str) -> None:
    with pytest.raises(BadTime):
        parse_rfc3339(text)

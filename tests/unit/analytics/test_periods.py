"""The period that a caller asks for."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.api.periods import period
from services.analytics.domain.buckets import DAY_MS, HOUR_MS
from trolleybus.contracts.stores import StoreConfig
from trolleybus.http import Problem

STORE = StoreConfig(store_id="s", time_zone="Europe/Madrid")
NOW = round(datetime(2026, 10, 25, 12, 0, tzinfo=ZoneInfo("Europe/Madrid")).timestamp() * 1000)


def test_today_begins_at_the_stores_midnight_on_a_day_of_25_hours() -> None:
    asked = period(STORE, NOW, within="today")
    assert asked.end - asked.start == 13 * HOUR_MS + 1
    assert asked.bucket == "hour"


def test_a_date_is_the_stores_and_a_time_without_offset_too() -> None:
    assert period(STORE, NOW, start="2026-10-25").start == NOW - 13 * HOUR_MS
    assert period(STORE, NOW, start="2026-10-25T11:00").start == NOW - HOUR_MS
    assert period(STORE, NOW, start="2026-10-25T10:00Z").start == NOW - HOUR_MS
    assert period(STORE, NOW, start="2026-10-25T11:00 01:00").start == NOW - HOUR_MS  # An unescaped plus.
    assert period(STORE, NOW, start=str(NOW - HOUR_MS), end=str(NOW)).end == NOW


def test_by_default_it_is_the_last_24_hours() -> None:
    asked = period(STORE, NOW)
    assert asked.end - asked.start == DAY_MS


@pytest.mark.parametrize(
    ("given_", "field"),
    [
        ({"start": "yesterday"}, "query/from"),
        ({"start": "2026-10-25", "end": "2026-10-24"}, "query/from"),
        ({"end": "2026-10-25"}, "query/from"),
        ({"start": "2020-01-01"}, "query/from"),
        ({"start": "2026-10-25", "within": "today"}, "query/range"),
        ({"start": "2026-09-25", "bucket": "minute"}, "query/bucket"),
        ({"start": "2026-10-25", "end": "99999999999999999999"}, "query/to"),
        ({"start": "2026-13-01"}, "query/from"),
    ],
)
def test_what_is_no_period_is_refused_with_the_field(given_: dict[str, str], field: str) -> None:
    with pytest.raises(Problem) as refused:
        period(STORE, NOW, **given_)  # type: ignore[arg-type]
    assert refused.value.status_code == 422
    assert refused.value.errors[0].field == field


@given(st.text(max_size=40), st.text(max_size=40))
@settings(deadline=None)
def test_whatever_is_sent_is_a_period_or_a_problem(start: str, end: str) -> None:
    try:
        asked = period(STORE, NOW, start=start, end=end)
    except Problem:
        return
    assert asked.start < asked.end


def test_a_zone_that_is_not_known_here_is_read_as_utc() -> None:
    assert period(StoreConfig(store_id="s", time_zone="Mars/Olympus"), NOW).zone.key == "UTC"

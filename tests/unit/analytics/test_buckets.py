"""Periods on a store's own clock, across its changes."""

import itertools
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.domain.buckets import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    TooManyBuckets,
    edges,
    fitting,
    local,
    midnight,
    rolled_up,
)

MADRID = ZoneInfo("Europe/Madrid")


def at(text: str, zone: ZoneInfo = MADRID, fold: int = 0) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp() * 1000)


def test_the_day_on_which_clocks_go_forward_has_23_hours() -> None:
    found = edges(at("2026-03-29T00:00"), at("2026-03-30T00:00"), "hour", MADRID)
    assert [local(edge, MADRID).hour for edge in found] == [0, 1, *range(3, 24), 0]
    assert {after - before for before, after in itertools.pairwise(found)} == {HOUR_MS}


def test_the_day_on_which_clocks_go_back_has_25_hours() -> None:
    found = edges(at("2026-10-25T00:00"), at("2026-10-26T00:00"), "hour", MADRID)
    assert [local(edge, MADRID).hour for edge in found] == [0, 1, 2, 2, *range(3, 24), 0]


def test_days_begin_at_local_midnight_whatever_their_length() -> None:
    found = edges(at("2026-10-24T00:00"), at("2026-10-27T00:00"), "day", MADRID)
    assert [(after - before) // HOUR_MS for before, after in itertools.pairwise(found)] == [24, 25, 24]
    assert found[1] == at("2026-10-25T00:00")


def test_a_clock_change_of_half_an_hour_makes_one_short_bucket() -> None:
    lord_howe = ZoneInfo("Australia/Lord_Howe")
    found = edges(at("2026-10-04T00:00", lord_howe), at("2026-10-04T05:00", lord_howe), "hour", lord_howe)
    assert [(after - before) // MINUTE_MS for before, after in itertools.pairwise(found)] == [
        60,
        60,
        30,
        60,
        60,
    ]


def test_hours_of_a_zone_with_half_hours_begin_on_its_own_hours() -> None:
    kolkata = ZoneInfo("Asia/Kolkata")
    found = edges(at("2026-05-01T00:10", UTC), at("2026-05-01T03:00", UTC), "hour", kolkata)  # type: ignore[arg-type]
    assert [local(edge, kolkata).minute for edge in found] == [40, 0, 0, 0, 30]


def test_a_midnight_that_clocks_leap_over_is_the_moment_of_the_leap() -> None:
    beirut = ZoneInfo("Asia/Beirut")
    begin = midnight(date(2026, 3, 29), beirut)
    assert local(begin, beirut).hour == 1
    assert local(begin - 1, beirut).day == 28


def test_a_day_that_a_zone_left_out_is_no_bucket() -> None:
    apia = ZoneInfo("Pacific/Apia")
    found = edges(midnight(date(2011, 12, 28), apia), midnight(date(2012, 1, 1), apia), "day", apia)
    assert [local(edge, apia).day for edge in found] == [28, 29, 31, 1]


@given(
    st.sampled_from(
        ["Europe/Madrid", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Santiago", "Africa/Casablanca"]
    ),
    st.integers(at("2020-01-01T00:00"), at("2030-01-01T00:00")),
    st.integers(1, 4 * DAY_MS),
    st.sampled_from(["hour", "day"]),
)
@settings(deadline=None)
def test_buckets_cover_the_period_without_a_gap_and_begin_on_the_local_clock(
    name: str, start: int, length: int, bucket: str
) -> None:
    zone = ZoneInfo(name)
    found = edges(start, start + length, bucket, zone)  # type: ignore[arg-type]
    assert (found[0], found[-1]) == (start, start + length)
    assert all(before < after for before, after in itertools.pairwise(found))
    for edge in found[1:-1]:
        shown, before = local(edge, zone), local(edge - 1, zone)
        assert (shown.date() != before.date()) if bucket == "day" else (shown.hour != before.hour or shown.fold)


def test_too_many_buckets_are_refused_with_a_remedy() -> None:
    with pytest.raises(TooManyBuckets, match="choose a larger bucket"):
        edges(0, 40 * DAY_MS, "minute", MADRID)


def test_the_bucket_fits_the_period() -> None:
    assert [fitting(0, length) for length in (HOUR_MS, DAY_MS, 30 * DAY_MS)] == ["minute", "hour", "day"]


@given(
    st.sampled_from(["Europe/Madrid", "Australia/Lord_Howe", "Asia/Beirut", "Pacific/Apia", "America/Santiago"]),
    st.integers(at("2011-12-01T00:00"), at("2030-01-01T00:00")),
    st.integers(1, 20 * DAY_MS),
)
@settings(deadline=None)
def test_hours_add_up_to_days_without_one_lost(name: str, start: int, length: int) -> None:
    zone = ZoneInfo(name)
    hours, days = (edges(start, start + length, bucket, zone) for bucket in ("hour", "day"))
    assert set(days) <= set(hours)
    assert sum(rolled_up(hours, [1] * (len(hours) - 1), days)) == len(hours) - 1


def test_buckets_are_rolled_up_by_where_they_begin() -> None:
    assert rolled_up([0, 10, 20, 30, 35], [1, 2, 3, 4], [0, 20, 35]) == [3, 7]

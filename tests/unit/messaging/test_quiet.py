"""Quiet hours, over midnight and over changes of the clocks."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.messaging.domain.quiet import is_quiet, quiet_until, zone

ZONES = ["UTC", "Europe/Madrid", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca"]


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@given(
    at=st.integers(ms("2026-01-01T00:00"), ms("2027-12-31T00:00")),
    name=st.sampled_from(ZONES),
    start=st.integers(-3000, 3000),
    end=st.integers(-3000, 3000),
)
def test_P5_when_quiet_hours_end_they_are_over_and_not_before(at: int, name: str, start: int, end: int) -> None:
    where = zone(name)
    until = quiet_until(at, where, start, end)
    local = datetime.fromtimestamp(at / 1000, where)
    assert bool(until) == is_quiet(local.hour * 60 + local.minute, start, end)
    if until:
        assert until > at
        assert until - at <= 26 * 3_600_000
        assert quiet_until(until, where, start, end) == 0


def test_equal_ends_mean_no_quiet_hours() -> None:
    assert quiet_until(0, zone("UTC"), 60, 60) == 0


def test_an_end_that_the_clocks_skip_comes_after_the_gap() -> None:
    # In Madrid 02:00 to 03:00 does not exist on 2026-03-29: 02:30 there is 01:30 UTC, 03:30 by the wall.
    assert quiet_until(ms("2026-03-29T00:15"), zone("Europe/Madrid"), 60, 150) == ms("2026-03-29T01:30")


def test_an_end_that_comes_twice_is_the_second() -> None:
    # 02:30 comes twice on 2026-10-25: at 00:30 and 01:30 UTC.
    assert quiet_until(ms("2026-10-24T23:30"), zone("Europe/Madrid"), 60, 150) == ms("2026-10-25T01:30")


def test_an_unknown_zone_gives_way_to_the_next() -> None:
    assert str(zone("Nowhere/Land", "", "../etc/passwd", "Europe/Madrid")) == "Europe/Madrid"
    assert str(zone("")) == "UTC"

"""Quiet hours, in the recipient's own time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MINUTES_OF_A_DAY = 1440


def zone(*names: str) -> ZoneInfo:
    """The first of the names that is a known IANA zone, else UTC."""
    for name in names:
        if name:
            try:
                return ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                continue
    return ZoneInfo("UTC")


def is_quiet(minute: int, start: int, end: int) -> bool:
    """Whether a minute of the day is within quiet hours, which may go over midnight; equal ends: none."""
    start, end = start % MINUTES_OF_A_DAY, end % MINUTES_OF_A_DAY
    if start == end:
        return False
    return start <= minute < end if start < end else minute >= start or minute < end


def quiet_until(at: int, where: ZoneInfo, start: int, end: int) -> int:
    """0 where `at` (ms) is not within quiet hours, else when they end (ms).

    By the wall clock of the zone: an end that falls into the hour that a change of the clocks skips comes after it, one
    that comes twice is the second.
    """
    local = datetime.fromtimestamp(at / 1000, where)
    if not is_quiet(local.hour * 60 + local.minute, start, end):
        return 0
    for days in (0, 1, 2):
        day = (local + timedelta(days=days)).date()
        naive = datetime(day.year, day.month, day.day, tzinfo=None) + timedelta(minutes=end % MINUTES_OF_A_DAY)  # noqa: DTZ001 - the zone is put on below
        ending = max(naive.replace(tzinfo=where, fold=fold).astimezone(UTC) for fold in (0, 1))
        until = round(ending.timestamp() * 1000)
        back = ending.astimezone(where)
        if until > at and not is_quiet(back.hour * 60 + back.minute, start, end):
            return until
    raise AssertionError("quiet hours end within two days")

"""A period cut into minutes, hours or days of a store's own clock."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Bucket = Literal["minute", "hour", "day"]

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
MOST_BUCKETS = 1500
"""An answer stays small, and a chart readable."""


class TooManyBuckets(ValueError):
    """The period is too long for buckets so small."""


def edges(start: int, end: int, bucket: Bucket, zone: ZoneInfo, most: int = MOST_BUCKETS) -> list[int]:
    """Edges in ms, the first at `start` and the last at `end`; each between is the begin of a local minute, hour or day.

    A day of a clock change has 23 or 25 hours, and hours that occur twice are two buckets.
    """
    following = _FOLLOWING[bucket]
    found = [start]
    while found[-1] < end:
        if len(found) > most:
            raise TooManyBuckets(f"more than {most} buckets: choose a larger bucket or a shorter period")
        found.append(min(following(found[-1], zone), end))
    return found


def rolled_up(fine: Sequence[int], counts: Sequence[int], coarse: Sequence[int]) -> list[int]:
    """Counts of fine buckets as those of coarser ones, whose edges are among theirs."""
    found = [0] * (len(coarse) - 1)
    for begin, count in zip(fine, counts, strict=False):  # The last edge begins no bucket.
        found[bisect_right(coarse, begin) - 1] += count
    return found


def fitting(start: int, end: int) -> Bucket:
    """The bucket that shows a period best."""
    length = end - start
    if length <= 2 * HOUR_MS:
        return "minute"
    return "hour" if length <= 4 * DAY_MS else "day"


def local(at: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at / 1000, zone)


def midnight(day: date, zone: ZoneInfo) -> int:
    """When a local day begins (ms); where the clock leaps over midnight, the moment of the leap."""
    # In a gap, fold 0 reckons with the offset before the leap: exactly its moment (PEP 495).
    begin = datetime(day.year, day.month, day.day, tzinfo=zone)
    return round(begin.astimezone(UTC).timestamp() * 1000)


def _next_minute(at: int, _zone: ZoneInfo) -> int:
    return (at // MINUTE_MS + 1) * MINUTE_MS


def _next_hour(at: int, zone: ZoneInfo) -> int:
    offset = local(at, zone).utcoffset() or timedelta(0)
    into_hour = (at + round(offset.total_seconds() * 1000)) % HOUR_MS
    return at + HOUR_MS - into_hour


def _next_day(at: int, zone: ZoneInfo) -> int:
    day = local(at, zone).date()
    while True:
        day += timedelta(days=1)
        begin = midnight(day, zone)
        if begin > at:  # Not so for a day that a zone left out (Samoa, 30 December 2011).
            return begin


_FOLLOWING: dict[Bucket, Callable[[int, ZoneInfo], int]] = {
    "minute": _next_minute,
    "hour": _next_hour,
    "day": _next_day,
}

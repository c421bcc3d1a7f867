"""The period that a caller asks for, on the store's own clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from services.analytics.domain.buckets import (
    DAY_MS,
    HOUR_MS,
    Bucket,
    TooManyBuckets,
    edges,
    fitting,
    local,
    midnight,
)
from trolleybus.contracts.stores import StoreConfig
from trolleybus.http import Problem

Range = Literal["last_hour", "last_24_hours", "today", "last_7_days", "last_30_days"]

LONGEST_MS = 400 * DAY_MS
_EARLIEST = 0
_LATEST = 4_102_444_800_000  # 2100: beyond it stands a mistake, and calendars end.
_LENGTHS: dict[Range, int] = {
    "last_hour": HOUR_MS,
    "last_24_hours": DAY_MS,
    "last_7_days": 7 * DAY_MS,
    "last_30_days": 30 * DAY_MS,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A period in ms, cut into buckets and (for the hours of the day) into hours."""

    start: int
    end: int
    bucket: Bucket
    zone: ZoneInfo
    edges: list[int]
    hours: list[int]


def zone_of(store: StoreConfig) -> ZoneInfo:
    """UTC for a store without a zone that is known here."""
    try:
        return ZoneInfo(store.time_zone or "UTC")
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


def period(
    store: StoreConfig,
    now: int,
    *,
    start: str = "",
    end: str = "",
    within: Range | None = None,
    bucket: Bucket | None = None,
) -> Asked:
    """From `start` to `end` where given, else the range (by default the last 24 hours). Raises a problem naming the field."""
    zone = zone_of(store)
    if (start or end) and within:
        raise Problem(422, "Which period?", "give `range`, or `from` and `to`, not both", field="query/range")
    if end and not start:
        raise Problem(422, "Which period?", "`to` needs a `from`", field="query/from")
    if start:
        begins, ends = _moment(start, zone, "from"), _moment(end, zone, "to") if end else now
    elif within == "today":
        begins, ends = midnight(local(now, zone).date(), zone), now + 1
    else:
        begins, ends = now + 1 - _LENGTHS[within or "last_24_hours"], now + 1
    if begins >= ends:
        raise Problem(422, "Not a period", "`from` must be before `to`", field="query/from")
    if ends - begins > LONGEST_MS:
        raise Problem(422, "Too long a period", "at most 400 days at once", field="query/from")
    size = bucket or fitting(begins, ends)
    try:
        cut = edges(begins, ends, size, zone)
    except TooManyBuckets as error:
        raise Problem(422, "Too many buckets", str(error), field="query/bucket") from None
    return Asked(begins, ends, size, zone, cut, edges(begins, ends, "hour", zone, most=LONGEST_MS // HOUR_MS + 48))


def _moment(text: str, zone: ZoneInfo, name: str) -> int:
    """A date (its begin), a date with time (in the store's zone unless it names an offset), or ms since the epoch."""
    try:
        if text.isascii() and text.isdecimal() and len(text) > 8:
            moment = int(text)
        elif len(text) == 10:
            moment = midnight(date.fromisoformat(text), zone)
        else:
            # A "+" that was not escaped arrives as a blank.
            read = datetime.fromisoformat(text.replace(" ", "+") if text[10:11] == "T" else text)
            moment = round((read if read.tzinfo else read.replace(tzinfo=zone)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise Problem(
            422,
            "Not a time",
            "write 2026-11-20, 2026-11-20T08:00 (the store's clock), 2026-11-20T07:00Z or ms since the epoch",
            field=f"query/{name}",
        ) from None
    if not _EARLIEST <= moment <= _LATEST:
        raise Problem(422, "Not a time", "between 1970 and 2100", field=f"query/{name}")
    return moment

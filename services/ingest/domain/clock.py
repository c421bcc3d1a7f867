"""Event time: when something happened, as far as a client's clock can be believed. All times in ms since the epoch."""

import re
from datetime import UTC, datetime, timedelta

YEAR_MS = 366 * 86_400_000
UNSET_CLOCKS_MS = 946_684_800_000
"""2000-01-01: clocks and dates that nobody set say 0001, 1970 or 1980."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,12}))?(?:([Zz])|([+-])(\d\d):(\d\d))", re.ASCII
)


class BadTime(ValueError):
    """The text is no time of RFC 3339."""


def parse_rfc3339(text: str) -> int:
    """A time such as 2026-03-01T18:30:00.250+01:00; raises BadTime."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise BadTime("write the time as RFC 3339 with its offset, such as 2026-03-01T18:30:00Z")
    year, month, day, hour, minute, second = (int(part) for part in match.group(1, 2, 3, 4, 5, 6))
    fraction, _, sign, offset_hours, offset_minutes = match.group(7, 8, 9, 10, 11)
    try:
        # A leap second is read as the one after it.
        local = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError as error:
        raise BadTime(f"no such time: {error}") from None
    if second > 60:
        raise BadTime("no such time: second must be in 0..60")
    ms = (local - _EPOCH) // _MS + (1000 if second == 60 else int((fraction or "0").ljust(3, "0")[:3]))
    if sign:
        if int(offset_hours) > 23 or int(offset_minutes) > 59:
            raise BadTime("no such offset from UTC")
        offset = (int(offset_hours) * 60 + int(offset_minutes)) * 60_000
        ms -= offset if sign == "+" else -offset
    return ms


def event_time(occurred_at: int | None, sent_at: int | None, received_at: int, oldest: int = UNSET_CLOCKS_MS) -> int:
    """The client's time, corrected by how far its clock was off when it sent, and never after the arrival.

    A time before `oldest` is not believed: the arrival stands for it.
    """
    corrected = corrected_time(occurred_at, sent_at, received_at)
    return corrected if corrected >= oldest else received_at


def corrected_time(occurred_at: int | None, sent_at: int | None, received_at: int) -> int:
    """As event_time, however long ago; at least 1, since 0 means absent."""
    if occurred_at is None:
        return received_at
    drift = received_at - sent_at if sent_at is not None else 0
    return max(1, min(occurred_at + drift, received_at))

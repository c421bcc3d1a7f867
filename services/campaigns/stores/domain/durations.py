"""Durations and hours as people write them."""

import re

from trolleybus.contracts.durations import BadDuration, seconds, text

__all__ = ["BadDuration", "cap", "hours", "seconds", "text"]

_HOUR = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


def hours(text: str) -> tuple[int, int]:
    """21:00-09:00 as minutes of the day; "" for none (0, 0)."""
    if not text.strip():
        return 0, 0
    begin, dash, end = text.partition("-")
    first, last = _HOUR.fullmatch(begin.strip()), _HOUR.fullmatch(end.strip())
    if not dash or first is None or last is None:
        raise BadDuration(f"{text[:20]!r} are not hours such as 21:00-09:00")
    minutes = int(first[1]) * 60 + int(first[2]), int(last[1]) * 60 + int(last[2])
    if minutes[0] == minutes[1]:
        raise BadDuration("quiet hours end at another time than they begin")
    return minutes


def cap(text: str) -> tuple[int, int]:
    """3/7d as (messages, seconds); "" for none (0, 0)."""
    if not text.strip():
        return 0, 0
    count, slash, period = text.partition("/")
    if not slash or not count.strip().isdecimal() or int(count) < 1:
        raise BadDuration(f"{text[:20]!r} is not a cap such as 3/7d")
    length = seconds(period)
    if length < 1:
        raise BadDuration("a cap's period is longer than nothing")
    return int(count), length

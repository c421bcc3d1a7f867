"""Durations and hours as people write them."""

import re

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d{1,9})([smhd])")
_HOUR = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


class BadDuration(ValueError):
    """The text is no duration, or no hours."""


def seconds(text: str | int) -> int:
    """15s, 15m, 1h, 2d, or a plain number of seconds."""
    if isinstance(text, int):
        return text
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise BadDuration(f"{text[:20]!r} is not a duration such as 15s, 15m, 1h or 2d")
    return int(match[1]) * _UNITS[match[2]]


def text(duration: int) -> str:
    """The shortest way to write so many seconds: 900 is 15m."""
    for unit in ("d", "h", "m"):
        if duration and duration % _UNITS[unit] == 0:
            return f"{duration // _UNITS[unit]}{unit}"
    return f"{duration}s"


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

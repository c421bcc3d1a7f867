"""Durations as people write them."""

import re

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d{1,9})([smhd])")


class BadDuration(ValueError):
    """The text is no duration."""


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

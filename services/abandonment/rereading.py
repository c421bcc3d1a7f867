"""When to read a partition again: Faust may drop what it fetched around a rebalance, and skip what it thinks it has read."""

from __future__ import annotations

from enum import Enum, auto

STUCK_AFTER = 2.0
"""Seconds after which a partition that lags and does not move is read again."""


class Gap(Enum):
    """What to do with a record that stands behind missing ones."""

    READ_AGAIN = auto()
    IGNORE = auto()  # It is being read again already; this record comes from before that.
    REAL = auto()  # The same record followed again: the offsets between hold none (deleted, or marks of transactions).


class Rereading:
    """Of the partitions of one assignment. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._gaps: dict[int, tuple[int, int]] = {}
        self._moved: dict[int, tuple[int, float]] = {}

    def gap(self, partition: int, missing: int, found: int) -> Gap:
        """The record at `found` came where that at `missing` was expected."""
        known = self._gaps.get(partition)
        if known == (missing, found):
            del self._gaps[partition]
            return Gap.REAL
        if known is not None and known[0] == missing:
            return Gap.IGNORE
        self._gaps[partition] = (missing, found)
        return Gap.READ_AGAIN

    def is_stuck(self, partition: int, next_offset: int, lag: int, now: float) -> bool:
        """Whether to read again from there."""
        moved = self._moved.get(partition)
        if moved is None or moved[0] != next_offset or lag == 0:
            self._moved[partition] = (next_offset, now)
            return False
        if now - moved[1] <= STUCK_AFTER:
            return False
        self._gaps.pop(partition, None)
        self._moved[partition] = (next_offset, now)
        return True

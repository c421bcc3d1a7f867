"""Whether a partition moves: Faust may skip for good what it thinks it has read."""

from __future__ import annotations

STUCK_AFTER = 2.0
"""Seconds after which a partition that lags and does not move is read by ourselves."""


class Movement:
    """Of the partitions of one assignment. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._moved: dict[int, tuple[int, float]] = {}

    def is_stuck(self, partition: int, next_offset: int, lag: int, now: float) -> bool:
        """True once in STUCK_AFTER for a partition that has records to read and stays where it is."""
        moved = self._moved.get(partition)
        stays = moved is not None and moved[0] == next_offset and lag > 0
        if stays and moved is not None and now - moved[1] <= STUCK_AFTER:
            return False
        self._moved[partition] = (next_offset, now)
        return stays

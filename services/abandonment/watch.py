"""Whether the detector is alive: a partition that does not move, a loop that hangs. Better no process than a blind one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Awaitable, Callable

from services.abandonment.log_ends import End
from trolleybus.telemetry import get_logger

log = get_logger(__name__)

TOLD_AFTER_MS = 10_000
"""A partition that has not moved for this long makes the process not ready."""
STUCK_AFTER_MS = 60_000
"""One that has not moved for this long, although Kafka answers others, ends it."""
HANGS_AFTER_S = 30.0
EXIT_CODE = 70


class Stuck(Exception):
    """A partition does not move although Kafka answers; only a new process helps."""


class Movement:
    """Of the partitions of one share. Times are monotonic, in ms."""

    def __init__(self) -> None:
        self._moved: dict[int, tuple[int, int]] = {}

    def seen(self, partition: int, next_offset: int, end: End | None, now: int) -> None:
        """Where a partition stands. It moves if it went on, or if a fetch found it at its end."""
        known = self._moved.get(partition)
        if known is None or known[0] != next_offset:
            self._moved[partition] = next_offset, now
        elif end is not None and end.offset <= next_offset:
            self._moved[partition] = next_offset, max(known[1], end.asked_at)

    def waits(self, partition: int) -> None:
        """It stands because a record waits for the registry or for settings: known, told elsewhere, and not stuck."""
        self._moved.pop(partition, None)

    async def problem(self, now: int, is_reachable: Callable[[], Awaitable[bool]]) -> str:
        """What to tell of the partition that has not moved for longest; "" if all move. Raises Stuck."""
        if not self._moved:
            return ""
        partition, (offset, since) = min(self._moved.items(), key=lambda entry: entry[1][1])
        stands = now - since
        if stands < TOLD_AFTER_MS:
            return ""
        told = f"partition {partition} has stood at offset {offset} for {stands // 1000} s"
        if stands >= STUCK_AFTER_MS and await is_reachable():
            raise Stuck(told + ", although Kafka answers")
        return told


class Pulse:
    """Ends the process when its loop hangs: the group's heartbeat has a thread of its own and would go on for it."""

    def __init__(self, hangs_after_s: float = HANGS_AFTER_S, end: Callable[[int], None] = os._exit) -> None:
        self._end = end
        self._pause = hangs_after_s / 6
        self._beats = 0
        self._thread = threading.Thread(target=self._watch, name="pulse", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def beat(self) -> None:
        """The loop lives."""
        self._beats += 1

    def _watch(self) -> None:
        # Counted in looks, not in time: a process that was stopped and wakes has not hung.
        seen, looks = -1, 0
        while looks < 6:
            time.sleep(self._pause)
            looks = looks + 1 if seen == self._beats else 0
            seen = self._beats
        log.critical("the loop hangs: the process ends", seconds=round(6 * self._pause))
        self._end(EXIT_CODE)

"""Which carts of a partition act next. Derived from their rows: nothing here is kept."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

_TIME_BYTES = 9  # Any due time: the largest time that a record can name, and the longest level after it.
_GIVEN_OUT = 1 << 8 * _TIME_BYTES
"""Later than any due time. A key that left and came back would make the map twice as large."""

_MOST_LOOKS = 1.25
"""A cart; above it the heap is made anew. A cart that is left and resumed leaves a look behind at its expiry each time:
the timers of 200,000 such carts came to 69 MiB with up to twice as many looks, to 57 MiB so, in the same time."""


class Timers:
    """A heap of looks at carts, and when each cart truly acts. A cart that moves on keeps its entry: the look comes
    early, finds the later time and waits for that. Most carts move on many times between two looks."""

    def __init__(self) -> None:
        self._heap: list[bytes] = []
        self._due: dict[bytes, int] = {}

    @classmethod
    def of(cls, dues: Iterable[tuple[bytes, int]]) -> Timers:
        """All at once."""
        timers = cls()
        timers._due = dict(dues)
        timers._build()
        return timers

    def __len__(self) -> int:
        return len(self._due)

    def set(self, key: bytes, due: int | None) -> None:
        """The cart acts at that time; None: never."""
        if due is None:
            self._due.pop(key, None)
            return
        known = self._due.get(key)
        self._due[key] = due
        if known is None or due < known:
            heappush(self._heap, _entry(due, key))
            if len(self._heap) > _MOST_LOOKS * len(self._due) + 1_000:  # Mostly entries of what moved to earlier times.
                self._build()

    def pop(self, now: int, limit: int) -> list[bytes]:
        """Carts whose time has come, so many at most; each must be set again."""
        keys: list[bytes] = []
        heap, dues = self._heap, self._due
        after_now = _entry(now + 1, b"")
        while heap and heap[0] < after_now and len(keys) < limit:
            entry = heappop(heap)
            key = entry[_TIME_BYTES:]
            due = dues.get(key)
            if due is None or due == _GIVEN_OUT:
                continue  # It acts no more, or has been given out.
            if due <= now:
                dues[key] = _GIVEN_OUT
                keys.append(key)
            elif (later := _entry(due, key)) > entry:
                heappush(heap, later)
        return keys

    def _build(self) -> None:
        self._heap = [_entry(due, key) for key, due in self._due.items()]
        heapify(self._heap)


def _entry(due: int, key: bytes) -> bytes:
    """Sorts by time; one object, a third of what a tuple, its number and its key take. Before 1970 is at once."""
    return max(due, 0).to_bytes(_TIME_BYTES, "big") + key

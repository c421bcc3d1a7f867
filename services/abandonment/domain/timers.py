"""Which carts of a partition act next. Derived from their rows: nothing here is kept."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush


class Timers:
    """A heap of looks at carts, and when each cart truly acts. A cart that moves on keeps its entry: the look comes
    early, finds the later time and waits for that. Most carts move on many times between two looks."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, bytes]] = []
        self._due: dict[bytes, int] = {}

    @classmethod
    def of(cls, dues: Iterable[tuple[bytes, int]]) -> Timers:
        """All at once."""
        timers = cls()
        timers._due = dict(dues)
        timers._heap = [(at, which) for which, at in timers._due.items()]
        heapify(timers._heap)
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
            heappush(self._heap, (due, key))
            if len(self._heap) > 2 * len(self._due) + 1_000:  # Mostly entries of what moved to earlier times.
                self._heap = [(at, which) for which, at in self._due.items()]
                heapify(self._heap)

    def pop(self, now: int, limit: int) -> list[bytes]:
        """Carts whose time has come, so many at most; each must be set again."""
        keys: list[bytes] = []
        heap, dues = self._heap, self._due
        while heap and heap[0][0] <= now and len(keys) < limit:
            at, key = heappop(heap)
            due = dues.get(key)
            if due is None:
                continue  # It acts no more.
            if due <= now:
                del dues[key]
                keys.append(key)
            elif due > at:
                heappush(heap, (due, key))
        return keys

    def at(self, key: bytes) -> int | None:
        """When the cart acts next, as far as is known."""
        return self._due.get(key)

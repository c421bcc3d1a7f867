"""Which carts of a partition act next. Derived from their rows: nothing here is kept."""

from __future__ import annotations

from heapq import heappop, heappush


class Timers:
    """A heap with at most one live entry a cart: the earliest time at which it may act."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, bytes]] = []
        self._next: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._next)

    def set(self, key: bytes, due: int | None) -> None:
        """The cart acts at that time. A later time than is known waits for the entry to come up: most carts move on."""
        known = self._next.get(key)
        if due is None:
            self._next.pop(key, None)
        elif known is None or due < known:
            self._next[key] = due
            heappush(self._heap, (due, key))

    def pop(self, now: int) -> bytes | None:
        """A cart whose time has come; it must be set again."""
        while self._heap and self._heap[0][0] <= now:
            due, key = heappop(self._heap)
            if self._next.get(key) == due:
                del self._next[key]
                return key
        return None

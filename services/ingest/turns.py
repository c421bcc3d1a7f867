"""Whose request is worked on next: stores take turns, however many requests of one wait."""

import asyncio
from collections import deque
from collections.abc import Callable

from services.ingest.domain.room import Room


class Crowded(Exception):
    """So many requests of the store wait that no more are taken in."""


Go = Callable[[], None]
"""Begins some work, and does not raise."""


class Turns:
    """A turn is a moment to begin some work that does not wait, measured in events. About `each_pass` events' work is
    begun a pass of the event loop; between passes it reads what has come from others."""

    def __init__(self, *, each_pass: int, most_waiting: int) -> None:
        self._each_pass = each_pass
        self._left = each_pass
        self._room = Room(most_waiting)
        self._waiting: dict[str, deque[tuple[Go, int]]] = {}  # The store whose turn it is comes first.
        self._is_due = False

    def now(self, work: int = 1) -> bool:
        """A turn at once, where nobody waits for one."""
        if self._waiting or self._left <= 0:
            return False
        self._left -= work
        self._go_on()
        return True

    def call(self, store_id: str, work: int, go: Go) -> None:
        """Calls at once or when it is the store's turn; raises Crowded."""
        if self.now(work):
            go()
            return
        if not self._room.fits(store_id, 1):
            raise Crowded(f"{self._room.total} requests wait for their turn, too many of them this store's")
        self._waiting.setdefault(store_id, deque()).append((go, work))
        self._go_on()
        self._room.take(store_id, 1)

    def _go_on(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._next_pass)

    def _next_pass(self) -> None:
        self._is_due = False
        self._left = self._each_pass
        while self._left > 0 and self._waiting:
            store_id = next(iter(self._waiting))
            queue = self._waiting.pop(store_id)
            go, work = queue.popleft()
            if queue:
                self._waiting[store_id] = queue  # Behind the others.
            self._room.give_back(store_id, 1)
            self._left -= work
            go()
        if self._left < self._each_pass:
            self._go_on()

"""Whose request is worked on next: stores take turns, however many requests of one wait."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from services.ingest.domain.room import Room


class Crowded(Exception):
    """So many requests of the store wait that no more are taken in."""


Go = Callable[[list[Any]], None]
"""Begins the work on things that waited, and does not raise."""


class Turns:
    """A turn is a moment to begin some work that does not wait, measured in events. About `each_pass` events' work is
    begun a pass of the event loop; between passes it reads what has come from others. What waits for the same work takes
    one turn together, but no more than half a pass."""

    def __init__(self, *, each_pass: int, most_waiting: int) -> None:
        self._each_pass = each_pass
        self._left = each_pass
        self._room = Room(most_waiting)
        self._waiting: dict[str, deque[tuple[Go, Any, int]]] = {}  # The store whose turn it is comes first.
        self._is_due = False

    def now(self, work: int = 1) -> bool:
        """A turn at once, where nobody waits for one."""
        if self._waiting or self._left <= 0:
            return False
        self._left -= work
        self._go_on()
        return True

    def call(self, store_id: str, work: int, go: Go, thing: object) -> None:
        """Calls with the thing and what else of the store waits for the same, when it is the store's turn: in the next pass
        at the soonest, so that there is something to wait together. Raises Crowded."""
        if not self._room.fits(store_id, 1):
            raise Crowded(f"{self._room.total} requests wait for their turn, too many of them this store's")
        self._waiting.setdefault(store_id, deque()).append((go, thing, work))
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
            self._turn(next(iter(self._waiting)))
        if self._left < self._each_pass:
            self._go_on()

    def _turn(self, store_id: str) -> None:
        queue = self._waiting.pop(store_id)
        go, thing, work = queue.popleft()
        things = [thing]
        while queue and queue[0][0] == go and work + queue[0][2] <= self._each_pass // 2:
            _, thing, more = queue.popleft()
            things.append(thing)
            work += more
        if queue:
            self._waiting[store_id] = queue  # Behind the others.
        self._room.give_back(store_id, len(things))
        self._left -= work
        go(things)

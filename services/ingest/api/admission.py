"""Who may send, how much, and when it is their turn: the same for all sources."""

import asyncio
from collections.abc import Callable, Sequence
from typing import NoReturn, Protocol

from services.ingest.api.answers import behind, too_many
from services.ingest.api.callers import Caller, Callers, Directory
from services.ingest.domain.refusals import Refusals
from services.ingest.gateway import Overloaded
from services.ingest.limiter import RateLimiter, Verdict
from services.ingest.metrics import IngestMetrics
from services.ingest.publisher import Publisher
from services.ingest.turns import Crowded, Go, Turns
from trolleybus.http.fast import Incoming

A_TURN = 50
"""Events of a request that are read in one turn."""


class Uses(Protocol):
    """Where it is noted when a key was used (ms since the epoch)."""

    def note(self, store_id: str, key_id: str, at_ms: int) -> None: ...


class Admission:
    """Refusals are raised as problems; `now` gives ms since the epoch."""

    def __init__(
        self,
        *,
        directory: Directory,
        limiter: RateLimiter,
        turns: Turns,
        publisher: Publisher,
        metrics: IngestMetrics,
        uses: Uses,
        now: Callable[[], int],
    ) -> None:
        self._callers = Callers(directory)
        self._limiter = limiter
        self._turns = turns
        self._publisher = publisher
        self._metrics = metrics
        self._refusals = Refusals()
        self._uses = uses
        self.now = now

    async def caller(self, request: Incoming, scope: str, key_in_body: str = "") -> Caller:
        """Who calls; 401 or 403 for who may not, 429 for who has sent too much already."""
        now = self.now()
        caller = self._callers.of(request, scope, now, key_in_body)
        self._uses.note(caller.store.store_id, caller.key.key_id, now)
        refusal = self._limiter.refusal(caller.store, caller.key, scope)
        if refusal is not None:
            await self._refuse(caller, refusal, scope)
        return caller

    def caller_at_once(self, request: Incoming, scope: str, now: int) -> Caller | None:
        """As caller; None for who has sent too much, since that is told late."""
        caller = self._callers.of(request, scope, now)
        if self._limiter.refusal(caller.store, caller.key, scope) is not None:
            return None
        self._uses.note(caller.store.store_id, caller.key.key_id, now)
        return caller

    def turn_away_while_behind(self) -> None:
        """503 while Kafka is behind; cheap, so asked before a body is read."""
        try:
            self._publisher.check()
        except Overloaded as error:
            raise behind(str(error)) from None

    async def limit(self, caller: Caller, scope: str, events: int) -> None:
        """429 where the store or the key has sent too many events; else returns when it is the store's turn."""
        take = caller.store, caller.key, scope, events
        verdict = self._limiter.take(*take) or await self._limiter.acquire(*take)
        if not verdict.allowed:
            await self._refuse(caller, verdict, scope)
        await self.turn(caller, min(events, A_TURN))

    def limit_at_once(self, caller: Caller, scope: str, events: int) -> bool:
        """Whether there is room for them at hand; then they are counted. It is the store's turn already."""
        verdict = self._limiter.take(caller.store, caller.key, scope, events)
        return verdict is not None and verdict.allowed

    async def turn(self, caller: Caller, work: int = A_TURN) -> None:
        """Before work that takes long: lets other stores' requests pass; 503 where too many of this store's wait."""
        if self._turns.now(work):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.in_turn(caller, work, _wake, turn)
        await turn

    def in_turn(self, caller: Caller, work: int, go: Go, thing: object) -> None:
        """Calls with the thing, and what else waits for the same, when it is the store's turn; 503 as turn."""
        try:
            self._turns.call(caller.store.store_id, work, go, thing)
        except Crowded as error:
            self._metrics.turned_away.labels("crowded").inc()
            raise behind(str(error)) from None

    async def _refuse(self, caller: Caller, verdict: Verdict, scope: str) -> NoReturn:
        """429, told at once or, where many of the store's come, late."""
        wait_s = self._refusals.wait_s(caller.store.store_id, asyncio.get_running_loop().time())
        if wait_s:
            await asyncio.sleep(wait_s)
        self._metrics.turned_away.labels("rate_limit").inc()
        raise too_many(verdict, scope)


def _wake(turns: "Sequence[asyncio.Future[None]]") -> None:
    for turn in turns:
        if not turn.done():
            turn.set_result(None)

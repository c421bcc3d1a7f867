"""One request from its bytes to its answer."""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from pydantic import ValidationError
from starlette.responses import Response

from services.ingest.adapters.native_short import ShortWay
from services.ingest.adapters.seam import Arrival, Refused
from services.ingest.api.answers import answer_of, behind, too_many
from services.ingest.api.bodies import Items, body_of, expect_json, hash_of, idempotency_key, items_in
from services.ingest.api.browsers import browser_of
from services.ingest.api.callers import Caller, Callers, Directory
from services.ingest.api.payloads import Payload, flaws_of
from services.ingest.api.quick import Odd
from services.ingest.domain.pace import Pace, paced
from services.ingest.domain.refusals import Refusals
from services.ingest.domain.sealed import Event
from services.ingest.domain.translation import Translation
from services.ingest.gateway import Gateway, KafkaUnavailable, Overloaded, Result
from services.ingest.limiter import RateLimiter, Verdict
from services.ingest.metrics import IngestMetrics
from services.ingest.publisher import Publisher
from services.ingest.turns import Crowded, Go, Turns
from services.ingest.visitors import Visitors
from trolleybus.contracts.identity import IdentityHasher
from trolleybus.http import Problem
from trolleybus.http.fast import Answered, Incoming, Whole
from trolleybus.telemetry import get_logger

logger = get_logger(__name__)
P = TypeVar("P", bound=Payload)

A_TURN = 50
"""Events of a batch that are read in one turn."""


class Uses(Protocol):
    """Where it is noted when a key was used (ms since the epoch)."""

    def note(self, store_id: str, key_id: str, at_ms: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[P]):
    """Where events of one kind come in, and what reads them."""

    source: str
    scope: str
    list_name: str
    payload: type[P]
    adapter: Callable[[P, Arrival], Translation]
    quick: Callable[[object], P]
    short: ShortWay | None = None


@dataclass(slots=True)
class _Plain(Generic[P]):
    """A request whose events are all plain, until it is its store's turn."""

    request: Whole
    answered: Answered
    endpoint: Endpoint[P]
    way: ShortWay
    caller: Caller
    batch: Items
    arrival: Arrival
    context: Context
    events: Sequence[Event] = ()


class Intake:
    """Holds what every endpoint needs; `now` gives ms since the epoch."""

    def __init__(
        self,
        *,
        directory: Directory,
        hasher: IdentityHasher,
        limiter: RateLimiter,
        turns: Turns,
        publisher: Publisher,
        gateway: Gateway,
        metrics: IngestMetrics,
        max_events: int,
        max_bytes: int,
        pace: Pace,
        uses: Uses,
        visitors: Visitors,
        now: Callable[[], int],
    ) -> None:
        self._callers = Callers(directory)
        self.hasher = hasher
        self._limiter = limiter
        self._turns = turns
        self._publisher = publisher
        self._gateway = gateway
        self._metrics = metrics
        self._max_events = max_events
        self._most_at_once = min(A_TURN, max_events)
        self.max_bytes = max_bytes
        self._pace = pace
        self._refusals = Refusals()
        self._uses = uses
        self.visitors = visitors
        self.now = now

    async def handle(self, request: Incoming, endpoint: Endpoint[P]) -> Response:
        """As answer, by the framework's way."""
        return Response(await self.answer(request, endpoint), 202, media_type="application/json")

    async def answer(self, request: Incoming, endpoint: Endpoint[P]) -> bytes:
        """The answer's JSON: a result an event; problems are raised."""
        received_at = self.now()
        caller = await self.caller(request, endpoint.scope)
        self.turn_away_while_behind()
        body = await body_of(request, self.max_bytes)
        short = endpoint.short.read(body) if endpoint.short is not None else None
        if short is not None and len(short.items) > self._max_events:
            short = None
        batch = short or items_in(body, endpoint.list_name, self._max_events)
        await self.limit(caller, endpoint.scope, len(batch.items))
        key = idempotency_key(request)
        arrival = self._arrival(request, caller, received_at, batch)
        if endpoint.short is not None and short is not None:
            events = await self._by_the_short_way(short, endpoint.short, arrival, caller)
            if events is None:
                return await self._by_the_long_way(body, endpoint, arrival, caller, key)
        else:
            events = await self._by_the_model(batch, endpoint, arrival, caller, key)
        return answer_of(await self.take(caller, endpoint.source, events), batch)

    def begin(self, request: Whole, answered: Answered, endpoint: Endpoint[P]) -> None:
        """As answer, without waiting for anything but a turn and Kafka's acknowledgement, as far as that goes."""
        way = endpoint.short
        if way is None or "content-encoding" in request.headers:
            answered(self.answer(request, endpoint))
            return
        received_at = self.now()
        caller = self._callers.of(request, endpoint.scope, received_at)
        refusal = self._limiter.refusal(caller.store, caller.key, endpoint.scope)
        if refusal is None:
            self.turn_away_while_behind()
            expect_json(request)
            batch = way.read(request.whole())
            if batch is not None and len(batch.items) <= self._most_at_once:
                self._uses.note(caller.store.store_id, caller.key.key_id, received_at)
                arrival = self._arrival(request, caller, received_at, batch)
                plain = _Plain(request, answered, endpoint, way, caller, batch, arrival, copy_context())
                self._in_turn(caller, len(batch.items), self._go, plain)
                return
        answered(self.answer(request, endpoint))

    def _go(self, waited: "Sequence[_Plain[P]]") -> None:
        """It is the store's turn: what one caller sent to one endpoint goes to Kafka together, each with its own answer."""
        groups: dict[tuple[int, int], list[_Plain[P]]] = {}
        for one in waited:
            groups.setdefault((id(one.caller), id(one.endpoint)), []).append(one)
        for group in groups.values():
            self._go_together(group)

    def _go_together(self, group: "Sequence[_Plain[P]]") -> None:
        caller, scope = group[0].caller, group[0].endpoint.scope
        try:
            number = sum([len(one.batch.items) for one in group])
            verdict = self._limiter.take(caller.store, caller.key, scope, number)
        except Exception as error:  # noqa: BLE001 - told as the answer
            _answer_all(group, error)
            return
        if verdict is None or not verdict.allowed:
            self._go_singly(group)
            return
        ready = [one for one in group if one.context.run(self._seal, one)]
        if ready:
            self._begin(ready)

    def _go_singly(self, group: "Sequence[_Plain[P]]") -> None:
        """Some of them, where there is no room for all."""
        if len(group) > 1:
            for one in group:
                self._go_together([one])
        else:
            group[0].answered(self.answer(group[0].request, group[0].endpoint))

    def _seal(self, plain: "_Plain[P]") -> bool:
        """Whether it is ready to be sent; else it was answered."""
        caller = plain.caller
        try:
            key = idempotency_key(plain.request)
            events = plain.way.seal(plain.batch.items, plain.arrival, 0, len(plain.batch.items))
        except Odd:
            body = plain.request.whole()
            plain.answered(self._by_the_long_way(body, plain.endpoint, plain.arrival, caller, key))
            return False
        except Exception as error:  # noqa: BLE001 - told as the answer
            plain.answered(partial(_raise, error))
            return False
        plain.events = paced(self._pace, events, caller.store) if caller.is_public else events
        return True

    def _begin(self, ready: "Sequence[_Plain[P]]") -> None:
        caller, endpoint = ready[0].caller, ready[0].endpoint
        events = [event for one in ready for event in one.events]
        try:
            if self._gateway.begin(caller.store.store_id, endpoint.source, events, partial(self._told, ready)):
                return
        except Overloaded as error:
            _answer_all(ready, behind(str(error)))
            return
        except Exception as error:  # noqa: BLE001 - told as the answer
            _answer_all(ready, error)
            return
        if len(ready) > 1:  # Of one of them something must be asked first.
            for one in ready:
                self._begin([one])
        else:
            ready[0].answered(self._settled(ready[0]))

    def _told(self, ready: "Sequence[_Plain[P]]", told: list[Result] | KafkaUnavailable | Overloaded) -> None:
        if not isinstance(told, list):
            _answer_all(ready, self._not_taken(told, ready[0].caller, sum([len(one.events) for one in ready])))
            return
        at = 0
        for one in ready:
            results = told[at : at + len(one.events)]
            at += len(results)
            one.answered(partial(answer_of, results, one.batch))

    async def _settled(self, plain: "_Plain[P]") -> bytes:
        results = await self._hand_over(plain.caller, plain.endpoint.source, plain.events)
        return answer_of(results, plain.batch)

    async def _by_the_long_way(
        self, body: bytes, endpoint: Endpoint[P], arrival: Arrival, caller: Caller, key: str
    ) -> bytes:
        """What the short way found odd."""
        items = items_in(body, endpoint.list_name, self._max_events)
        events = await self._by_the_model(items, endpoint, arrival, caller, key)
        return answer_of(await self.take(caller, endpoint.source, events), items)

    def _arrival(self, request: Incoming, caller: Caller, received_at: int, batch: Items) -> Arrival:
        return Arrival(
            store=caller.store,
            hasher=self.hasher,
            received_at=received_at,
            sent_at=batch.sent_at,
            is_public=caller.is_public,
            user_agent=browser_of(request),
            country=self.visitors.country(request.headers),
            is_crowd=self.visitors.is_crowd(request.headers, caller.store.store_id, len(batch.items), received_at),
        )

    async def _by_the_short_way(
        self, batch: Items, way: ShortWay, arrival: Arrival, caller: Caller
    ) -> list[Event | Refused] | None:
        """None where one of the events is odd: then all go the long way, so that each is read once."""
        events: list[Event | Refused] = []
        try:
            for at in range(0, len(batch.items), A_TURN):
                if at:
                    await self.turn(caller)
                events += way.seal(batch.items, arrival, at, at + A_TURN)
        except Odd:
            return None
        return events

    async def _by_the_model(
        self, batch: Items, endpoint: Endpoint[P], arrival: Arrival, caller: Caller, key: str
    ) -> list[Event | Refused]:
        events: list[Event | Refused] = []
        for index, item in enumerate(batch.items):
            if index and not index % A_TURN:
                await self.turn(caller)
            named = replace(arrival, fallback_id=f"{key}:{index}" if key else "", raw_hash=partial(hash_of, item))
            events.append(_read(item, endpoint, named))
        return events

    async def caller(self, request: Incoming, scope: str, key_in_body: str = "") -> Caller:
        """Who calls; 401 or 403 for who may not, 429 for who has sent too much already."""
        now = self.now()
        caller = self._callers.of(request, scope, now, key_in_body)
        self._uses.note(caller.store.store_id, caller.key.key_id, now)
        refusal = self._limiter.refusal(caller.store, caller.key, scope)
        if refusal is not None:
            await self._refuse(caller, refusal, scope)
        return caller

    async def take(self, caller: Caller, source: str, events: Sequence[Event | Refused]) -> list[Result]:
        """A result an event, when Kafka has all that were not refused; 503 otherwise."""
        if caller.is_public:
            told = iter(paced(self._pace, [one for one in events if not isinstance(one, Refused)], caller.store))
            events = [one if isinstance(one, Refused) else next(told) for one in events]
        return await self._hand_over(caller, source, events)

    async def _hand_over(self, caller: Caller, source: str, events: Sequence[Event | Refused]) -> list[Result]:
        try:
            return await self._gateway.take(caller.store.store_id, source, events)
        except (Overloaded, KafkaUnavailable) as error:
            raise self._not_taken(error, caller, len(events)) from None

    def _not_taken(self, error: KafkaUnavailable | Overloaded, caller: Caller, events: int) -> Problem:
        if isinstance(error, Overloaded):
            return behind(str(error))
        logger.warning("kafka did not acknowledge", store=caller.store.store_id, events=events, error=str(error))
        return behind("Kafka did not acknowledge; send the same again, nothing will count twice")

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

    async def turn(self, caller: Caller, work: int = A_TURN) -> None:
        """Before work that takes long: lets other stores' requests pass; 503 where too many of this store's wait."""
        if self._turns.now(work):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._in_turn(caller, work, _wake, turn)
        await turn

    def _in_turn(self, caller: Caller, work: int, go: Go, thing: object) -> None:
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


def _read(item: Any, endpoint: Endpoint[P], arrival: Arrival) -> Translation | Refused:
    try:
        try:
            payload = endpoint.quick(item)
        except Odd:
            payload = endpoint.payload.model_validate(item)
        return endpoint.adapter(payload, arrival)
    except ValidationError as error:
        return Refused(*flaws_of(error, endpoint.payload))
    except Refused as refused:
        return refused


def _wake(turns: "Sequence[asyncio.Future[None]]") -> None:
    for turn in turns:
        if not turn.done():
            turn.set_result(None)


def _answer_all(group: "Sequence[_Plain[P]]", error: Exception) -> None:
    for one in group:
        one.answered(partial(_raise, error))


def _raise(error: Exception) -> NoReturn:
    raise error

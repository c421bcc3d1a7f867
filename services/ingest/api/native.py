"""One request with events in the gateway's own form, from its bytes to its answer."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from starlette.responses import Response

from services.ingest.adapters.native_short import ShortWay
from services.ingest.adapters.seam import Arrival, Refused
from services.ingest.api.admission import A_TURN, Admission
from services.ingest.api.answers import answer_of
from services.ingest.api.bodies import Items, body_of, hash_of, idempotency_key, items_in
from services.ingest.api.callers import Caller
from services.ingest.api.intake import Intake
from services.ingest.api.payloads import Payload, flaws_of
from services.ingest.api.quick import Odd
from services.ingest.domain.sealed import Event
from services.ingest.domain.translation import Translation
from trolleybus.http.fast import Incoming

P = TypeVar("P", bound=Payload)


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


class NativeIntake:
    """Waits for whatever a request needs."""

    def __init__(self, admission: Admission, intake: Intake, *, max_events: int, max_bytes: int) -> None:
        self._admission = admission
        self._intake = intake
        self._max_events = max_events
        self._max_bytes = max_bytes

    async def handle(self, request: Incoming, endpoint: Endpoint[P]) -> Response:
        """As answer, by the framework's way."""
        return Response(await self.answer(request, endpoint), 202, media_type="application/json")

    async def answer(self, request: Incoming, endpoint: Endpoint[P]) -> bytes:
        """The answer's JSON: a result an event; problems are raised."""
        received_at = self._admission.now()
        caller = await self._admission.caller(request, endpoint.scope)
        self._admission.turn_away_while_behind()
        body = await body_of(request, self._max_bytes)
        short = endpoint.short.read(body) if endpoint.short is not None else None
        if short is not None and len(short.items) > self._max_events:
            short = None
        batch = short or items_in(body, endpoint.list_name, self._max_events)
        await self._admission.limit(caller, endpoint.scope, len(batch.items))
        key = idempotency_key(request)
        arrival = self._intake.arrival(request, caller, received_at, len(batch.items), batch.sent_at)
        if endpoint.short is not None and short is not None:
            events = await self._by_the_short_way(short, endpoint.short, arrival, caller)
            if events is None:
                return await self.by_the_long_way(body, endpoint, arrival, caller, key)
        else:
            events = await self._by_the_model(batch, endpoint, arrival, caller, key)
        return answer_of(await self._intake.take(caller, endpoint.source, events), batch)

    async def by_the_long_way(
        self, body: bytes, endpoint: Endpoint[P], arrival: Arrival, caller: Caller, key: str
    ) -> bytes:
        """The answer for a body that the short way found odd; `key` is the request's idempotency key."""
        items = items_in(body, endpoint.list_name, self._max_events)
        events = await self._by_the_model(items, endpoint, arrival, caller, key)
        return answer_of(await self._intake.take(caller, endpoint.source, events), items)

    async def _by_the_short_way(
        self, batch: Items, way: ShortWay, arrival: Arrival, caller: Caller
    ) -> list[Event | Refused] | None:
        """None where one of the events is odd: then all go the long way, so that each is read once."""
        events: list[Event | Refused] = []
        try:
            for at in range(0, len(batch.items), A_TURN):
                if at:
                    await self._admission.turn(caller)
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
                await self._admission.turn(caller)
            named = replace(arrival, fallback_id=f"{key}:{index}" if key else "", raw_hash=partial(hash_of, item))
            events.append(_read(item, endpoint, named))
        return events


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

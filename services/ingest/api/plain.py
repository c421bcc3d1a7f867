"""The way of a request whose events are all plain: it waits for nothing but its store's turn and Kafka's acknowledgement.

What must wait for something else (a lease, a shopper whom only Valkey knows, a model) goes NativeIntake's way from there.
"""

from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import partial
from typing import Generic, NoReturn, TypeVar

from services.ingest.adapters.native_short import ShortWay
from services.ingest.api.admission import A_TURN, Admission
from services.ingest.api.answers import answer_of, behind
from services.ingest.api.bodies import Items, expect_json, idempotency_key
from services.ingest.api.callers import Caller
from services.ingest.api.intake import Intake, not_taken
from services.ingest.api.native import Endpoint, NativeIntake
from services.ingest.api.payloads import Payload
from services.ingest.api.quick import Odd
from services.ingest.domain.sealed import Event
from services.ingest.gateway import Gateway, KafkaUnavailable, Overloaded, Result
from trolleybus.http import Problem
from trolleybus.http.fast import Answered, Whole

P = TypeVar("P", bound=Payload)


@dataclass(slots=True)
class _Plain(Generic[P]):
    """A request, until it is its store's turn."""

    request: Whole
    answered: Answered
    endpoint: Endpoint[P]
    way: ShortWay
    caller: Caller
    received_at: int
    batch: Items
    context: Context
    events: Sequence[Event] = ()


class PlainIntake:
    """What one caller sent to one endpoint by its turn goes to Kafka together, each request with its own answer."""

    def __init__(
        self, admission: Admission, intake: Intake, gateway: Gateway, native: NativeIntake, *, max_events: int
    ) -> None:
        self._admission = admission
        self._intake = intake
        self._gateway = gateway
        self._native = native
        self._most_at_once = min(A_TURN, max_events)

    def begin(self, request: Whole, answered: Answered, endpoint: Endpoint[P]) -> None:
        """As NativeIntake.answer, without waiting as far as that goes; `answered` is told the answer or how to wait for it."""
        way = endpoint.short
        if way is None or "content-encoding" in request.headers:
            answered(self._native.answer(request, endpoint))
            return
        received_at = self._admission.now()
        caller = self._admission.caller_at_once(request, endpoint.scope, received_at)
        if caller is not None:
            self._admission.turn_away_while_behind()
            expect_json(request)
            batch = way.read(request.whole())
            if batch is not None and len(batch.items) <= self._most_at_once:
                plain = _Plain(request, answered, endpoint, way, caller, received_at, batch, copy_context())
                self._admission.in_turn(caller, len(batch.items), self._go, plain)
                return
        answered(self._native.answer(request, endpoint))

    def _go(self, waited: "Sequence[_Plain[P]]") -> None:
        """It is the store's turn."""
        groups: dict[tuple[int, int], list[_Plain[P]]] = {}
        for one in waited:
            groups.setdefault((id(one.caller), id(one.endpoint)), []).append(one)
        for group in groups.values():
            self._go_together(group)

    def _go_together(self, group: "Sequence[_Plain[P]]") -> None:
        number = sum([len(one.batch.items) for one in group])
        try:
            has_room = self._admission.limit_at_once(group[0].caller, group[0].endpoint.scope, number)
        except Exception as error:  # noqa: BLE001 - told as the answer
            _answer_all(group, error)
            return
        if not has_room:
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
            group[0].answered(self._native.answer(group[0].request, group[0].endpoint))

    def _seal(self, plain: "_Plain[P]") -> bool:
        """Whether it is ready to be sent; else it was answered."""
        request, caller, batch, number = plain.request, plain.caller, plain.batch, len(plain.batch.items)
        try:
            key = idempotency_key(request)
            arrival = self._intake.arrival(request, caller, plain.received_at, number, batch.sent_at)
            events = plain.way.seal(batch.items, arrival, 0, number)
        except Odd:
            plain.answered(self._native.by_the_long_way(request.whole(), plain.endpoint, arrival, caller, key))
            return False
        except Exception as error:  # noqa: BLE001 - told as the answer
            plain.answered(partial(_raise, error))
            return False
        plain.events = self._intake.paced(caller, events)
        return True

    def _begin(self, plain: "Sequence[_Plain[P]]") -> None:
        caller, endpoint = plain[0].caller, plain[0].endpoint
        events = [event for one in plain for event in one.events]
        try:
            ready = self._gateway.ready_at_once(caller.store.store_id, endpoint.source, events)
            if ready is not None:
                self._gateway.send(ready, _Telling(caller, plain, ready.results))
                for one in plain:
                    one.request.drop()
                return
        except Overloaded as error:
            _answer_all(plain, behind(str(error)))
            return
        except Exception as error:  # noqa: BLE001 - told as the answer
            _answer_all(plain, error)
            return
        if len(plain) > 1:  # Of one of them something must be asked first.
            for one in plain:
                self._begin([one])
        else:
            plain[0].answered(self._asking_first(plain[0]))

    async def _asking_first(self, plain: "_Plain[P]") -> bytes:
        results = await self._intake.hand_over(plain.caller, plain.endpoint.source, plain.events)
        return answer_of(results, plain.batch)


class _Telling:
    """The answers of requests that go to Kafka together; told when it has them. They are written before, while the events
    that they are of are at hand, and nothing else is kept."""

    __slots__ = ("answers", "caller", "events")

    def __init__(self, caller: Caller, plain: "Sequence[_Plain[P]]", results: Sequence[Result]) -> None:
        self.caller = caller
        self.events = len(results)
        self.answers: list[tuple[Answered, Callable[[], bytes]]] = []
        at = 0
        for one in plain:
            own = results[at : at + len(one.events)]
            at += len(own)
            self.answers.append((one.answered, _written(own, one.batch)))

    def __call__(self, error: KafkaUnavailable | Overloaded | None) -> None:
        problem = partial(_raise, not_taken(error, self.caller, self.events)) if error is not None else None
        for answered, answer in self.answers:
            answered(problem or answer)


def _written(results: Sequence[Result], batch: Items) -> Callable[[], bytes]:
    try:
        written = answer_of(results, batch)
    except Problem as problem:
        return partial(_raise, problem)
    return lambda: written


def _answer_all(group: "Sequence[_Plain[P]]", error: Exception) -> None:
    for one in group:
        one.answered(partial(_raise, error))


def _raise(error: Exception) -> NoReturn:
    raise error

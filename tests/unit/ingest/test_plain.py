"""When a request of plain events is answered, and what is awaited for another."""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from services.ingest.adapters.native_short import short_way
from services.ingest.adapters.seam import Refused
from services.ingest.api.admission import A_TURN, Admission
from services.ingest.api.intake import Intake
from services.ingest.api.native import NativeIntake
from services.ingest.api.plain import PlainIntake
from services.ingest.api.routes import track
from services.ingest.domain import marks
from services.ingest.domain.buckets import Limit
from services.ingest.domain.pace import Pace
from services.ingest.domain.sealed import Sealed
from services.ingest.domain.translation import Flaw
from services.ingest.gateway import Done, KafkaUnavailable, Overloaded, Ready
from services.ingest.limiter import Verdict
from services.ingest.metrics import IngestMetrics
from services.ingest.publisher import Phases
from services.ingest.turns import Turns
from services.ingest.visitors import Visitors
from trolleybus.codec import Codec
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.identity import IdentityHasher, installation_secrets
from trolleybus.contracts.stores import StoreConfig, StoreKey
from trolleybus.envelope import Envelopes
from trolleybus.http import Problem
from trolleybus.http.fast import Answer
from trolleybus.registry import Registry
from trolleybus.security import hash_key, new_key
from trolleybus.store_directory import StoreIndex
from trolleybus.telemetry import begin_trace
from trolleybus.topics import Topics


class Kafka:
    """A gateway that is told when Kafka has what was begun. Strangers must be asked for."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.told: list[Done] = []
        self.refused = ""
        self.is_behind = False

    def ready_at_once(self, store_id: str, source: str, events: Sequence[Any]) -> Ready | None:
        if any(event.customer_id == "stranger" for event in events):
            return None
        if any(event.customer_id == "nobody" for event in events):
            raise RuntimeError("a mistake")
        taken = [event for event in events if event.customer_id != self.refused]
        results = [event if event in taken else Refused(Flaw("", "too large")) for event in events]
        return Ready(store_id, source, results, taken, Phases([], []), [])

    def send(self, ready: Ready, done: Done) -> None:
        if self.is_behind:
            raise Overloaded("behind")
        self.events += ready.taken
        self.told.append(done)

    def ids(self) -> list[str]:
        """Of the events, as they are to be answered."""
        return [event.event_id for event in self.events]

    async def take(self, _store_id: str, _source: str, events: Sequence[Any]) -> list[Any]:
        self.events += events
        return [*events]


ORIGIN = "https://shop.example"


class Schemas:
    """A registry of one schema."""

    async def id_of(self, _subject: str, _text: str) -> int:
        return 7


def prepared(topics: Topics) -> Codec:
    codec = Codec(cast(Registry, Schemas()), topics)
    asyncio.run(codec.prepare(CartActivity))
    return codec


TOPICS = Topics.load()
CODEC = prepared(TOPICS)


class Request:
    """A request whose body is there."""

    def __init__(self, key: str, body: bytes, address: str) -> None:
        self.headers = {
            "authorization": f"Bearer {key}",
            "content-type": "application/json",
            "origin": ORIGIN,
            "x-real-ip": address,
        }
        self.query_params: Mapping[str, str] = {}
        self._body = body
        self.is_dropped = False

    def whole(self) -> bytes:
        assert not self.is_dropped
        return self._body

    def drop(self) -> None:
        self.is_dropped = True

    async def body(self) -> bytes:
        return self.whole()


def plain(answers: Sequence[Answer]) -> list[Callable[[], bytes]]:
    """Those that are told at once."""
    return [answer for answer in answers if not isinstance(answer, Coroutine)]


class Door:
    """An intake of cart events, and what it answered."""

    def __init__(self, each_pass: int = 4) -> None:
        self.key = new_key("write")
        key = StoreKey(key_id="k", kind="write", hash=hash_key(self.key))
        directory = StoreIndex()
        directory.add(StoreConfig(store_id="s", version=1, currency="EUR", origins=(ORIGIN,), keys=(key,)))
        self.kafka = Kafka()
        self.address = ""
        self.refusal: Verdict | None = None
        self.verdict: Verdict | None = Verdict(True, Limit(1, 1))
        self.limited: list[int] = []
        self.most = 1000
        self.turns = Turns(each_pass=each_pass, most_waiting=4 if each_pass == 1 else 100)
        self.answers: list[Answer] = []
        self.requests: list[Request] = []
        gateway: Any = self.kafka
        admission = Admission(
            directory=directory,
            limiter=SimpleNamespace(refusal=lambda *_: self.refusal, take=self._take, acquire=self._acquire),  # type: ignore[arg-type]
            turns=self.turns,
            publisher=SimpleNamespace(check=lambda: None),  # type: ignore[arg-type]
            metrics=IngestMetrics(CollectorRegistry()),
            uses=SimpleNamespace(note=lambda *_: None),
            now=lambda: 1_772_000_000_000,
        )
        intake = Intake(
            hasher=IdentityHasher(installation_secrets("a" * 32)),
            gateway=gateway,
            pace=Pace(most_a_minute=100),
            visitors=Visitors(
                country_header="", address_header="x-real-ip", countries=None, pace=Pace(most_a_minute=3)
            ),
        )
        native = NativeIntake(admission, intake, max_events=500, max_bytes=10_000)
        self.plain = PlainIntake(admission, intake, gateway, native, max_events=500)
        self.tracking = track(short_way(CODEC, Envelopes("test", TOPICS, CODEC), 100_000))

    def _take(self, _store: object, _key: object, _scope: str, events: int) -> Verdict | None:
        if sum(self.limited) + events > self.most:
            return None
        if self.verdict is not None:
            self.limited.append(events)
        return self.verdict

    async def _acquire(self, _store: object, _key: object, _scope: str, events: int) -> Verdict:
        self.limited.append(events)
        return Verdict(True, Limit(1, 1))

    async def begin(self, *shoppers: str, **more: object) -> None:
        """One request, when it is the store's turn."""
        self.send(*shoppers, **more)
        await self.turn()

    def send_in(self, traceparent: str, *shoppers: str) -> None:
        begin_trace(traceparent)
        self.send(*shoppers)

    async def turn(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)

    def send(self, *shoppers: str, **more: object) -> None:
        events = [
            {"event": "cart_emptied", "event_id": f"e{n}", "cart_id": "c", "customer_id": shopper, **more}
            for n, shopper in enumerate(shoppers)
        ]
        body = json.dumps({"events": events} if len(events) != 1 else events[0]).encode()
        self.requests.append(Request(self.key, body, self.address))
        self.plain.begin(self.requests[-1], self.answers.append, self.tracking)

    def answer(self) -> Any:
        """The one that was told, of one that is told at once."""
        (answer,) = self.answers
        assert not isinstance(answer, Coroutine)
        return json.loads(answer())

    async def later(self) -> Any:
        """The one that is to be awaited."""
        (answer,) = self.answers
        assert isinstance(answer, Coroutine)
        return json.loads(await answer)


async def test_a_plain_event_is_answered_when_kafka_has_it_and_not_before() -> None:
    door = Door()
    await door.begin("ada")
    assert door.answers == []
    assert [event.customer_id for event in door.kafka.events] == ["ada"]
    door.kafka.told[0](None)
    assert door.answer() == {"results": [{"status": "accepted", "id": door.kafka.ids()[0]}]}
    assert door.limited == [1]


async def test_what_kafka_does_not_have_is_answered_with_503() -> None:
    door = Door()
    await door.begin("ada")
    door.kafka.told[0](KafkaUnavailable("no answer"))
    with pytest.raises(Problem) as caught:
        door.answer()
    assert (caught.value.status_code, caught.value.headers) == (503, {"Retry-After": "2"})


async def test_while_kafka_is_behind_the_answer_is_503_at_once() -> None:
    door = Door()
    door.kafka.is_behind = True
    await door.begin("ada")
    with pytest.raises(Problem) as caught:
        door.answer()
    assert caught.value.status_code == 503


async def test_for_a_stranger_the_answer_is_awaited_and_the_event_counts_once() -> None:
    door = Door()
    await door.begin("stranger")
    assert (await door.later())["results"][0]["status"] == "accepted"
    assert len(door.kafka.events) == 1
    assert door.limited == [1]


@pytest.mark.parametrize("more", [{"email": "ada@example.com"}, {"event": "nothing"}, {"step": " a "}])
async def test_what_is_not_plain_is_read_by_its_model_and_counts_once(more: dict[str, object]) -> None:
    door = Door()
    await door.begin("ada", "bo", **more)
    results = (await door.later())["results"]
    assert len(results) == 2
    assert (len(door.kafka.told), door.limited) == (0, [2])


async def test_an_event_that_only_its_meaning_makes_odd_is_read_by_its_model_and_counts_once() -> None:
    door = Door()
    await door.begin("ada", event="checkout_step")  # Of no step.
    with pytest.raises(Problem, match="422"):
        await door.later()
    assert door.limited == [1]


async def test_without_a_lease_one_is_asked_for_and_the_event_counts_once() -> None:
    door = Door()
    door.verdict = None
    await door.begin("ada")
    await door.later()
    assert (len(door.kafka.events), door.limited) == (1, [1])


async def test_a_request_that_waits_for_a_lease_counts_once_for_its_address() -> None:
    door = Door()
    door.verdict, door.address = None, "192.0.2.7"
    for shopper in ("ada", "bo", "cy"):
        door.answers.clear()
        await door.begin(shopper)
        await door.later()
    assert [type(event) for event in door.kafka.events] == [Sealed] * 3  # Unmarked: an address may send three.
    door.answers.clear()
    await door.begin("dee")
    await door.later()
    assert [record.marks for record in door.kafka.events[3].records] == [(marks.BOT,)]


async def test_who_has_sent_too_much_is_told_so_late() -> None:
    door = Door()
    door.refusal = Verdict(False, Limit(1, 1), retry_after_s=1)
    await door.begin("ada")
    with pytest.raises(Problem) as caught:
        await door.later()
    assert caught.value.status_code == 429
    assert not door.kafka.events


async def test_a_request_waits_for_its_stores_turn_and_is_refused_where_too_many_wait() -> None:
    door = Door(each_pass=1)
    door.send("a")
    door.send("b")
    assert not door.kafka.events
    with pytest.raises(Problem) as caught:
        door.send("c")
    assert caught.value.status_code == 503
    await door.turn()
    assert [event.customer_id for event in door.kafka.events] == ["a", "b"]


async def test_requests_that_wait_for_one_turn_go_to_kafka_together_and_each_has_its_own_answer() -> None:
    door = Door(each_pass=8)
    for shoppers in (["ada"], ["bo", "cy"], ["dee"]):
        door.send(*shoppers)
    await door.turn()
    (told,) = door.kafka.told
    assert door.limited == [4]
    told(None)
    answers = [[one["id"] for one in json.loads(answer())["results"]] for answer in plain(door.answers)]
    ids = door.kafka.ids()
    assert answers == [ids[:1], ids[1:3], ids[3:]]


async def test_the_one_event_of_a_request_that_is_refused_after_all_is_answered_with_422_and_the_others_with_202() -> (
    None
):
    door = Door(each_pass=8)
    door.kafka.refused = "bo"
    for shopper in ("ada", "bo"):
        door.send(shopper)
    await door.turn()
    door.kafka.told[0](None)
    taken, refused = plain(door.answers)
    assert json.loads(taken())["results"] == [{"status": "accepted", "id": door.kafka.ids()[0]}]
    with pytest.raises(Problem, match="422"):
        refused()


async def test_while_kafka_has_not_answered_neither_the_body_nor_its_events_are_kept() -> None:
    door = Door()
    await door.begin("ada")
    event = door.kafka.events.pop()
    assert sys.getrefcount(event) == 2  # Its name here, and the argument.
    assert door.requests[0].is_dropped


async def test_what_cannot_go_with_the_others_keeps_none_of_them_back() -> None:
    door = Door(each_pass=8)
    door.send("ada")
    door.send("bo", event="checkout_step")  # Of no step.
    door.send("stranger")
    door.send("cy")
    await door.turn()
    assert [event.customer_id for event in door.kafka.events] == ["ada", "cy"]
    odd, unknown = door.answers
    assert isinstance(odd, Coroutine)
    assert isinstance(unknown, Coroutine)
    with pytest.raises(Problem, match="422"):
        await odd
    assert json.loads(await unknown)["results"][0]["status"] == "accepted"


async def test_a_mistake_in_one_request_is_answered_once_and_the_others_go_on() -> None:
    door = Door(each_pass=8)
    for shopper in ("stranger", "nobody", "ada"):
        door.send(shopper)
    await door.turn()
    unknown, mistaken = door.answers
    assert isinstance(unknown, Coroutine)
    await unknown
    with pytest.raises(RuntimeError, match="a mistake"):
        plain([mistaken])[0]()
    door.kafka.told[0](None)
    assert len(door.answers) == 3


async def test_where_there_is_no_room_for_all_that_wait_some_of_them_go() -> None:
    door = Door(each_pass=8)
    door.most = 2
    door.send("ada", "bo")
    door.send("cy", "dee")
    await door.turn()
    assert [event.customer_id for event in door.kafka.events] == ["ada", "bo"]
    (late,) = door.answers
    assert isinstance(late, Coroutine)
    late.close()


async def test_what_waited_together_carries_each_its_own_trace() -> None:
    door = Door(each_pass=8)
    traces = [f"00-{digit * 32}-{'1' * 16}-01" for digit in "ab"]
    for trace in traces:
        copy_context().run(door.send_in, trace, "ada")
    await door.turn()
    told = [dict(event.outgoing.headers)["traceparent"].decode() for event in door.kafka.events]
    assert [one.split("-")[1] for one in told] == [trace.split("-")[1] for trace in traces]


async def test_a_batch_that_is_worked_on_in_several_turns_is_awaited() -> None:
    door = Door()
    await door.begin(*["ada"] * (A_TURN + 1))
    assert len((await door.later())["results"]) == A_TURN + 1

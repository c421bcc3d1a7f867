"""When a request's results are told: with Kafka's acknowledgement, not before."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.ingest.adapters.seam import Refused
from services.ingest.domain.people import Identity
from services.ingest.domain.persons import Person
from services.ingest.domain.sealed import Sealed
from services.ingest.domain.translation import Flaw
from services.ingest.gateway import Gateway, KafkaUnavailable, Overloaded
from services.ingest.metrics import IngestMetrics
from services.ingest.publisher import Done, Phases
from tests.eventually import eventually
from trolleybus.envelope import Outgoing

ADA = Identity("anonymous", "anonymous:v1:ada", "ada")
OUTGOING = Outgoing("cart.activity", b"k", b"v", ())


def event(*identities: Identity) -> Sealed:
    def long_form() -> Any:
        raise AssertionError("nothing of it changes")

    identity = identities[0].hash if identities else ""
    return Sealed("e", "cart_updated", identities, identity, "ada", "c", 1, OUTGOING, long_form)


class Kafka:
    """A publisher whose acknowledgements the test gives; `fails` is raised instead."""

    def __init__(self) -> None:
        self.sent: list[Phases] = []
        self.done: list[Done] = []
        self.fails: Overloaded | None = None

    def publish(self, _store_id: str, phases: Phases, done: Done) -> None:
        if self.fails is not None:
            raise self.fails
        self.sent.append(phases)
        self.done.append(done)

    async def is_asked(self) -> bool:
        return bool(self.done)


class Shoppers:
    """An identity map that knows some, and those it asked for."""

    def __init__(self, *known: str) -> None:
        self.known = {*known}
        self.familiar: set[str] = set()
        self.noted: list[Any] = []

    def person(self, identity: str) -> Person | None:
        return Person("p", {identity: 1}) if identity in self.known else None

    def unusual(self, events: Sequence[Any]) -> list[int]:
        return [
            place for place, one in enumerate(events) if not {each.hash for each in one.identities} <= self.familiar
        ]

    def has(self, identities: Sequence[Identity]) -> bool:
        return all(one.hash in self.known for one in identities)

    async def fetch(self, identities: set[str]) -> bool:
        await asyncio.sleep(0)
        self.known |= identities
        return True

    def note(self, sightings: Sequence[Any]) -> None:
        self.noted += sightings


@pytest.fixture
def kafka() -> Kafka:
    return Kafka()


def gateway(kafka: Any, shoppers: Any) -> Gateway:
    return Gateway(kafka, shoppers, IngestMetrics(CollectorRegistry()))


def send(kafka: Any, shoppers: Any, *events: Sealed) -> list[Any]:
    """What it is told when, of events that nobody must be asked for."""
    told: list[Any] = []
    one = gateway(kafka, shoppers)
    ready = one.ready_at_once("s", "native", events)
    assert ready is not None
    assert ready.results == [*events]
    one.send(ready, told.append)
    return told


async def test_what_is_sent_is_told_and_learned_from_when_kafka_has_it(kafka: Kafka) -> None:
    shoppers = Shoppers(ADA.hash)
    told = send(kafka, shoppers, event(ADA))
    assert kafka.sent == [Phases([], [OUTGOING])]
    assert (told, shoppers.noted) == ([], [])
    kafka.done[0](None)
    assert told == [None]
    assert [one.identities for one in shoppers.noted] == [(ADA,)]


async def test_from_what_is_usual_nothing_is_learned(kafka: Kafka) -> None:
    shoppers = Shoppers(ADA.hash)
    shoppers.familiar = {ADA.hash}
    bo = Identity("anonymous", "anonymous:v1:bo", "bo")
    shoppers.known |= {bo.hash}
    send(kafka, shoppers, event(ADA), event(bo))
    kafka.done[0](None)
    assert [one.identities for one in shoppers.noted] == [(bo,)]


async def test_what_kafka_does_not_have_is_told_so_and_not_learned_from(kafka: Kafka) -> None:
    shoppers, error = Shoppers(ADA.hash), KafkaUnavailable("no answer")
    told = send(kafka, shoppers, event(ADA))
    kafka.done[0](error)
    assert (told, shoppers.noted) == ([error], [])


async def test_what_names_a_shopper_who_must_be_asked_for_is_not_ready_at_once(kafka: Kafka) -> None:
    assert gateway(kafka, Shoppers()).ready_at_once("s", "native", [event(ADA)]) is None


async def test_while_kafka_is_behind_nothing_is_begun_or_told(kafka: Kafka) -> None:
    told: list[Any] = []
    kafka.fails = Overloaded("behind")
    one = gateway(kafka, Shoppers(ADA.hash))
    ready = one.ready_at_once("s", "native", [event(ADA)])
    assert ready is not None
    with pytest.raises(Overloaded):
        one.send(ready, told.append)
    assert told == []


async def test_results_are_awaited_after_who_must_be_asked_for_was_asked_for(kafka: Kafka) -> None:
    refused = Refused(Flaw("/cart_id", "is missing"))
    one = event(ADA)
    taking = asyncio.create_task(gateway(kafka, Shoppers()).take("s", "native", [refused, one]))
    await eventually(kafka.is_asked)
    assert not taking.done()
    kafka.done[0](None)
    assert await taking == [refused, one]


async def test_what_kafka_does_not_have_is_raised_to_who_awaits_it(kafka: Kafka) -> None:
    taking = asyncio.create_task(gateway(kafka, Shoppers(ADA.hash)).take("s", "native", [event(ADA)]))
    await eventually(kafka.is_asked)
    kafka.done[0](KafkaUnavailable("no answer"))
    with pytest.raises(KafkaUnavailable):
        await taking


async def test_who_awaits_no_longer_is_learned_from_all_the_same(kafka: Kafka) -> None:
    shoppers = Shoppers(ADA.hash)
    taking = asyncio.create_task(gateway(kafka, shoppers).take("s", "native", [event(ADA)]))
    await eventually(kafka.is_asked)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    kafka.done[0](None)
    assert len(shoppers.noted) == 1


async def test_where_all_are_refused_nothing_is_waited_for(kafka: Kafka) -> None:
    refused = Refused(Flaw("", "bad"))
    assert await gateway(kafka, Shoppers()).take("s", "native", [refused]) == [refused]
    assert kafka.sent == []

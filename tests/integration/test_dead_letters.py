"""`trolleybus dlt` on the real servers."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from typer.testing import CliRunner

from trolleybus.cli import CommandError
from trolleybus.commands.deadletter import app
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.products import Product
from trolleybus.contracts.records import Record
from trolleybus.deadletter import Parking, park
from trolleybus.envelope import Envelopes, Outgoing
from trolleybus.producer import RecordProducer
from trolleybus.topics import Topic, Topics

Call = Callable[..., Awaitable[str]]


@pytest.fixture
def dlt(env: dict[str, str], topics: Topics, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs the command; raises what it raises."""
    prefix = topics["orders"].full_name.removesuffix("orders.v1")
    for name, value in {**env, "TOPIC_PREFIX": prefix, "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, value)

    async def call(*arguments: str) -> str:
        result = await asyncio.to_thread(CliRunner().invoke, app, list(arguments))
        if result.exception is not None:
            raise result.exception
        return result.output

    return call


class Shelf:
    """Parks records as a consumer would."""

    def __init__(self, env: dict[str, str], topics: Topics, envelopes: Envelopes, producer: RecordProducer) -> None:
        self.bootstrap = env["KAFKA_BOOTSTRAP_SERVERS"]
        self.topics = topics
        self.envelopes = envelopes
        self.producer = producer

    async def park(self, service: str, record: Record, value: bytes | None = None) -> tuple[int, int]:
        """The record's place on its own topic, where it was sent first."""
        outgoing = self.envelopes.wrap(record)
        topic = self.topics.of(record)
        if value is not None:
            outgoing = replace(outgoing, value=value)
        await self.producer.send_outgoing([outgoing])
        place = (await self.find(topic, record.id))[-1]
        parking = Parking(
            reason="ValueError", detail="of shopper@example.com", topic=topic.full_name, partition=place[0],
            offset=place[1], parked_at=1_700_000_000_000,
        )  # fmt: skip
        letters = self.topics.dead_letter(service, topic.name).full_name
        await self.producer.send_outgoing([park(letters, outgoing.key, outgoing.value, outgoing.headers, parking)])
        return place

    async def told(self, record: Record) -> Outgoing:
        """A letter of a record that stands on its own topic, not parked yet."""
        outgoing = self.envelopes.wrap(record)
        await self.producer.send_outgoing([outgoing])
        topic = self.topics.of(record)
        ((partition, offset),) = await self.find(topic, record.id)
        parking = Parking(reason="unreadable", topic=topic.full_name, partition=partition, offset=offset, parked_at=1)
        letters = self.topics.dead_letter("abandonment", topic.name).full_name
        return park(letters, outgoing.key, outgoing.value, outgoing.headers, parking)

    async def find(self, topic: Topic, id_: str) -> list[tuple[int, int]]:
        kafka = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, auto_offset_reset="earliest")
        await kafka.start()
        places = [TopicPartition(topic.full_name, number) for number in range(topic.partitions)]
        kafka.assign(places)
        ends = await kafka.end_offsets(places)
        await kafka.seek_to_beginning(*places)
        found: list[tuple[int, int]] = []
        async with asyncio.timeout(20):
            while any([await kafka.position(place) < end for place, end in ends.items()]):
                for place, records in (await kafka.getmany(timeout_ms=100)).items():
                    found += [
                        (place.partition, one.offset) for one in records if dict(one.headers)["ce_id"] == id_.encode()
                    ]
        await kafka.stop()
        return sorted(found)


@pytest.fixture
def shelf(env: dict[str, str], topics: Topics, envelopes: Envelopes, producer: RecordProducer) -> Shelf:
    return Shelf(env, topics, envelopes, producer)


def activity() -> CartActivity:
    return CartActivity(id=uuid.uuid4().hex, store_id="s", cart_id=uuid.uuid4().hex, email="shopper@example.com")


async def test_what_is_parked_is_listed_by_topic_with_its_reasons(dlt: Call, shelf: Shelf) -> None:
    await shelf.park("analytics", activity())
    listed = await dlt("list", "--service", "analytics", "--topic", "cart.activity")
    assert "analytics.cart.activity.dlt" in listed
    assert "ValueError" in listed
    assert "2023-11-14 22:13:20Z" in listed
    assert "Nothing is parked" in await dlt("list", "--service", "messaging")


async def test_a_parked_record_is_shown_with_its_reason_and_without_personal_data(dlt: Call, shelf: Shelf) -> None:
    record = activity()
    partition, offset = await shelf.park("abandonment", record)
    (shown,) = [one for one in json.loads(await dlt("show", "abandonment.cart.activity.dlt")) if one["id"] == record.id]
    assert shown["from"] == f"{shelf.topics['cart.activity'].full_name}:{partition}:{offset}"
    assert shown["reason"] == "ValueError"
    assert shown["record"]["cart_id"] == record.cart_id
    assert "shopper@example.com" not in json.dumps(shown)
    at = f"abandonment.cart.activity.dlt:{shown['partition']}:{shown['offset']}"
    assert json.loads(await dlt("show", at, "--clear"))[0]["record"]["email"] == "shopper@example.com"


async def test_a_replayed_record_stands_on_its_topic_again_under_the_same_id_and_is_not_replayed_twice(
    dlt: Call, shelf: Shelf
) -> None:
    record, other = activity(), activity()
    topic = shelf.topics.of(record)
    first = await shelf.park("analytics", record)
    await shelf.park("analytics", other)
    assert "Replayed 1." in await dlt("replay", "analytics.cart.activity.dlt", "--id", record.id)
    places = await shelf.find(topic, record.id)
    assert len(places) == 2
    assert {partition for partition, _ in places} == {first[0]}
    again = await dlt("replay", "analytics.cart.activity.dlt", "--id", record.id)
    assert "Replayed 0." in again
    assert "--again" in again
    assert len(await shelf.find(topic, record.id)) == 2
    await dlt("replay", "analytics.cart.activity.dlt", "--id", record.id, "--again")
    assert len(await shelf.find(topic, record.id)) == 3
    assert len(await shelf.find(topic, other.id)) == 1


async def test_what_still_cannot_be_read_and_what_is_superseded_is_skipped_with_the_reason(
    dlt: Call, shelf: Shelf, producer: RecordProducer
) -> None:
    store = uuid.uuid4().hex
    old = Product(id=f"{store}-1", store_id=store, product_id="1")
    other = Product(id=f"{store}-2", store_id=store, product_id="2")
    broken = Product(id=f"{store}-3", store_id=store, product_id="3")
    for record in (old, other):
        await shelf.park("campaigns", record)
    await shelf.park("campaigns", broken, value=b"no avro")
    await producer.send(replace(old, id=f"{store}-newer"))
    output = await dlt("replay", "campaigns.products.dlt", "--all")
    assert "Replayed 1." in output
    assert "still cannot be read" in output
    assert "superseded" in output or "a newer record of its key" in output
    topic = shelf.topics["products"]
    assert [len(await shelf.find(topic, record.id)) for record in (old, other, broken)] == [1, 2, 1]


async def test_an_unknown_record_or_topic_is_refused_and_nothing_is_replayed(dlt: Call) -> None:
    with pytest.raises(CommandError, match="Not parked here: nobody"):
        await dlt("replay", "analytics.orders.dlt", "--id", "nobody")
    with pytest.raises(CommandError, match="no dead letter topic"):
        await dlt("show", "nonsense.dlt")
    with pytest.raises(CommandError, match="Say what to replay"):
        await dlt("replay", "analytics.orders.dlt")


async def test_what_a_broken_transaction_parked_counts_once_and_what_an_open_one_parks_not_yet(
    dlt: Call, shelf: Shelf
) -> None:
    record, other = activity(), activity()
    letter, unfinished = await shelf.told(record), await shelf.told(other)
    name = "abandonment.cart.activity.dlt"
    kafka = AIOKafkaProducer(bootstrap_servers=shelf.bootstrap, transactional_id=f"test-{uuid.uuid4().hex[:8]}")
    await kafka.start()

    async def write(one: Outgoing) -> None:
        await kafka.begin_transaction()
        await kafka.send_and_wait(one.topic, key=one.key, value=one.value, headers=list(one.headers), partition=0)

    async def shown() -> list[str]:
        ids = [one["id"] for one in json.loads(await dlt("show", name))]
        return [id_ for id_ in ids if id_ in {record.id, other.id}]

    try:
        await write(letter)
        await kafka.abort_transaction()
        assert await shown() == []
        await write(letter)
        await kafka.commit_transaction()
        assert await shown() == [record.id]
        assert "Replayed 1." in await dlt("replay", name, "--id", record.id)
        assert len(await shelf.find(shelf.topics.of(record), record.id)) == 2
        await write(unfinished)
        assert await shown() == [record.id]
        await kafka.commit_transaction()
        assert await shown() == [record.id, other.id]
    finally:
        await kafka.stop()

"""The outbox on real Kafka and PostgreSQL: order within a key, at least once, under the same ids."""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import CollectorRegistry, generate_latest

from trolleybus import outbox
from trolleybus.contracts.products import Product
from trolleybus.db import Pool, fetch_one
from trolleybus.envelope import Envelopes, Outgoing
from trolleybus.outbox import OutboxMetrics, OutboxRelay
from trolleybus.producer import RecordProducer
from trolleybus.topics import Topic, Topics


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.02)


@asynccontextmanager
async def running(*relays: OutboxRelay) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def rows(pool: Pool) -> int:
    async with pool.connection() as conn:
        return int((await fetch_one(conn, "SELECT count(*) AS n FROM outbox WHERE refused IS NULL"))["n"])


@pytest.fixture
def empty(pool: Pool) -> Callable[[], Awaitable[bool]]:
    async def is_empty() -> bool:
        return await rows(pool) == 0

    return is_empty


async def on_topic(bootstrap: str, topic: Topic, store: str) -> list[tuple[bytes, str]]:
    """(key, ce_id) of all the store's records, in order within each partition."""
    kafka = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await kafka.start()
    found: list[tuple[bytes, str]] = []
    try:
        places = [TopicPartition(topic.full_name, number) for number in range(topic.partitions)]
        ends = await kafka.end_offsets(places)
        kafka.assign(places)
        await kafka.seek_to_beginning(*places)
        async with asyncio.timeout(20):
            while any([await kafka.position(place) < end for place, end in ends.items()]):
                for records in (await kafka.getmany(timeout_ms=200)).values():
                    found += [(record.key, dict(record.headers)["ce_id"].decode()) for record in records]
    finally:
        await kafka.stop()
    return [(key, id_) for key, id_ in found if key.startswith(store.encode())]


def product(store: str, key: int, n: int) -> Product:
    return Product(id=f"{key}/{n}", store_id=store, product_id=str(key))


async def test_only_what_was_committed_is_sent(
    pool: Pool,
    database_url: str,
    producer: RecordProducer,
    envelopes: Envelopes,
    env: dict[str, str],
    topics: Topics,
    empty: Any,
) -> None:
    store = uuid.uuid4().hex
    async with pool.connection() as conn:
        await outbox.put(conn, envelopes, product(store, 1, 1))
        await conn.rollback()
    async with pool.connection() as conn:
        await outbox.put(conn, envelopes, product(store, 1, 2), product(store, 2, 1))
    async with running(OutboxRelay(database_url, producer)):
        await until(empty)
    sent = await on_topic(env["KAFKA_BOOTSTRAP_SERVERS"], topics["products"], store)
    assert sorted(id_ for _, id_ in sent) == ["1/2", "2/1"]


async def test_the_order_of_a_key_is_the_order_of_the_commits_whoever_writes(
    pool: Pool,
    database_url: str,
    producer: RecordProducer,
    envelopes: Envelopes,
    env: dict[str, str],
    topics: Topics,
    empty: Any,
) -> None:
    """Writers of the same keys at the same time, in transactions that linger; a counter in the database numbers them."""
    store = uuid.uuid4().hex
    chance = random.Random(1)
    async with pool.connection() as conn:
        await conn.execute("CREATE TABLE counters (key int PRIMARY KEY, n int NOT NULL)")
        await conn.execute("INSERT INTO counters SELECT key, 0 FROM generate_series(0, 2) AS key")
        await conn.execute("CREATE TABLE committed (key int, id text, seq bigint GENERATED ALWAYS AS IDENTITY)")

    async def write(writer: int) -> None:
        for turn in range(15):
            keys = chance.sample(range(3), 2)
            async with pool.connection() as conn:
                records = [product(store, key, writer * 100 + turn) for key in keys]
                await outbox.put(conn, envelopes, *records)
                # From here on the locks of the keys are held: no other writer of a key can be in between.
                await asyncio.sleep(chance.random() * 0.005)
                for record in records:
                    await conn.execute(
                        "INSERT INTO committed (key, id) VALUES (%s, %s)", [int(record.product_id), record.id]
                    )

    async with running(OutboxRelay(database_url, producer, batch=7), OutboxRelay(database_url, producer, batch=7)):
        await asyncio.gather(*(write(writer) for writer in range(6)))
        await until(empty)
    sent = await on_topic(env["KAFKA_BOOTSTRAP_SERVERS"], topics["products"], store)
    async with pool.connection() as conn:
        for key in range(3):
            cursor = await conn.execute("SELECT id FROM committed WHERE key = %s ORDER BY seq", [key])
            expected = [row["id"] for row in await cursor.fetchall()]
            assert [id_ for at, id_ in sent if at == f"{store}:{key}".encode()] == expected


async def test_a_relay_that_dies_between_ack_and_delete_repeats_the_same_ids_only(
    pool: Pool,
    database_url: str,
    producer: RecordProducer,
    envelopes: Envelopes,
    env: dict[str, str],
    topics: Topics,
    empty: Any,
) -> None:
    store = uuid.uuid4().hex
    async with pool.connection() as conn:
        await outbox.put(conn, envelopes, *(product(store, n % 4, n) for n in range(40)))
    acknowledged = asyncio.Event()

    class Dying:
        """The real producer, whose caller dies at the moment of the first ack."""

        async def send_outgoing(self, outgoing: Sequence[Outgoing]) -> None:
            await producer.send_outgoing(outgoing)
            acknowledged.set()
            await asyncio.Event().wait()

    async with running(OutboxRelay(database_url, Dying())):  # type: ignore[arg-type]
        await acknowledged.wait()
    assert await rows(pool) == 40
    async with running(OutboxRelay(database_url, producer)):
        await until(empty)
    sent = await on_topic(env["KAFKA_BOOTSTRAP_SERVERS"], topics["products"], store)
    assert len(sent) > 40
    for key in range(4):
        mine = [id_ for at, id_ in sent if at == f"{store}:{key}".encode()]
        assert list(dict.fromkeys(mine)) == [f"{key}/{n}" for n in range(key, 40, 4)]


async def test_another_process_takes_over_when_the_relays_session_is_killed(
    pool: Pool, database_url: str, producer: RecordProducer, envelopes: Envelopes, empty: Any
) -> None:
    first, second = OutboxRelay(database_url, producer), OutboxRelay(database_url, producer)

    async def holds_all() -> bool:
        return first.status().detail == "slots [0, 1, 2, 3]"

    async def taken() -> bool:
        return second.status().detail == "slots [0, 1, 2, 3]"

    async with running(first) as (task,):
        await until(holds_all)
        async with running(second):
            task.cancel()
            await until(taken)
            async with pool.connection() as conn:
                await conn.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND application_name LIKE '%outbox relay'"
                )
                await outbox.put(conn, envelopes, product(uuid.uuid4().hex, 1, 1))
            await until(empty)
            await until(taken)


async def test_a_record_that_kafka_will_never_take_is_kept_aside_and_the_others_go(
    pool: Pool, database_url: str, producer: RecordProducer, envelopes: Envelopes, empty: Any
) -> None:
    store = uuid.uuid4().hex
    good = [envelopes.wrap(product(store, n, 1)) for n in range(5)]
    large = Outgoing(good[0].topic, b"large", bytes(5 * 1024 * 1024), [("ce_id", b"large")])
    async with pool.connection() as conn:
        await outbox.put_outgoing(conn, [*good[:2], large, *good[2:]])
    registry = CollectorRegistry()
    relay = OutboxRelay(database_url, producer, metrics=OutboxMetrics(registry), poll_seconds=0.2)
    async with running(relay):
        await until(empty)

        async def told() -> bool:
            return b"trolleybus_outbox_refused_rows 1.0" in generate_latest(registry)

        await until(told)
    assert b"trolleybus_outbox_sent_total 5.0" in generate_latest(registry)


async def test_a_topic_that_takes_nothing_does_not_hold_up_the_others(
    pool: Pool, database_url: str, env: dict[str, str], envelopes: Envelopes
) -> None:
    good = envelopes.wrap(product(uuid.uuid4().hex, 1, 1))
    stuck = [Outgoing("no.such.topic", str(n).encode(), b"x", []) for n in range(8)]
    async with RecordProducer(env["KAFKA_BOOTSTRAP_SERVERS"], envelopes, timeout_ms=500) as producer:
        relay = OutboxRelay(database_url, producer)
        async with running(relay):
            async with pool.connection() as conn:
                await outbox.put_outgoing(conn, stuck)
            await until(lambda: unwell(relay))
            async with pool.connection() as conn:
                await outbox.put_outgoing(conn, [good])
            await until(lambda: waiting(pool, 8))


async def unwell(relay: OutboxRelay) -> bool:
    return not relay.status().ok and "no.such.topic" in relay.status().detail


async def waiting(pool: Pool, number: int) -> bool:
    return await rows(pool) == number


async def test_a_committed_record_is_on_its_way_at_once(
    pool: Pool, database_url: str, producer: RecordProducer, envelopes: Envelopes, empty: Any
) -> None:
    """NOTIFY wakes the relay: with a poll of a minute the record would otherwise stay."""
    relay = OutboxRelay(database_url, producer, poll_seconds=60.0)

    async def ready() -> bool:
        return relay.status().detail == "slots [0, 1, 2, 3]"

    async with running(relay):
        await until(ready)
        async with pool.connection() as conn:
            await outbox.put(conn, envelopes, product(uuid.uuid4().hex, 1, 1))
        await until(empty, 10.0)

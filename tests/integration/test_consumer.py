"""The consumer on real Kafka and PostgreSQL: exactly once into the database, whatever goes wrong."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from prometheus_client import CollectorRegistry
from psycopg import OperationalError

from tests.stack_fixtures import own_env as env  # noqa: F401 - a fixture: this module takes servers away
from tests.stack_fixtures import own_stack as stack  # noqa: F401
from tools.stack.stack import Stack
from trolleybus.codec import Codec
from trolleybus.consumer import Consumer, ConsumerMetrics, positions, traced
from trolleybus.contracts.customers import CustomerUpdated
from trolleybus.contracts.journeys import JourneyEntered
from trolleybus.contracts.messages import MessageBounced
from trolleybus.contracts.orders import OrderPlaced
from trolleybus.contracts.partition import partition_of
from trolleybus.contracts.products import Product
from trolleybus.contracts.records import Record
from trolleybus.contracts.recovery import CartAbandoned
from trolleybus.db import Connection, Pool, fetch_one
from trolleybus.envelope import Envelopes, Raw, Received
from trolleybus.outbox import OutboxRelay
from trolleybus.producer import KafkaUnavailable, RecordProducer
from trolleybus.telemetry import continue_trace, current_traceparent
from trolleybus.topics import Topic, Topics

Condition = Callable[[], Awaitable[Any]]


async def until(condition: Condition, seconds: float = 20.0) -> Any:
    """The condition's first true value."""
    deadline = time.monotonic() + seconds
    while True:
        value = await condition()
        if value:
            return value
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.02)


@asynccontextmanager
async def running(*loops: Any) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(loop.run()) for loop in loops]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


class House:
    """A service in small: writes down each record that it handled, and fails where it is told to."""

    def __init__(self, pool: Pool, database_url: str, bootstrap: str, codec: Codec, topics: Topics) -> None:
        self.pool = pool
        self.database_url = database_url
        self.bootstrap = bootstrap
        self.codec = codec
        self.topics = topics
        self.group = f"test-{uuid.uuid4().hex[:8]}"
        self.metrics = ConsumerMetrics(CollectorRegistry())
        self.held: list[tuple[str, str]] = []
        self.before: Callable[[Connection, Sequence[Received[Record]]], Awaitable[None]] | None = None

    async def handle(self, conn: Connection, batch: Sequence[Received[Record]]) -> None:
        if self.before is not None:
            await self.before(conn, batch)
        for one in traced(batch):
            await conn.execute(
                "INSERT INTO handled (topic, partition, place, id, trace) VALUES (%s, %s, %s, %s, %s)",
                [one.topic, one.partition, one.offset, one.record.id, current_traceparent()],
            )

    async def hold(self, conn: Connection, raw: Raw, why: str) -> None:
        self.held.append((raw.store_id(), why))

    def consumer(self, *names: str, **options: Any) -> Consumer:
        return Consumer(
            service=options.pop("service", "campaigns"),
            group=self.group,
            topics=[self.topics[name] for name in names],
            bootstrap=self.bootstrap,
            codec=self.codec,
            pool=options.pop("pool", self.pool),
            handler=self.handle,
            dead_letters=self.topics,
            metrics=self.metrics,
            on_unreadable=self.hold,
            **options,
        )

    async def handled(self) -> list[str]:
        """Ids in the order in which they were handled."""
        async with self.pool.connection() as conn:
            cursor = await conn.execute("SELECT id FROM handled ORDER BY seq")
            return [row["id"] for row in await cursor.fetchall()]

    async def positions(self, *names: str) -> dict[tuple[str, int], int]:
        async with self.pool.connection() as conn:
            return await positions(conn, self.group, [self.topics[name] for name in names])

    async def waiting(self) -> list[bytes]:
        """Keys of the records that wait in the outbox."""
        async with self.pool.connection() as conn:
            cursor = await conn.execute("SELECT key FROM outbox")
            return [row["key"] for row in await cursor.fetchall()]

    async def has(self, ids: Sequence[str]) -> bool:
        return set(ids) <= set(await self.handled())


@pytest.fixture
async def house(pool: Pool, database_url: str, env: dict[str, str], codec: Codec, topics: Topics) -> House:
    async with pool.connection() as conn:
        await conn.execute(
            "CREATE TABLE handled (seq bigint GENERATED ALWAYS AS IDENTITY, topic text, partition int, place bigint,"
            " id text, trace text)"
        )
    return House(pool, database_url, env["KAFKA_BOOTSTRAP_SERVERS"], codec, topics)


def products(number: int) -> list[Product]:
    store = uuid.uuid4().hex
    return [Product(id=f"{store}-{n}", store_id=store, product_id=str(n)) for n in range(number)]


def orders(number: int) -> list[OrderPlaced]:
    store = uuid.uuid4().hex
    return [OrderPlaced(id=f"{store}-{n}", store_id=store, order_id=str(n)) for n in range(number)]


def ids(records: Sequence[Record]) -> list[str]:
    return [record.id for record in records]


def keys(records: Sequence[Product]) -> list[bytes]:
    return [f"{record.store_id}:{record.product_id}".encode() for record in records]


@asynccontextmanager
async def raw_producer(bootstrap: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def parked(house: House, topic: Topic, value: bytes | None) -> list[Any]:
    """What stands on a dead letter topic, once a record with that value does."""
    kafka = AIOKafkaConsumer(topic.full_name, bootstrap_servers=house.bootstrap, auto_offset_reset="earliest")
    await kafka.start()
    found: list[Any] = []
    try:
        async with asyncio.timeout(20):
            while all(letter.value != value for letter in found):
                for records in (await kafka.getmany(timeout_ms=200)).values():
                    found += records
    finally:
        await kafka.stop()
    return found


async def test_every_record_is_handled_once_and_in_order_of_its_partition(
    house: House, producer: RecordProducer
) -> None:
    records = products(200)
    await producer.send(*records)
    consumer = house.consumer("products", max_batch=7)
    async with running(consumer):
        assert await consumer.caught_up()
        assert consumer.status().ok
    async with house.pool.connection() as conn:
        cursor = await conn.execute("SELECT partition, place, id FROM handled ORDER BY seq")
        rows = await cursor.fetchall()
    mine = [row["id"] for row in rows if row["id"] in set(ids(records))]
    assert sorted(mine) == sorted(ids(records))
    for partition in range(3):
        places = [row["place"] for row in rows if row["partition"] == partition]
        assert places == sorted(set(places))


async def test_a_new_member_goes_on_at_the_database_position_not_at_kafkas(
    house: House, producer: RecordProducer
) -> None:
    first, second = products(5), products(5)
    await producer.send(*first)
    async with running(consumer := house.consumer("products")):
        assert await consumer.caught_up()
    # The effects are lost with the positions, as when a backup is restored: Kafka's offsets must not hide the records.
    async with house.pool.connection() as conn:
        await conn.execute("TRUNCATE handled, kafka_positions")
    await producer.send(*second)
    async with running(consumer := house.consumer("products")):
        assert await consumer.caught_up()
    assert await house.has(ids(first + second))


async def test_effects_of_a_failed_batch_are_rolled_back_and_the_bad_record_alone_is_parked(
    house: House, producer: RecordProducer, envelopes: Envelopes
) -> None:
    records = products(20)
    bad = records[7].id

    async def fail(conn: Connection, batch: Sequence[Received[Record]]) -> None:
        await conn.execute("INSERT INTO handled (id) VALUES ('before the failure')")
        if any(one.record.id == bad for one in batch):
            raise ValueError("cannot take this one")

    house.before = fail
    await producer.send(*records)
    consumer = house.consumer("products", retries=2)
    async with running(consumer, OutboxRelay(house.database_url, producer)):
        assert await consumer.caught_up()
        letters = await parked(
            house, house.topics.dead_letter("campaigns", "products"), envelopes.wrap(records[7]).value
        )
    mine = [id_ for id_ in await house.handled() if id_ in set(ids(records))]
    assert sorted(mine) == sorted(set(ids(records)) - {bad})
    (letter,) = [one for one in letters if dict(one.headers)["ce_id"] == bad.encode()]
    headers = dict(letter.headers)
    assert headers["dlt_reason"] == b"ValueError"
    assert headers["dlt_detail"] == b"cannot take this one"
    assert headers["dlt_topic"].decode() == house.topics["products"].full_name
    outgoing = envelopes.wrap(records[7])
    assert (letter.key, letter.value) == (outgoing.key, outgoing.value)


async def test_P8_a_record_that_cannot_be_read_is_parked_and_the_flow_goes_on(
    house: House, producer: RecordProducer
) -> None:
    topic = house.topics["products"]
    async with raw_producer(house.bootstrap) as raw:
        await raw.send_and_wait(
            topic.full_name, key=b"bad", value=b"no avro", headers=[("ce_id", b"x"), ("empty", None), ("nul\0", b"")]
        )
    records = products(20)
    await producer.send(*records)
    consumer = house.consumer("products")
    async with running(consumer, OutboxRelay(house.database_url, producer)):
        assert await consumer.caught_up()
        letters = await parked(house, house.topics.dead_letter("campaigns", "products"), b"no avro")
    assert await house.has(ids(records))
    assert any(letter.value == b"no avro" and dict(letter.headers)["dlt_reason"] == b"unreadable" for letter in letters)


async def test_P8_an_unreadable_order_is_held_not_parked(house: House, producer: RecordProducer) -> None:
    async with raw_producer(house.bootstrap) as raw:
        await raw.send_and_wait(
            house.topics["orders"].full_name, key=b"k", value=b"\x00half", headers=[("ce_storeid", b"store-1")]
        )
    consumer = house.consumer("orders")
    async with running(consumer):
        assert await consumer.caught_up()
    assert [store for store, _ in house.held] == ["store-1"]
    assert await house.waiting() == []


async def test_P8_an_order_whose_handling_fails_is_never_skipped_while_other_partitions_go_on(
    house: House, producer: RecordProducer
) -> None:
    records = orders(12)
    bad = records[0].id
    failing = True

    async def fail(conn: Connection, batch: Sequence[Received[Record]]) -> None:
        if failing and any(one.record.id == bad for one in batch):
            raise ValueError("a bug")

    house.before = fail
    await producer.send(*records)
    topic = house.topics["orders"]
    consumer = house.consumer("orders", retries=2)
    async with running(consumer):
        stuck = await until(lambda: metric(house, "retries_total", "ValueError", 5))
        elsewhere = [id_ for id_ in await house.handled() if id_ != bad]
        assert elsewhere
        assert not consumer.status().ok
        assert bad not in await house.handled()
        failing = False
        assert await consumer.caught_up()
        assert stuck
        await until(lambda: ready(consumer))
    assert await house.has(ids(records))
    assert topic.barrier


async def metric(house: House, name: str, reason: str, at_least: float) -> bool:
    return any(
        sample.name.endswith(name) and sample.labels["reason"] == reason and sample.value >= at_least
        for family in house.metrics.retries.collect()
        for sample in family.samples
    )


async def ready(consumer: Consumer) -> bool:
    return consumer.status().ok


async def test_a_database_outage_is_waited_for_and_counts_as_no_failure(house: House, producer: RecordProducer) -> None:
    outages = 0

    async def fail(conn: Connection, batch: Sequence[Received[Record]]) -> None:
        nonlocal outages
        outages += 1
        if outages <= 4:
            raise OperationalError("the connection was lost")

    house.before = fail
    records = products(3)
    await producer.send(*records)
    consumer = house.consumer("products", retries=1, concurrency=1)
    async with running(consumer):
        await until(lambda: metric(house, "retries_total", "outage", 1))
        assert await consumer.caught_up()
    assert await house.has(ids(records))
    assert not set(keys(records)) & set(await house.waiting())


async def test_a_killed_database_session_loses_and_doubles_nothing(house: House, producer: RecordProducer) -> None:
    records = products(60)
    killed = 0

    async def die(conn: Connection, batch: Sequence[Received[Record]]) -> None:
        nonlocal killed
        if killed < 5:
            killed += 1
            async with house.pool.connection() as other:
                await other.execute("SELECT pg_terminate_backend(%s)", [conn.info.backend_pid])

    house.before = die
    await producer.send(*records)
    consumer = house.consumer("products", max_batch=5)
    async with running(consumer):
        assert await consumer.caught_up()
    mine = [id_ for id_ in await house.handled() if id_ in set(ids(records))]
    assert sorted(mine) == sorted(ids(records))


async def test_a_handler_that_hides_a_database_error_is_found_out(house: House, producer: RecordProducer) -> None:
    records = products(1)

    async def hide(conn: Connection, batch: Sequence[Received[Record]]) -> None:
        with suppress(Exception):
            await conn.execute("SELECT nonsense")

    async def nothing(conn: Connection, batch: Sequence[Received[Record]]) -> None:
        await hide(conn, batch)

    house.handle = nothing  # type: ignore[method-assign]
    await producer.send(*records)
    consumer = house.consumer("products", retries=1)
    async with running(consumer):
        assert await consumer.caught_up()
    assert keys(records)[0] in await house.waiting()


async def test_two_members_share_the_work_and_each_record_is_handled_once_while_they_come_and_go(
    house: House, producer: RecordProducer
) -> None:
    sent: list[str] = []

    async def write() -> None:
        for _ in range(30):
            records = products(10)
            await producer.send(*records)
            sent.extend(ids(records))
            await asyncio.sleep(0.05)

    one, two = house.consumer("products", max_batch=5), house.consumer("products", max_batch=5)
    writer = asyncio.create_task(write())
    async with running(one):
        await until(lambda: ready(one))
        async with running(two):
            await until(lambda: ready(two))
            await until(lambda: share(one, two))
        await writer
        assert await one.caught_up()
    mine = [id_ for id_ in await house.handled() if id_ in set(sent)]
    assert sorted(mine) == sorted(sent)


async def share(*consumers: Consumer) -> bool:
    return all(consumer.status().ok and not consumer.status().detail.startswith("0 ") for consumer in consumers)


async def test_a_stale_owner_is_fenced_before_it_has_an_effect(house: House, producer: RecordProducer) -> None:
    """Another owner has moved the position while a batch of this one was in flight."""
    records = products(1)
    calls = 0
    taken_over = asyncio.Event()

    async def overtaken(conn: Connection, batch: Sequence[Received[Record]]) -> None:
        nonlocal calls
        calls += 1

    house.before = overtaken
    consumer = house.consumer("products")
    async with running(consumer):
        assert await consumer.caught_up()
        calls = 0
        before = await house.positions("products")
        async with house.pool.connection() as conn:
            # The other owner's transaction: holds the rows, moves them past the record that is now sent.
            await conn.execute("UPDATE kafka_positions SET next_offset = next_offset + 1")
            await producer.send(*records)
            await until(lambda: waits_for_a_lock(house))
            taken_over.set()
        await until(lambda: fenced(house))
        partition = [place for place, offset in (await house.positions("products")).items() if offset > before[place]]
        assert partition
    assert calls == 0
    assert records[0].id not in await house.handled()


async def waits_for_a_lock(house: House) -> bool:
    async with house.pool.connection() as conn:
        row = await fetch_one(
            conn,
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        return bool(row["n"])


async def fenced(house: House) -> bool:
    return any(sample.value for family in house.metrics.fenced.collect() for sample in family.samples)


async def test_a_position_above_the_end_of_the_log_fails_closed(house: House, producer: RecordProducer) -> None:
    records = products(30)
    await producer.send(*records)
    topic = house.topics["products"]
    async with house.pool.connection() as conn:
        await conn.execute(
            "INSERT INTO kafka_positions (consumer, topic, partition, next_offset) VALUES (%s, %s, 0, 1000000)",
            [house.group, topic.full_name],
        )
    consumer = house.consumer("products")
    async with running(consumer):
        await until(lambda: above_the_end(consumer))
        async with house.pool.connection() as conn:
            row = await fetch_one(conn, "SELECT count(*) AS n FROM handled WHERE partition = 0")
            assert row["n"] == 0
            await conn.execute("DELETE FROM kafka_positions WHERE partition = 0")
        assert await consumer.caught_up()
    assert await house.has(ids(records))


async def above_the_end(consumer: Consumer) -> bool:
    return not consumer.status().ok and "above the log's end" in consumer.status().detail


async def test_a_position_below_the_start_of_the_log_goes_on_at_the_start_and_says_so(
    house: House, producer: RecordProducer
) -> None:
    topic = house.topics["recovery.carts"]
    gone = [CartAbandoned(id=f"gone-{n}", store_id="s", cart_id="c") for n in range(10)]
    await producer.send(*gone)
    consumer = house.consumer("recovery.carts")
    async with running(consumer):
        assert await consumer.caught_up()
    place = next(place for place, offset in (await house.positions("recovery.carts")).items() if offset)
    async with house.pool.connection() as conn:
        await conn.execute("UPDATE kafka_positions SET next_offset = 0 WHERE partition = %s", [place[1]])
        await conn.execute("TRUNCATE handled")
    admin = AIOKafkaAdminClient(bootstrap_servers=house.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(topic.full_name, place[1]): RecordsToDelete(before_offset=6)})
    await admin.close()
    async with running(consumer := house.consumer("recovery.carts")):
        assert await consumer.caught_up()
    assert await house.handled() == ["gone-6", "gone-7", "gone-8", "gone-9"]
    lost = [sample.value for family in house.metrics.lost.collect() for sample in family.samples if sample.value == 6]
    assert lost


async def test_the_trace_of_each_record_is_continued_while_it_is_handled(
    house: House, producer: RecordProducer
) -> None:
    records = products(6)
    traces: dict[str, str] = {}
    for record in records:
        with continue_trace(None) as trace:
            traces[record.id] = trace.trace_id
            await producer.send(record)
    consumer = house.consumer("products")
    async with running(consumer):
        assert await consumer.caught_up()
    async with house.pool.connection() as conn:
        cursor = await conn.execute("SELECT id, trace FROM handled")
        seen = {row["id"]: row["trace"].split("-")[1] for row in await cursor.fetchall() if row["id"] in traces}
    assert seen == traces


async def test_it_stops_within_two_seconds_and_rolls_back_what_hangs(house: House, producer: RecordProducer) -> None:
    records = products(1)
    hanging = asyncio.Event()

    async def hang(conn: Connection, batch: Sequence[Received[Record]]) -> None:
        if any(one.record.id == records[0].id for one in batch):
            hanging.set()
            await asyncio.Event().wait()

    house.before = hang
    await producer.send(*records)
    async with running(house.consumer("products")):
        await asyncio.wait_for(hanging.wait(), 20)
        started = time.monotonic()
    assert time.monotonic() - started < 3.0
    assert records[0].id not in await house.handled()


async def test_it_waits_for_kafka_at_the_start_and_says_that_it_is_not_ready(house: House) -> None:
    house.bootstrap = "127.0.0.1:1"
    consumer = house.consumer("products")
    assert not consumer.status().ok
    async with running(consumer) as (task,):
        await until(lambda: says(consumer, "Kafka"))
        assert not task.done()


async def test_it_says_which_topics_are_missing(house: House) -> None:
    house.topics = Topics.load(prefix="nowhere.", partitions=1)
    consumer = house.consumer("products", "orders")
    async with running(consumer):
        await until(lambda: says(consumer, "nowhere.orders.v1, nowhere.products.v1"))


async def says(consumer: Consumer, text: str) -> bool:
    return not consumer.status().ok and text in consumer.status().detail


async def test_progress_is_seen_by_another_process_too(house: House, producer: RecordProducer) -> None:
    records = products(3)
    await producer.send(*records)
    consumer, elsewhere = house.consumer("products"), house.consumer("products")
    async with running(consumer):
        assert await consumer.caught_up()
        targets = await house.positions("products")
        assert await elsewhere.progress.wait_for(house.pool, targets, 1.0) == targets
        beyond = {place: offset + 1 for place, offset in targets.items()}
        assert await elsewhere.progress.wait_for(house.pool, beyond, 0.1) is None


async def test_a_broker_that_falls_silent_is_noticed_and_the_reading_goes_on_after_it(
    house: House, producer: RecordProducer, stack: Stack
) -> None:
    consumer = house.consumer("products")
    async with running(consumer) as (task,):
        assert await consumer.caught_up()
        await stack.kill("kafka-1")
        try:
            await until(lambda: says(consumer, "Kafka"), 40)
        finally:
            await stack.start("kafka-1")
        assert not task.done()
        records = products(5)
        await until(lambda: sent(producer, records), 40)
        await until(lambda: house.has(ids(records)), 40)
        await until(lambda: ready(consumer), 40)


async def sent(producer: RecordProducer, records: Sequence[Record]) -> bool:
    try:
        await producer.send(*records)
    except KafkaUnavailable:
        return False
    return True


class Transactions:
    """Writes records of one key in transactions."""

    def __init__(self, kafka: AIOKafkaProducer, envelopes: Envelopes, topics: Topics) -> None:
        self._kafka = kafka
        self._envelopes = envelopes
        self._topics = topics

    async def begin(self, *records: Record) -> None:
        await self._kafka.begin_transaction()
        for record in records:
            outgoing = self._envelopes.wrap(record)
            await self._kafka.send_and_wait(
                outgoing.topic,
                key=outgoing.key,
                value=outgoing.value,
                headers=list(outgoing.headers),
                partition=partition_of(outgoing.key, self._topics.of(record).partitions),
            )

    async def abort(self, *records: Record) -> None:
        await self.begin(*records)
        await self._kafka.abort_transaction()

    async def commit(self, *records: Record) -> None:
        await self.begin(*records)
        await self._kafka.commit_transaction()

    async def finish(self) -> None:
        await self._kafka.commit_transaction()


@pytest.fixture
async def transactions(env: dict[str, str], envelopes: Envelopes, topics: Topics) -> AsyncIterator[Transactions]:
    kafka = AIOKafkaProducer(
        bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"], transactional_id=f"test-{uuid.uuid4().hex[:8]}"
    )
    await kafka.start()
    try:
        yield Transactions(kafka, envelopes, topics)
    finally:
        await kafka.stop()


def journeys(number: int, store: str) -> list[JourneyEntered]:
    return [
        JourneyEntered(id=uuid.uuid4().hex, store_id=store, customer_id="c", journey_id=str(n)) for n in range(number)
    ]


async def lags(house: House, topic: str) -> list[float]:
    return [
        sample.value
        for family in house.metrics.lag.collect()
        for sample in family.samples
        if sample.labels["topic"] == topic
    ]


async def test_the_marks_of_transactions_are_passed_and_what_they_told_is_handled_before_they_end(
    house: House, transactions: Transactions
) -> None:
    store = uuid.uuid4().hex
    told, later, open_still = journeys(3, store), journeys(2, store), journeys(1, store)
    await transactions.abort(*told)
    await transactions.commit(*told)
    topic = house.topics["recovery.journeys"]
    twice = [*ids(told), *ids(told)]  # What the broken transaction told, and its retelling.

    async def no_lag() -> bool:
        return consumer.status().detail.endswith("lag 0") and await lags(house, topic.name) == [0.0] * topic.partitions

    consumer = house.consumer("recovery.journeys", service="analytics", max_batch=2)
    async with running(consumer):
        assert await consumer.caught_up()
        assert await house.handled() == twice
        await until(no_lag)
        # The reader stands behind the log's last record: marks alone move it.
        await transactions.abort(*told)
        await transactions.commit(*later)
        assert await consumer.caught_up()
        await until(no_lag)
    twice += [*ids(told), *ids(later)]
    assert await house.handled() == twice
    held = {partition: offset for (_, partition), offset in (await house.positions("recovery.journeys")).items()}
    assert max(held.values()) == len(twice) + 4

    await transactions.begin(*open_still)
    consumer = house.consumer("recovery.journeys", service="analytics")
    async with running(consumer):
        assert await consumer.caught_up()
        assert await house.handled() == [*twice, *ids(open_still)]
        await transactions.finish()
        assert await consumer.caught_up()
    assert await house.handled() == [*twice, *ids(open_still)]


async def test_a_mark_that_is_seen_while_the_records_before_it_are_handled_is_passed_after_them(
    house: House, transactions: Transactions
) -> None:
    topic, measured = house.topics["recovery.messages"], house.metrics.lag
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def hold_on(_conn: Connection, _batch: Sequence[Received[Record]]) -> None:
        begun.set()
        await go_on.wait()

    async def measured_anew() -> bool:
        return len(await lags(house, topic.name)) == topic.partitions

    consumer = house.consumer("recovery.messages", service="analytics")
    async with running(consumer):
        assert await consumer.caught_up()
        house.before = hold_on
        await transactions.commit(MessageBounced(id=uuid.uuid4().hex, store_id="s", message_id="m"))
        await begun.wait()
        for _ in range(2):  # The first look at the log's end may have come before the mark was read.
            measured.clear()
            await until(measured_anew)
        go_on.set()
        assert await consumer.caught_up(10.0)


async def behind(house: House, topic: str) -> bool:
    return sum(await lags(house, topic)) == 1.0


async def test_P3_behind_the_barrier_only_handling_moves_a_position(house: House, transactions: Transactions) -> None:
    """No transaction belongs there. Were there one, its mark would keep the barrier shut."""
    record = CustomerUpdated(id=uuid.uuid4().hex, store_id="s", customer_id="c")
    await transactions.commit(record)
    consumer = house.consumer("customer.updates")
    async with running(consumer):
        await until(lambda: house.has([record.id]))
        await until(lambda: behind(house, "customer.updates"))
        assert not await consumer.caught_up(4.0)
    assert max((await house.positions("customer.updates")).values()) == 1
    assert house.topics["customer.updates"].barrier

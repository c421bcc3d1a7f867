"""Topics under a prefix of their own, with one store: what a run stands on."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Event as Stop

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType  # type: ignore[attr-defined]  # re-exports without saying so

from tests.bench.detector.mix import Event
from tests.bench.detector.templates import STORE, Templates
from tests.bench.ground import Ground
from trolleybus.codec import Codec
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.stores import StoreConfig
from trolleybus.envelope import Envelopes
from trolleybus.producer import RecordProducer
from trolleybus.registry import Registry
from trolleybus.topic_admin import create_topics, register_schemas
from trolleybus.topics import Topic, Topics

USED = ("stores", "cart.activity", "recovery.carts")
PACE = 200
"""Records between two looks at the time."""


class NotWritten(Exception):
    """Kafka did not take a record."""


@dataclass(slots=True)
class World:
    """One log of cart activity, and who writes it."""

    ground: Ground
    prefix: str
    levels: tuple[int, ...]
    source: Topic
    told: Topic
    templates: Templates
    written: int = 0
    bytes_written: int = 0

    @property
    def bootstrap(self) -> str:
        return self.ground.env["KAFKA_BOOTSTRAP_SERVERS"]

    @property
    def env(self) -> dict[str, str]:
        """What a service of this world is started with."""
        return {**self.ground.env, "TOPIC_PREFIX": self.prefix}

    def mean_bytes(self) -> int:
        """Of a record's value."""
        return round(self.bytes_written / max(1, self.written))

    def write(self, events: Iterable[Event], per_second: float = 0.0, stop: Stop | None = None) -> None:
        """Append events now, at most so many a second (0: as fast as Kafka takes them); returns when all are acknowledged."""
        producer = self.producer()
        began = time.monotonic()
        for count, (kind, cart) in enumerate(events, 1):
            self.put(producer, kind, cart)
            if count % PACE == 0:
                if stop is not None and stop.is_set():
                    break
                if per_second:
                    time.sleep(max(0.0, began + count / per_second - time.monotonic()))
        if producer.flush(60):
            raise NotWritten("Kafka did not acknowledge the log within 60 s")

    def producer(self) -> Producer:
        """A producer as the gateway's: idempotent, lz4, murmur2."""
        return Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "enable.idempotence": True,
                "compression.type": "lz4",
                "partitioner": "murmur2_random",
                "linger.ms": 20,
                "queue.buffering.max.messages": 100_000,
                "delivery.report.only.error": True,
                "on_delivery": _given_up,
            }
        )

    def put(self, producer: Producer, kind: str, cart: int) -> None:
        """One record, of this moment."""
        record = self.templates.record(kind, cart, time.time_ns() // 1_000_000)
        while True:
            try:
                producer.produce(self.source.full_name, record.value, record.key, headers=record.headers)
                break
            except BufferError:
                producer.poll(0.05)
        producer.poll(0)
        self.written += 1
        self.bytes_written += len(record.value)

    def ends(self, topic: Topic) -> list[TopicPartition]:
        """Where each partition of a topic ends now."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "trolleybus-bench"})
        try:
            places = [TopicPartition(topic.full_name, number) for number in range(topic.partitions)]
            return [
                TopicPartition(place.topic, place.partition, consumer.get_watermark_offsets(place, timeout=10)[1])
                for place in places
            ]
        finally:
            consumer.close()

    def keep_little(self, mib: int) -> None:
        """Let Kafka drop the log's older segments, beyond so much a partition."""
        entries = {"retention.bytes": mib * 2**20, "segment.bytes": 32 * 2**20}
        resource = ConfigResource(
            ResourceType.TOPIC,
            self.source.full_name,
            incremental_configs=[
                ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET)
                for name, value in entries.items()
            ],
        )
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for done in admin.incremental_alter_configs([resource]).values():
            done.result(30)

    def forget(self) -> None:
        """Delete what the detector keeps on Kafka, its changelog and its group: the next one starts from nothing."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        own = f"{self.prefix}abandonment"
        groups = [one.group_id for one in admin.list_consumer_groups().result(30).valid if one.group_id.startswith(own)]
        if groups:
            for done in admin.delete_consumer_groups(groups).values():
                done.result(30)
        changelogs = [name for name in admin.list_topics(timeout=10).topics if name.startswith(f"{own}-")]
        if changelogs:
            for done in admin.delete_topics(changelogs).values():
                done.result(30)
        deadline = time.monotonic() + 30
        while set(changelogs) & set(admin.list_topics(timeout=10).topics):
            if time.monotonic() > deadline:
                raise TimeoutError(f"Kafka did not delete {changelogs} within 30 s")
            time.sleep(0.2)


async def open_world(ground: Ground, prefix: str, levels: tuple[int, ...]) -> World:
    """Create the topics and the store."""
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # Of a topic's first moments it only says that they pass.
    topics = Topics.load(prefix)
    used = [topics[name] for name in USED]
    bootstrap = ground.env["KAFKA_BOOTSTRAP_SERVERS"]
    await create_topics(bootstrap, [*used, topics.dead_letter("abandonment", "cart.activity")], report=_silent)
    async with Registry(ground.env["SCHEMA_REGISTRY_URL"]) as registry:
        await register_schemas(registry, used, report=_silent)
        codec = Codec(registry, topics)
        await codec.prepare(CartActivity, StoreConfig)
        envelopes = Envelopes("ingest", topics, codec)
        async with RecordProducer(bootstrap, envelopes) as producer:
            await producer.send(
                StoreConfig(id="bench-1", store_id=STORE, occurred_at=1, version=1, currency="EUR", levels=levels)
            )
        return World(ground, prefix, levels, topics["cart.activity"], topics["recovery.carts"], Templates(envelopes))


def _silent(_: str) -> None: ...


def _given_up(error: object, _message: object) -> None:
    """librdkafka calls it in poll() and flush(), which raise it again."""
    raise NotWritten(f"Kafka did not take a record: {error}")

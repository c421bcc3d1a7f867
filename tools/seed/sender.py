"""Sends imported records to the real topics, as an import does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from trolleybus.codec import Codec
from trolleybus.contracts.records import RECORDS, Record
from trolleybus.envelope import Envelopes
from trolleybus.producer import RecordProducer
from trolleybus.registry import Registry
from trolleybus.topics import Topics

BATCH = 500


@asynccontextmanager
async def sender(env: Mapping[str, str]) -> AsyncIterator[RecordProducer]:
    """A producer of imported records on the stack that these settings name."""
    topics = Topics.load(env.get("TOPIC_PREFIX", ""))
    async with Registry(env["SCHEMA_REGISTRY_URL"]) as registry:
        codec = Codec(registry, topics)
        await codec.prepare(*RECORDS.values())
        async with RecordProducer(
            env["KAFKA_BOOTSTRAP_SERVERS"], Envelopes("import", topics, codec), linger_ms=20
        ) as producer:
            yield producer


async def send_all(producer: RecordProducer, records: Sequence[Record], advance: Callable[[int], None]) -> None:
    """Send records in order, batch by batch; each batch is acknowledged before the next."""
    for start in range(0, len(records), BATCH):
        batch = records[start : start + BATCH]
        await producer.send(*batch)
        advance(len(batch))

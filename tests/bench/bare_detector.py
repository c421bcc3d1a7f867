"""The detector's baseline: aiokafka fetches and fastavro decodes the same log, and nothing is done with it.

`python -m tests.bench.bare_detector BOOTSTRAP REGISTRY TOPIC` prints events per second.
"""

from __future__ import annotations

import asyncio
import io
import sys
import time
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from fastavro import schemaless_reader

from trolleybus.registry import Registry
from trolleybus.schemas import parse
from trolleybus.topics import Topics

PARTITION_BYTES = 1 << 20
AT_ONCE = 5_000


async def _run(bootstrap: str, registry_url: str, topic: str) -> float:
    partitions = [TopicPartition(topic, number) for number in range(Topics.load()["cart.activity"].partitions)]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_bytes=PARTITION_BYTES * len(partitions),
        max_partition_fetch_bytes=PARTITION_BYTES,
    )
    await consumer.start()
    schemas: dict[int, Any] = {}
    count = 0
    async with Registry(registry_url) as registry:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        total = sum(ends.values())
        started = time.perf_counter()
        while count < total:
            for records in (await consumer.getmany(timeout_ms=1000, max_records=AT_ONCE)).values():
                for record in records:
                    schema_id = int.from_bytes(record.value[1:5], "big")
                    if schema_id not in schemas:
                        schemas[schema_id] = parse(await registry.schema_of(schema_id))
                    body = io.BytesIO(record.value)
                    body.seek(5)
                    schemaless_reader(body, schemas[schema_id], None)
                count += len(records)
        took = time.perf_counter() - started
    await consumer.stop()
    return count / took


if __name__ == "__main__":
    print(asyncio.run(_run(*sys.argv[1:])))

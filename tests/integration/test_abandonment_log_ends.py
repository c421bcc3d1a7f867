"""Where a log ends, on three real brokers: with what is appended and not replicated yet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from services.abandonment.log_ends import LogEnds, monotonic_ms
from tests.eventually import eventually
from tools.stack.stack import Stack

TOPIC = "ends"


@pytest_asyncio.fixture(loop_scope="session")
async def cluster(tmp_path: Path) -> AsyncIterator[Stack]:
    stack = Stack(tmp_path / "stack", brokers=3, kafka_heap="256m")
    await stack.up()
    try:
        yield stack
    finally:
        await stack.reset()


async def test_P2_the_end_is_the_leaders_own_and_not_what_is_replicated(cluster: Stack) -> None:
    bootstrap = cluster.env()["KAFKA_BOOTSTRAP_SERVERS"]
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, 1, 3)])
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks=1)
    await producer.start()
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    ends = LogEnds(bootstrap, TOPIC)
    await ends.open()
    try:
        async with asyncio.timeout(60):
            for _ in range(3):
                await producer.send_and_wait(TOPIC, b"x")
            told = await eventually(lambda: ends.ask([0]))
            assert told[0].offset == 3
            place = TopicPartition(TOPIC, 0)
            await consumer.end_offsets([place])  # It knows the leader before a broker falls silent.
            (described,) = await admin.describe_topics([TOPIC])
            (partition,) = described["partitions"]
            follower = next(node for node in partition["replicas"] if node != partition["leader"])
            cluster.pause(f"kafka-{follower}")
            before = monotonic_ms()
            for _ in range(7):
                await producer.send_and_wait(TOPIC, b"y")
            watermark = (await consumer.end_offsets([place]))[place]
            told = await ends.ask([0])
            assert told[0].offset == 10
            assert watermark < 10
            assert before <= told[0].asked_at <= monotonic_ms()
            cluster.resume(f"kafka-{follower}")
    finally:
        await asyncio.gather(ends.close(), consumer.stop(), producer.stop(), admin.close())


async def test_P2_while_a_leader_is_away_nothing_is_told_and_its_successor_is_found(cluster: Stack) -> None:
    bootstrap = cluster.env()["KAFKA_BOOTSTRAP_SERVERS"]
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, 1, 3)])
    ends = LogEnds(bootstrap, TOPIC)
    await ends.open()
    try:
        async with asyncio.timeout(90):
            await eventually(lambda: ends.ask([0]))
            (described,) = await admin.describe_topics([TOPIC])
            leader = described["partitions"][0]["leader"]
            await cluster.kill(f"kafka-{leader}")
            killed = monotonic_ms()
            told = await eventually(lambda: ends.ask([0]), within_s=60)
            assert told[0].asked_at >= killed
            assert told[0].offset == 0
            await cluster.start(f"kafka-{leader}")
    finally:
        await asyncio.gather(ends.close(), admin.close())

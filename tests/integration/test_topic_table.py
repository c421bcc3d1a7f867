"""A topic read whole by every instance, on the real servers."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests.stack_fixtures import own_env as env  # noqa: F401 - a fixture: this module takes servers away
from tests.stack_fixtures import own_stack as stack  # noqa: F401
from tools.stack.stack import Stack
from trolleybus.codec import Codec
from trolleybus.contracts.stores import StoreConfig, StoreKey
from trolleybus.producer import KafkaUnavailable, RecordProducer
from trolleybus.security import hash_key, new_key
from trolleybus.store_directory import StoreDirectory
from trolleybus.topics import Topics


@pytest.fixture
def directory(env: dict[str, str], topics: Topics, codec: Codec) -> Callable[[], StoreDirectory]:
    return lambda: StoreDirectory(topics["stores"], env["KAFKA_BOOTSTRAP_SERVERS"], codec)


@asynccontextmanager
async def running(*loops: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(loop.run()) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.02)


def store(version: int = 1, store_id: str = "") -> StoreConfig:
    store_id = store_id or uuid.uuid4().hex
    return StoreConfig(id=f"{store_id}-{version}", store_id=store_id, version=version)


async def test_every_instance_knows_every_store_once_it_is_ready(
    directory: Callable[[], StoreDirectory], producer: RecordProducer
) -> None:
    stores = [store() for _ in range(30)]
    await producer.send(*stores)
    one, two = directory(), directory()
    assert not one.status().ok
    async with running(one, two):
        for each in (one, two):
            await asyncio.wait_for(each.wait_ready(), 20)
            assert each.status().ok
            assert {config.store_id for config in each.all()} >= {config.store_id for config in stores}


async def test_a_refresh_reads_to_the_present_end(
    directory: Callable[[], StoreDirectory], producer: RecordProducer
) -> None:
    key = new_key("secret")
    stores = directory()
    async with running(stores):
        await stores.wait_ready()
        config = store()
        for version in range(1, 6):
            keys = (StoreKey(key_id="k", hash=hash_key(key)),)
            others = [store() for _ in range(500)]  # So that there is something to read before it.
            await producer.send(
                *others, StoreConfig(id=f"{config.id}-{version}", store_id=config.store_id, version=version, keys=keys)
            )
            await stores.refresh()
            found = stores.by_key(key)
            assert found is not None
            assert found[0].version == version


async def test_a_record_that_cannot_be_read_is_told_and_the_others_count(
    directory: Callable[[], StoreDirectory], producer: RecordProducer, topics: Topics, env: dict[str, str]
) -> None:
    raw = AIOKafkaProducer(bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"])
    await raw.start()
    await raw.send_and_wait(topics["stores"].full_name, b"no avro")
    await raw.stop()
    config = store()
    await producer.send(config)
    stores = directory()
    async with running(stores):
        await stores.wait_ready()
        assert stores.latest(config.store_id) is not None
        assert "1 records cannot be read" in stores.status().detail


async def test_a_missing_topic_is_named(env: dict[str, str], codec: Codec) -> None:
    stores = StoreDirectory(Topics.load(prefix="nowhere.")["stores"], env["KAFKA_BOOTSTRAP_SERVERS"], codec)
    async with running(stores):
        await until(lambda: "nowhere.stores.v1 is missing" in stores.status().detail)
        assert not stores.status().ok


async def test_what_is_known_stays_while_kafka_is_away_and_is_called_stale(
    directory: Callable[[], StoreDirectory], producer: RecordProducer, stack: Stack
) -> None:
    config = store()
    await producer.send(config)
    stores = directory()
    async with running(stores):
        await stores.wait_ready()
        await stack.stop("kafka-1")
        try:
            await until(lambda: "stale" in stores.status().detail, 40)
            assert stores.status().ok
            assert stores.latest(config.store_id) is not None
            with pytest.raises(KafkaUnavailable):
                await stores.refresh(0.5)
        finally:
            await stack.start("kafka-1")
        await until(lambda: "stale" not in stores.status().detail, 40)
        await stores.refresh(20)

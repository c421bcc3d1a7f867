"""The gateway as a process of its own, on topics of its own; stores written as campaigns would; what stands on the topics."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.eventually import eventually
from trolleybus.codec import Codec
from trolleybus.contracts.records import Record
from trolleybus.contracts.stores import StoreConfig, StoreKey
from trolleybus.envelope import Envelopes
from trolleybus.producer import RecordProducer
from trolleybus.registry import Registry
from trolleybus.security import hash_key, new_key
from trolleybus.topic_admin import create_topics, register_schemas
from trolleybus.topics import Topics

USED = ("stores", "cart.activity", "orders", "customer.updates", "consent", "products", "privacy.requests")
ORIGIN = "https://shop.example.com"


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A store with a key of each kind."""

    config: StoreConfig
    write_key: str
    secret_key: str

    @property
    def store_id(self) -> str:
        return self.config.store_id


@dataclass
class Ingest:
    """A running gateway and the world around it."""

    env: dict[str, str]
    topics: Topics
    codec: Codec
    writer: RecordProducer
    url: str = ""
    process: asyncio.subprocess.Process | None = None
    log: list[str] = field(default_factory=list)

    async def open_shop(self, store_id: str, **changes: Any) -> Shop:
        """A store on the topic, known to the gateway."""
        write, secret = new_key("write"), new_key("secret")
        keys = (
            StoreKey(key_id="w", kind="write", hash=hash_key(write)),
            StoreKey(key_id="s", kind="secret", hash=hash_key(secret)),
        )
        config = StoreConfig(
            id=f"{store_id}-1",
            store_id=store_id,
            occurred_at=1,
            version=1,
            currency="EUR",
            country="ES",
            levels=(900,),
            keys=keys,
            origins=(ORIGIN,),
            shop_url=ORIGIN,
        )
        shop = Shop(config=replace(config, **changes), write_key=write, secret_key=secret)
        await self.writer.send(shop.config)
        await eventually(lambda: self.knows(shop))
        return shop

    async def knows(self, shop: Shop) -> bool:
        """Whether this gateway has read of the store."""
        answer = await self.post("carts/track", {}, shop.write_key)
        return answer.status_code != 401 or not shop.config.active

    async def post(self, path: str, body: Any, key: str = "", headers: dict[str, str] | None = None) -> httpx2.Response:
        sent = {"authorization": f"Bearer {key}"} if key else {}
        async with httpx2.AsyncClient(base_url=self.url, timeout=30) as client:
            if isinstance(body, bytes):
                sent["content-type"] = "application/json"
                return await client.post(f"/api/v1/{path}", content=body, headers={**sent, **(headers or {})})
            return await client.post(f"/api/v1/{path}", json=body, headers={**sent, **(headers or {})})

    async def get(self, path: str) -> httpx2.Response:
        async with httpx2.AsyncClient(base_url=self.url, timeout=10) as client:
            return await client.get(path)

    async def records(self, topic: str, store_id: str) -> list[Any]:
        """What stands on a topic for a store, partition by partition."""
        return [record for record, _ in await self.stored(topic) if record.store_id == store_id]

    async def stored(self, topic: str) -> list[tuple[Record, Any]]:
        found_topic = self.topics[topic]
        consumer = AIOKafkaConsumer(bootstrap_servers=self.env["KAFKA_BOOTSTRAP_SERVERS"], enable_auto_commit=False)
        await consumer.start()
        try:
            partitions = [TopicPartition(found_topic.full_name, number) for number in range(found_topic.partitions)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning()
            ends = await consumer.end_offsets(partitions)
            found = []
            while any([await consumer.position(one) < ends[one] for one in partitions]):
                for batch in (await consumer.getmany(timeout_ms=500)).values():
                    found += [(await self.codec.decode(message.value), message) for message in batch]
            return found
        finally:
            await consumer.stop()


@asynccontextmanager
async def world(env: dict[str, str], prefix: str) -> AsyncIterator[Ingest]:
    """Topics and schemas under a prefix, and a producer that writes stores."""
    topics = Topics.load(prefix)
    bootstrap = env["KAFKA_BOOTSTRAP_SERVERS"]
    used = [topics[name] for name in USED]
    await create_topics(bootstrap, used, lambda _: None)
    async with Registry(env["SCHEMA_REGISTRY_URL"]) as registry:
        await register_schemas(registry, used, lambda _: None)
        codec = Codec(registry, topics)
        await codec.prepare(StoreConfig)
        async with RecordProducer(bootstrap, Envelopes("campaigns", topics, codec)) as writer:
            yield Ingest({**env, "TOPIC_PREFIX": prefix}, topics, codec, writer)


@asynccontextmanager
async def running(ingest: Ingest, log: Path, **settings: str) -> AsyncIterator[Ingest]:
    """`python -m services.ingest` until the end of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, **ingest.env, "PORT": str(port), "HOST": "127.0.0.1", "INGEST_URL": url, **settings}
    with log.open("w") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.ingest", env=environment, stdout=output, stderr=output
        )
        gateway = replace(ingest, url=url, process=process)

        async def is_ready() -> bool:
            assert process.returncode is None, f"the gateway ended; see {log}"
            try:
                return (await gateway.get("/readyz")).status_code == 200
            except httpx2.TransportError:
                return False

        try:
            await eventually(is_ready)
            yield gateway
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), 30)

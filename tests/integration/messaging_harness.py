"""Messaging as processes of its own, on topics of its own; requests, orders and words written as the others would."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.eventually import eventually
from trolleybus.codec import Codec, UnreadableRecord
from trolleybus.contracts import ids
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.customers import IdentitiesLinked
from trolleybus.contracts.identity import IdentityHasher, installation_secrets
from trolleybus.contracts.messages import MessageRequested
from trolleybus.contracts.orders import OrderPlaced
from trolleybus.contracts.records import Record
from trolleybus.contracts.stores import SenderIdentity, StoreConfig
from trolleybus.db import Connection, connect
from trolleybus.envelope import Envelopes
from trolleybus.producer import RecordProducer
from trolleybus.registry import Registry
from trolleybus.security import Links
from trolleybus.topic_admin import create_topics, register_schemas
from trolleybus.topics import Topics

USED = ("stores", "orders", "consent", "customer.updates", "messaging.requests", "recovery.messages")
BARRIER = ("orders", "consent", "customer.updates")
WRITTEN = (StoreConfig, OrderPlaced, ConsentChanged, IdentitiesLinked, MessageRequested)
HOUR = 3_600_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class World:
    """Kafka, the registry and the database around messaging, and a hand to write with."""

    env: dict[str, str]
    topics: Topics
    codec: Codec
    writer: RecordProducer
    raw: AIOKafkaProducer
    hasher: IdentityHasher
    store: str = "store-1"

    @property
    def database_url(self) -> str:
        return self.env["POSTGRES_URL"].rpartition("/")[0] + "/trolleybus_messaging"

    def hashed(self, kind: str, value: str, store: str = "") -> str:
        return self.hasher.hash(store or self.store, kind, value)

    async def open_store(self, store: str, **changes: Any) -> str:
        """A store that may write to those who said nothing, from an address of its own; further versions by `version`."""
        config = StoreConfig(
            id=str(uuid4()), store_id=store, occurred_at=1, version=1, name="Example shop", time_zone="UTC",
            senders=(SenderIdentity(channel="email", address="hello@shop.example.com", name="Example shop"),),
            email_consent_basis="soft_opt_in", shop_url="https://shop.example.com",
        )  # fmt: skip
        await self.writer.send(replace(config, **changes))
        return store

    def request(self, email: str, *, store: str = "", **changes: Any) -> MessageRequested:
        """A reminder that is due now, of a cart opened an hour ago."""
        store = store or self.store
        journey = str(uuid4())
        attempt = changes.get("attempt", 1)
        request = MessageRequested(
            store_id=store, occurred_at=now_ms(), journey_id=journey, campaign_id="campaign-1", channel="email",
            cart_id=f"cart-{journey[:8]}", episode_id=str(uuid4()), customer_id=f"customer-{email}",
            address=email, address_hash=self.hashed("email", email, store),
            identities=(self.hashed("email", email, store),), purchase_since=now_ms() - HOUR,
            subject=f"You left something, {email}", text="Your cart waits: https://shop.example.com/cart",
            html='<p>Your cart <a href="https://shop.example.com/cart?a=1&amp;b=2">waits</a></p>',
            not_before=now_ms(), expires_at=now_ms() + HOUR,
        )  # fmt: skip
        request = replace(request, **changes)
        message_id = ids.message(request.journey_id, request.step, request.channel, attempt)
        return replace(request, id=message_id, message_id=message_id)

    def order(self, *, store: str = "", **changes: Any) -> OrderPlaced:
        order = OrderPlaced(
            id=str(uuid4()), store_id=store or self.store, occurred_at=now_ms(), received_at=now_ms(), source="shop",
            order_id=f"order-{uuid4()}",
        )  # fmt: skip
        return replace(order, **changes)

    def word(self, email: str, state: str, by: str, **changes: Any) -> ConsentChanged:
        word = ConsentChanged(
            id=str(uuid4()), store_id=self.store, occurred_at=now_ms(), received_at=now_ms(), channel="email",
            address_hash=self.hashed("email", email), state=state, by=by, evidence="form" if by == "person" else "",
        )  # fmt: skip
        return replace(word, **changes)

    async def send(self, *records: Record) -> None:
        await self.writer.send(*records)

    async def send_raw(self, topic: str, key: bytes, value: bytes, store: str) -> tuple[int, int]:
        """Bytes as they are; where they stand."""
        headers = [("ce_storeid", store.encode())] if store else []
        put = await self.raw.send_and_wait(self.topics[topic].full_name, key=key, value=value, headers=headers)
        return put.partition, put.offset

    async def told(self, message_id: str) -> list[Any]:
        """What recovery.messages says of a message, each fact once."""
        found = {record.id: record for record, _ in await self.stored("recovery.messages")}
        return [record for record in found.values() if getattr(record, "message_id", "") == message_id]

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
                    for message in batch:
                        with suppress(UnreadableRecord):
                            found.append((await self.codec.decode(message.value), message))
            return found
        finally:
            await consumer.stop()

    async def ends(self, topic: str) -> dict[int, int]:
        """Where the partitions of a topic end."""
        found = self.topics[topic]
        consumer = AIOKafkaConsumer(bootstrap_servers=self.env["KAFKA_BOOTSTRAP_SERVERS"], enable_auto_commit=False)
        await consumer.start()
        try:
            ends = await consumer.end_offsets([TopicPartition(found.full_name, one) for one in range(found.partitions)])
            return {place.partition: end for place, end in ends.items()}
        finally:
            await consumer.stop()

    async def kinds(self, message_id: str) -> set[str]:
        return {type(record).__name__ for record in await self.told(message_id)}

    @asynccontextmanager
    async def database(self, *, autocommit: bool = True) -> AsyncIterator[Connection]:
        conn = await connect(self.database_url, name="test", autocommit=autocommit)
        try:
            yield conn
        finally:
            await conn.close()

    async def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        async with self.database() as conn:
            return await (await conn.execute(query, parameters)).fetchall()

    async def state(self, message_id: str) -> str:
        rows = await self.rows("SELECT state FROM messages WHERE message_id = %s", message_id)
        return str(rows[0]["state"]) if rows else ""

    async def mails(self, message_id: str) -> int:
        return len(await self.rows("SELECT id FROM inbox WHERE message_id = %s", message_id))

    async def reaches(self, message_id: str, *states: str, within_s: float = 30) -> str:
        async def reached() -> str:
            state = await self.state(message_id)
            return state if state in states else ""

        return await eventually(reached, within_s)


@dataclass
class Messaging:
    """A running process."""

    world: World
    url: str
    process: asyncio.subprocess.Process
    log: Path
    links: Links = field(repr=False)

    async def get(self, path: str, *, sign_in: bool = True, **options: Any) -> httpx2.Response:
        return await self.call("GET", path, sign_in=sign_in, **options)

    async def post(self, path: str, *, sign_in: bool = True, **options: Any) -> httpx2.Response:
        return await self.call("POST", path, sign_in=sign_in, **options)

    async def call(self, method: str, path: str, *, sign_in: bool, **options: Any) -> httpx2.Response:
        headers = options.pop("headers", {})
        if sign_in:
            headers = {**headers, "authorization": f"Bearer {self.world.env['OPERATOR_TOKEN']}"}
        async with httpx2.AsyncClient(base_url=self.url, timeout=15) as client:
            return await client.request(method, path, headers=headers, **options)

    def signed(self, purpose: str, payload: dict[str, Any]) -> str:
        return self.links.sign(purpose, payload)

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def world_around(env: dict[str, str], prefix: str) -> AsyncIterator[World]:
    """Topics under a prefix and an empty database."""
    topics = Topics.load(prefix)
    bootstrap = env["KAFKA_BOOTSTRAP_SERVERS"]
    used = [topics[name] for name in USED]
    dead = [topics.dead_letter("messaging", name) for name in USED if "messaging" in topics[name].read_by]
    await create_topics(bootstrap, [*used, *dead], lambda _: None)
    await _drop_database(env["POSTGRES_URL"])
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(Registry(env["SCHEMA_REGISTRY_URL"]))
        await register_schemas(registry, used, lambda _: None)
        codec = Codec(registry, topics)
        await codec.prepare(*WRITTEN)
        writer = await stack.enter_async_context(RecordProducer(bootstrap, Envelopes("test", topics, codec)))
        raw = AIOKafkaProducer(bootstrap_servers=bootstrap)
        await raw.start()
        stack.push_async_callback(raw.stop)
        hasher = IdentityHasher(installation_secrets(env["INSTALLATION_SECRET"]))
        world = World({**env, "TOPIC_PREFIX": prefix}, topics, codec, writer, raw, hasher)
        await world.open_store(world.store)
        yield world


async def _drop_database(server_url: str) -> None:
    conn = await psycopg.AsyncConnection.connect(server_url, autocommit=True)
    try:
        await conn.execute("DROP DATABASE IF EXISTS trolleybus_messaging WITH (FORCE)")
    finally:
        await conn.close()


@asynccontextmanager
async def running(world: World, log: Path, **settings: str) -> AsyncIterator[Messaging]:
    """`python -m services.messaging` until the end of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, **world.env, "PORT": str(port), "HOST": "127.0.0.1", "MESSAGING_URL": url, **settings}
    with log.open("w") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.messaging", env=environment, stdout=output, stderr=output
        )
        messaging = Messaging(world, url, process, log, Links(world.env["SIGNING_KEYS"].split(",")))

        async def is_ready() -> bool:
            assert process.returncode is None, f"messaging ended; see {log}"
            try:
                return (await messaging.get("/readyz")).status_code == 200
            except httpx2.TransportError:
                return False

        try:
            await eventually(is_ready, 60)
            yield messaging
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
                await asyncio.wait_for(process.wait(), 40)

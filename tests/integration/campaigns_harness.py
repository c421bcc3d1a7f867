"""Campaigns as a process of its own, on topics and a database of its own; what others write to it; what it writes."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx2
import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from psycopg import sql

from tests.eventually import eventually
from trolleybus.codec import Codec
from trolleybus.contracts import ids
from trolleybus.contracts.cart import CartLine
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.customers import CustomerUpdated
from trolleybus.contracts.identity import IdentityHasher, installation_secrets
from trolleybus.contracts.money import Money
from trolleybus.contracts.records import RECORDS, Record
from trolleybus.contracts.recovery import CartAbandoned
from trolleybus.envelope import Envelopes
from trolleybus.producer import RecordProducer
from trolleybus.registry import Registry
from trolleybus.topic_admin import create_topics, register_schemas
from trolleybus.topics import Topics

READ = ("recovery.carts", "customer.updates", "consent", "orders", "recovery.messages")
WRITTEN = ("stores", "customers", "recovery.journeys", "messaging.requests")
LEVEL = 900

R = TypeVar("R")


@dataclass
class Shopper:
    """Somebody with an address, and a cart of theirs."""

    store_id: str
    email: str
    email_hash: str
    customer_id: str
    cart_id: str

    def abandoned(self, *, episode: str = "1", level: int = LEVEL, **changes: Any) -> CartAbandoned:
        """The cart left, `episode` telling its runs apart."""
        now = int(time.time() * 1000)
        episode_id = ids.episode(self.store_id, self.cart_id, episode)
        known: dict[str, Any] = {
            "id": ids.abandonment(episode_id, level),
            "store_id": self.store_id,
            "occurred_at": now,
            "cart_id": self.cart_id,
            "episode_id": episode_id,
            "customer_id": self.customer_id,
            "identities": (self.email_hash,),
            "level": 1,
            "level_seconds": level,
            "due_at": now,
            "opened_at": now - 3_600_000,
            "last_activity_at": now - level * 1000,
            "contact_known": True,
            "contact_channels": ("email",),
            "value": Money(minor=4990, currency="EUR"),
            "lines": (CartLine(line_id="1", name="Kettle", quantity=1, unit_price=Money(minor=4990, currency="EUR")),),
        }
        return CartAbandoned(**{**known, **changes})


@dataclass
class Campaigns:
    """A running service and the world around it."""

    env: dict[str, str]
    topics: Topics
    writer: RecordProducer
    hasher: IdentityHasher
    seen: list[Record] = field(default_factory=list)
    url: str = ""
    process: asyncio.subprocess.Process | None = None

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        sent = {"authorization": f"Bearer {self.env['OPERATOR_TOKEN']}", **headers}
        async with httpx2.AsyncClient(base_url=self.url, timeout=30) as client:
            return await client.request(method, path, json=body, headers=sent)

    async def open_store(self, **settings: Any) -> str:
        """A store with an active default campaign; its id."""
        body = {"name": "Shop", "currency": "EUR", "time_zone": "Europe/Madrid", "levels": ["15m", "1h"], **settings}
        answer = await self.call("POST", "/api/v1/stores", body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["store_id"])

    async def campaign_of(self, store_id: str) -> str:
        answer = await self.call("GET", f"/api/v1/stores/{store_id}/campaigns")
        return str(answer.json()["items"][0]["campaign_id"])

    async def change_campaign(self, store_id: str, **changes: Any) -> str:
        campaign_id = await self.campaign_of(store_id)
        answer = await self.call("PATCH", f"/api/v1/stores/{store_id}/campaigns/{campaign_id}", changes)
        assert answer.status_code == 200, answer.text
        return campaign_id

    def shopper(self, store_id: str) -> Shopper:
        name = uuid4().hex[:12]
        email = f"{name}@example.com"
        return Shopper(store_id, email, self.hasher.hash(store_id, "email", email), f"customer-{name}", f"cart-{name}")

    async def known_shopper(self, store_id: str) -> Shopper:
        """With a profile and a grant."""
        shopper = self.shopper(store_id)
        await self.introduce(shopper)
        return shopper

    async def introduce(self, shopper: Shopper) -> None:
        now = int(time.time() * 1000)
        await self.writer.send(
            CustomerUpdated(
                id=uuid4().hex,
                store_id=shopper.store_id,
                occurred_at=now,
                customer_id=shopper.customer_id,
                identities=(shopper.email_hash,),
                email=shopper.email,
                first_name="Sample",
            ),
            ConsentChanged(
                id=uuid4().hex,
                store_id=shopper.store_id,
                occurred_at=now,
                channel="email",
                address_hash=shopper.email_hash,
                state="granted",
                by="shop",
            ),
        )

    def told(self, kind: type[R], store_id: str) -> list[R]:
        """What stands on the topics for a store, each fact once."""
        found: dict[str, R] = {}
        for record in self.seen:
            if isinstance(record, kind) and getattr(record, "store_id", "") == store_id:
                found.setdefault(str(getattr(record, "id", "")), record)
        return list(found.values())

    async def tells(self, kind: type[R], store_id: str, count: int = 1) -> list[R]:
        """Waits for so many records of a kind."""

        async def enough() -> list[R]:
            found = self.told(kind, store_id)
            return found if len(found) >= count else []

        return await eventually(enough)

    async def settled(self) -> None:
        """Everything written to the service so far is in its database, and told."""

        async def done() -> bool:
            async with await self.database() as conn:
                row = await (await conn.execute("SELECT count(*) FROM outbox")).fetchone()
                positions = {
                    (topic, partition): offset
                    for topic, partition, offset in await (
                        await conn.execute("SELECT topic, partition, next_offset FROM kafka_positions")
                    ).fetchall()
                }
            ends = await self._ends()
            return row == (0,) and all(
                positions.get((place.topic, place.partition), 0) >= end for place, end in ends.items()
            )

        await eventually(done)

    async def database(self) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(_database(self.env, self.env["DATABASE_NAME"]), autocommit=True)

    async def _ends(self) -> dict[TopicPartition, int]:
        kafka = AIOKafkaConsumer(bootstrap_servers=self.env["KAFKA_BOOTSTRAP_SERVERS"])
        await kafka.start()
        try:
            return dict(await kafka.end_offsets(_places(self.topics, READ)))
        finally:
            await kafka.stop()


@asynccontextmanager
async def world(env: dict[str, str], prefix: str) -> AsyncIterator[Campaigns]:
    """Topics and schemas under a prefix, an empty database, a writer for the others' topics and a reader of its own."""
    topics = Topics.load(prefix)
    bootstrap = env["KAFKA_BOOTSTRAP_SERVERS"]
    used = [topics[name] for name in (*READ, *WRITTEN)]
    parked = [topics.dead_letter("campaigns", name) for name in READ]
    await create_topics(bootstrap, [*used, *parked], lambda _: None)
    database = f"campaigns_{uuid4().hex[:8]}"
    async with Registry(env["SCHEMA_REGISTRY_URL"]) as registry:
        await register_schemas(registry, used, lambda _: None)
        codec = Codec(registry, topics)
        await codec.prepare(*(kind for kind in RECORDS.values() if topics.of(kind).name in READ))
        async with RecordProducer(bootstrap, Envelopes("tests", topics, codec)) as writer:
            hasher = IdentityHasher(installation_secrets(env["INSTALLATION_SECRET"]))
            campaigns = Campaigns({**env, "TOPIC_PREFIX": prefix, "DATABASE_NAME": database}, topics, writer, hasher)
            reader = asyncio.create_task(_read(campaigns, codec))
            try:
                yield campaigns
            finally:
                reader.cancel()
                with suppress(asyncio.CancelledError):
                    await reader
    await _drop_database(env, database)


@asynccontextmanager
async def running(campaigns: Campaigns, log: Path, **settings: str) -> AsyncIterator[Campaigns]:
    """The service until the end of the block; `campaigns` learns its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ, **campaigns.env, "CAMPAIGNS_URL": url, "PORT": str(port), "HOST": "127.0.0.1", **settings,
    }  # fmt: skip
    with log.open("a") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.integration.campaigns_process", env=environment, stdout=output, stderr=output
        )
        campaigns.url, campaigns.process = url, process

        async def is_ready() -> bool:
            assert process.returncode is None, f"campaigns ended; see {log}"
            try:
                return (await campaigns.call("GET", "/readyz")).status_code == 200
            except httpx2.TransportError:
                return False

        try:
            await eventually(is_ready)
            yield campaigns
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), 30)


async def _read(campaigns: Campaigns, codec: Codec) -> None:
    kafka = AIOKafkaConsumer(bootstrap_servers=campaigns.env["KAFKA_BOOTSTRAP_SERVERS"], enable_auto_commit=False)
    await kafka.start()
    try:
        places = _places(campaigns.topics, WRITTEN)
        kafka.assign(places)
        await kafka.seek_to_beginning(*places)
        while True:
            for batch in (await kafka.getmany(timeout_ms=200)).values():
                campaigns.seen += [await codec.decode(message.value) for message in batch]
    finally:
        await kafka.stop()


def _places(topics: Topics, names: tuple[str, ...]) -> list[TopicPartition]:
    return [
        TopicPartition(topics[name].full_name, number) for name in names for number in range(topics[name].partitions)
    ]


def _database(env: dict[str, str], name: str) -> str:
    address, mark, parameters = env["POSTGRES_URL"].partition("?")
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/{name}{mark}{parameters}"


async def _drop_database(env: dict[str, str], name: str) -> None:
    async with await psycopg.AsyncConnection.connect(_database(env, "postgres"), autocommit=True) as conn:
        await conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

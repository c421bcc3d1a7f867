"""Analytics in this process over real HTTP, with topics and a database of its own."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx2
from fastapi import FastAPI
from psycopg import sql

from services.analytics.app import GROUP, build
from services.analytics.domain.projection import TOPICS
from services.analytics.settings import AnalyticsSettings
from tests.eventually import eventually
from trolleybus.codec import Codec
from trolleybus.contracts.records import RECORDS, Record
from trolleybus.contracts.stores import StoreConfig, StoreKey
from trolleybus.db import connect
from trolleybus.envelope import Envelopes
from trolleybus.producer import RecordProducer
from trolleybus.registry import Registry
from trolleybus.runtime import serve
from trolleybus.security import hash_key, new_key
from trolleybus.topic_admin import create_topics, register_schemas
from trolleybus.topics import Topics

USED = ("stores", *TOPICS)
OPERATOR = "operator-token-for-tests-0123456789"


class OwnDatabase(AnalyticsSettings):
    """Settings whose database is this test's alone."""

    database_name: str

    @property
    def database_url(self) -> str:
        return super().database_url.replace("/trolleybus_analytics", f"/{self.database_name}")


@dataclass(frozen=True, kw_only=True)
class Shop:
    config: StoreConfig
    secret_key: str
    write_key: str

    @property
    def store_id(self) -> str:
        return self.config.store_id

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret_key}"}


@dataclass
class World:
    """Topics, a database, and a writer of records."""

    settings: OwnDatabase
    topics: Topics
    codec: Codec
    writer: RecordProducer
    now: list[int] = field(default_factory=list)  # One number: what the service takes for now; empty: the real clock.
    app: FastAPI | None = None
    url: str = ""

    def clock(self) -> int:
        return self.now[0] if self.now else int(time.time() * 1000)

    async def send(self, records: Sequence[Record]) -> None:
        for begin in range(0, len(records), 500):
            await self.writer.send(*records[begin : begin + 500])

    async def open_shop(self, store_id: str, **changes: Any) -> Shop:
        """A store on the topic, known to the service."""
        write, secret = new_key("write"), new_key("secret")
        keys = (
            StoreKey(key_id="w", kind="write", hash=hash_key(write)),
            StoreKey(key_id="s", kind="secret", hash=hash_key(secret)),
        )
        settings: dict[str, Any] = {
            "name": f"Shop {store_id}",
            "currency": "EUR",
            "time_zone": "Europe/Madrid",
            "levels": (900, 3600),
        }
        config = StoreConfig(
            id=f"{store_id}-1", store_id=store_id, occurred_at=1, version=1, keys=keys, **settings | changes
        )
        await self.writer.send(config)
        shop = Shop(config=config, secret_key=secret, write_key=write)
        if self.app is not None:
            await self.app.state.directory.refresh()
        return shop

    async def caught_up(self) -> None:
        assert self.app is not None
        assert await self.app.state.consumer.caught_up(60)

    async def get(self, path: str, headers: dict[str, str] | None = None, **params: Any) -> httpx2.Response:
        sent = {"Authorization": f"Bearer {OPERATOR}"} if headers is None else headers
        async with httpx2.AsyncClient(base_url=self.url, timeout=30) as client:
            return await client.get(path, params=params, headers=sent)

    async def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        conn = await connect(self.settings.database_url, name="test")
        try:
            cursor = await conn.execute(query, values)
            return await cursor.fetchall() if cursor.description else []
        finally:
            await conn.close()

    @property
    def group(self) -> str:
        return f"{self.settings.topic_prefix}{GROUP}"


@asynccontextmanager
async def world(env: dict[str, str]) -> AsyncIterator[World]:
    """Topics of its own and a database of its own, which is dropped at the end."""
    unique = uuid4().hex[:8]
    values = {
        "database_name": f"analytics_{unique}",
        "topic_prefix": f"a{unique}.",
        "kafka_bootstrap_servers": env["KAFKA_BOOTSTRAP_SERVERS"],
        "schema_registry_url": env["SCHEMA_REGISTRY_URL"],
        "postgres_url": env["POSTGRES_URL"],
        "installation_secret": f"1:{'c2VjcmV0' * 8}",
        "signing_keys": ("k" * 40,),
        "operator_token": OPERATOR,
        "port": _free_port(),
    }
    settings = OwnDatabase.model_validate(values)
    topics = Topics.load(settings.topic_prefix)
    used = [topics[name] for name in USED]
    await create_topics(settings.kafka_bootstrap_servers, used, lambda _: None)
    dead = [topics.dead_letter("analytics", name) for name in TOPICS]
    await create_topics(settings.kafka_bootstrap_servers, dead, lambda _: None)
    async with Registry(settings.schema_registry_url) as registry:
        await register_schemas(registry, used, lambda _: None)
        codec = Codec(registry, topics)
        await codec.prepare(*(kind for kind in RECORDS.values() if topics.of(kind).name in USED))
        async with RecordProducer(
            settings.kafka_bootstrap_servers, Envelopes("tests", topics, codec), timeout_ms=30_000
        ) as writer:
            try:
                yield World(settings, topics, codec, writer)
            finally:
                conn = await connect(settings.postgres_url, name="test")
                name = sql.Identifier(settings.database_name)
                await conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
                await conn.close()


@asynccontextmanager
async def running(around: World) -> AsyncIterator[World]:
    """The service until the end of the block."""
    around.app = build(around.settings, around.clock)
    around.url = f"http://127.0.0.1:{around.settings.port}"
    serving = asyncio.create_task(serve(around.app, around.settings))

    async def is_ready() -> bool:
        if serving.done():
            await serving
        try:
            return (await around.get("/readyz")).status_code == 200
        except httpx2.TransportError:
            return False

    try:
        await eventually(is_ready, 60)
        yield around
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
        around.app = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

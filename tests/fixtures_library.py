"""Fresh topics, schemas and databases on the stack, and the library's clients for them."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path

import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient
from psycopg import sql
from psycopg.conninfo import make_conninfo

from trolleybus import schemas
from trolleybus.codec import Codec
from trolleybus.contracts.records import RECORDS
from trolleybus.db import LIBRARY_MIGRATIONS, Pool, connect, migrate, open_pool
from trolleybus.envelope import Envelopes
from trolleybus.producer import RecordProducer
from trolleybus.registry import Registry, subject
from trolleybus.topic_admin import create_topics
from trolleybus.topics import Topic, Topics

PARTITIONS = 3  # Enough to show that partitions are apart; twelve of each would only take time.
SERVICES = Path(__file__).parent.parent / "services"


async def delete_topics(bootstrap: str, topics: Iterable[Topic]) -> None:
    """A broker with thousands of partitions of modules that are over is slow to come back."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([topic.full_name for topic in topics])
    finally:
        await admin.close()


NewDatabase = Callable[..., Awaitable[str]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def registry(env: dict[str, str]) -> AsyncIterator[Registry]:
    async with Registry(env["SCHEMA_REGISTRY_URL"]) as registry:
        yield registry


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def topics(env: dict[str, str], registry: Registry) -> AsyncIterator[Topics]:
    """Every topic under a prefix of this module's own (TOPIC_PREFIX), with three partitions, schemas registered."""
    topics = Topics.load(prefix=f"t{uuid.uuid4().hex[:8]}.", partitions=PARTITIONS)
    bootstrap = env["KAFKA_BOOTSTRAP_SERVERS"]
    everything = [*topics, *topics.dead_letters()]
    await create_topics(bootstrap, everything, report=lambda _: None)
    await asyncio.gather(
        *(
            registry.register(subject(topic, record.__name__), schemas.source(record.__name__, version))
            for topic in topics
            for record in topic.records
            for version in schemas.versions(record.__name__)
        )
    )
    yield topics
    await delete_topics(bootstrap, everything)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def codec(registry: Registry, topics: Topics) -> Codec:
    """Prepared for every record."""
    codec = Codec(registry, topics)
    await asyncio.gather(*(codec.prepare(record) for record in RECORDS.values()))
    return codec


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def envelopes(topics: Topics, codec: Codec) -> Envelopes:
    return Envelopes("test", topics, codec)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def producer(env: dict[str, str], envelopes: Envelopes) -> AsyncIterator[RecordProducer]:
    async with RecordProducer(env["KAFKA_BOOTSTRAP_SERVERS"], envelopes) as producer:
        yield producer


@pytest_asyncio.fixture(loop_scope="session")
async def empty_database(env: dict[str, str]) -> AsyncIterator[Callable[[], str]]:
    """Names databases that do not exist yet; they are dropped after the test."""
    names: list[str] = []

    def name() -> str:
        names.append(f"test_{uuid.uuid4().hex[:12]}")
        return make_conninfo(env["POSTGRES_URL"], dbname=names[-1])

    yield name
    server = await connect(env["POSTGRES_URL"], name="tests")
    for one in names:
        await server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(one)))
    await server.close()


@pytest_asyncio.fixture(loop_scope="session")
async def database(empty_database: Callable[[], str]) -> NewDatabase:
    """`url = await database("campaigns")`: a new database with the library's and the services' migrations."""

    async def new(*services: str) -> str:
        url = empty_database()
        await migrate(url, LIBRARY_MIGRATIONS, *(SERVICES / service / "migrations" for service in services))
        return url

    return new


@pytest_asyncio.fixture(loop_scope="session")
async def database_url(database: NewDatabase) -> str:
    """A new database with the library's tables alone."""
    return await database()


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """On `database_url`."""
    async with open_pool(database_url) as pool:
        yield pool

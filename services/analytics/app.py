"""Analytics' composition: the only place that builds connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services.analytics.api.routes import api_router
from services.analytics.domain.projection import TOPICS
from services.analytics.handlers import Projection
from services.analytics.metrics import AnalyticsMetrics
from services.analytics.pages.dashboard import STATIC, pages_router
from services.analytics.reading import Clock, Figures, wall_clock
from services.analytics.settings import AnalyticsSettings
from services.analytics.store.changes import Changes
from trolleybus.codec import Codec
from trolleybus.consumer import Consumer, ConsumerMetrics
from trolleybus.db import LIBRARY_MIGRATIONS, migrate, open_pool
from trolleybus.envelope import Envelopes
from trolleybus.http import Readiness, create_app
from trolleybus.outbox import OutboxMetrics, OutboxRelay
from trolleybus.producer import RecordProducer
from trolleybus.registry import Registry
from trolleybus.runtime import background
from trolleybus.store_directory import StoreDirectory
from trolleybus.topics import Topics

MIGRATIONS = Path(__file__).parent / "migrations"
GROUP = "analytics"
"""The consumer group, and the name of its positions."""


def build(settings: AnalyticsSettings, clock: Clock = wall_clock) -> FastAPI:
    """The service, ready to be run; connections open when it starts. The clock says what "now" is for figures."""
    prometheus = CollectorRegistry()
    metrics = AnalyticsMetrics(prometheus)
    readiness = Readiness()
    topics = Topics.load(settings.topic_prefix)
    bootstrap = settings.kafka_bootstrap_servers
    registry = Registry(settings.schema_registry_url)
    codec = Codec(registry, topics)
    pool = open_pool(settings.database_url, name=settings.service, max_size=12)
    producer = RecordProducer(bootstrap, Envelopes(settings.service, topics, codec))
    relay = OutboxRelay(settings.database_url, producer, metrics=OutboxMetrics(prometheus))
    directory = StoreDirectory(topics["stores"], bootstrap, codec)
    changes = Changes(settings.database_url)
    figures = Figures(pool, metrics, clock)
    projection = Projection(metrics)
    consumer = Consumer(
        service=settings.service,
        group=f"{settings.topic_prefix}{GROUP}",
        topics=[topics[name] for name in TOPICS],
        bootstrap=bootstrap,
        codec=codec,
        pool=pool,
        handler=projection.project,
        dead_letters=topics,
        metrics=ConsumerMetrics(prometheus),
        on_unreadable=projection.unreadable,
    )
    readiness.add("stores", directory.status)
    readiness.add("projection", consumer.status)
    readiness.add("outbox", relay.status)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await migrate(settings.database_url, LIBRARY_MIGRATIONS, MIGRATIONS)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(registry)
            await stack.enter_async_context(pool)
            await stack.enter_async_context(producer)
            loops = background(
                readiness,
                stores=directory.run(),
                projection=consumer.run(),
                outbox=relay.run(),
                changes=changes.run(),
            )
            await stack.enter_async_context(loops)
            await directory.wait_ready()
            yield

    app = create_app(
        title="Trolleybus analytics",
        description="Figures drawn from the log: what was left, written to and recovered, and what the messages earned.",
        settings=settings,
        readiness=readiness,
        registry=prometheus,
        lifespan=lifespan,
        routers=[
            api_router(settings, directory, figures, changes, metrics),
            pages_router(settings, directory, figures),
        ],
        static=STATIC,
    )
    app.state.consumer = consumer
    app.state.directory = directory
    return app

"""Messaging's composition: the only place that builds connections."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services.messaging import facts, handlers
from services.messaging.api.operators import operators_router
from services.messaging.api.recipients import recipients_router
from services.messaging.barrier import PurchaseBarrier, TopicEnds
from services.messaging.calls import Calls, CallSettings
from services.messaging.gate import Gate
from services.messaging.keeping import Keeping
from services.messaging.letters import Letters
from services.messaging.links import MessageLinks
from services.messaging.metrics import MessagingMetrics
from services.messaging.pages import STATIC, TEMPLATES, pages_router
from services.messaging.recipients import Recipients
from services.messaging.settings import MessagingSettings
from services.messaging.transports import Transport
from services.messaging.transports.inbox import InboxTransport
from services.messaging.transports.smtp import SmtpServer, SmtpTransport
from trolleybus.codec import Codec
from trolleybus.consumer import Consumer, ConsumerMetrics
from trolleybus.contracts.identity import IdentityHasher, installation_secrets
from trolleybus.db import LIBRARY_MIGRATIONS, Pool, migrate, open_pool
from trolleybus.envelope import Envelopes
from trolleybus.http import Readiness, create_app
from trolleybus.outbox import OutboxMetrics, OutboxRelay
from trolleybus.pages import Pages
from trolleybus.producer import RecordProducer
from trolleybus.registry import Registry
from trolleybus.runtime import background
from trolleybus.security import Links
from trolleybus.store_directory import StoreDirectory
from trolleybus.topics import Topics

MIGRATIONS = Path(__file__).parent / "migrations"
BARRIER_TOPICS = ("orders", "consent", "customer.updates")


def build(settings: MessagingSettings) -> FastAPI:
    """The service, ready to be run; connections open when it starts."""
    prometheus = CollectorRegistry()
    metrics = MessagingMetrics(prometheus)
    consumer_metrics = ConsumerMetrics(prometheus)
    readiness = Readiness()
    topics = Topics.load(settings.topic_prefix)
    barrier_topics = [topics[name] for name in BARRIER_TOPICS]
    bootstrap = settings.kafka_bootstrap_servers
    registry = Registry(settings.schema_registry_url)
    codec = Codec(registry, topics)
    envelopes = Envelopes(settings.service, topics, codec)
    producer = RecordProducer(bootstrap, envelopes)
    directory = StoreDirectory(topics["stores"], bootstrap, codec)
    # The projection has connections of its own: a queue of mails to be settled must not hold it back.
    projection_pool = open_pool(settings.database_url, name="projection", max_size=5)
    pool = open_pool(settings.database_url, name="gate", max_size=12)
    links = MessageLinks(Links(settings.signing_keys), settings.messaging_url)
    transport = _transport(settings, pool)

    gate_group = f"{settings.topic_prefix}messaging.gate"
    projection = Consumer(
        service=settings.service,
        group=gate_group,
        topics=barrier_topics,
        bootstrap=bootstrap,
        codec=codec,
        pool=projection_pool,
        handler=handlers.project,
        on_unreadable=handlers.Holding(settings.service, topics),
        dead_letters=topics,
        metrics=consumer_metrics,
    )
    ends = TopicEnds(bootstrap, barrier_topics)
    gate = Gate(
        pool=pool,
        barrier=PurchaseBarrier(
            ends=ends,
            topics=barrier_topics,
            consumer=gate_group,
            progress=projection.progress,
            pool=pool,
            wait_s=settings.barrier_wait_seconds,
            metrics=metrics,
        ),
        stores=directory,
        calls=Calls(
            pool=pool,
            transport=transport,
            letters=Letters(links, open_pixel=settings.open_pixel),
            envelopes=envelopes,
            metrics=metrics,
            settings=CallSettings(
                lease_s=settings.call_lease_seconds,
                retry_first_s=settings.retry_first_seconds,
                retry_longest_s=settings.retry_longest_seconds,
            ),
        ),
        channels=transport.channels,
        envelopes=envelopes,
        metrics=metrics,
        batch=settings.claim_batch,
        lease_s=settings.claim_lease_seconds,
        poll_s=settings.poll_seconds,
        drain_s=settings.drain_timeout_seconds,
    )
    hasher = IdentityHasher(installation_secrets(settings.installation_secret.get_secret_value()))
    requests = Consumer(
        service=settings.service,
        group=f"{settings.topic_prefix}messaging.requests",
        topics=[topics["messaging.requests"]],
        bootstrap=bootstrap,
        codec=codec,
        pool=projection_pool,
        handler=handlers.Requests(hasher),
        dead_letters=topics,
        metrics=consumer_metrics,
        after_commit=gate.wake,
    )
    keeping = Keeping(
        pool=pool, transport=transport, envelopes=envelopes, metrics=metrics, look_up_s=settings.look_up_seconds
    )
    relay = OutboxRelay(settings.database_url, producer, metrics=OutboxMetrics(prometheus))
    readiness.add("stores", directory.status)
    readiness.add("projection", projection.status)
    readiness.add("requests", requests.status)
    readiness.add("gate", gate.status)
    readiness.add("outbox", relay.status)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(registry)
            await codec.prepare(*facts.WRITTEN)
            await migrate(settings.database_url, LIBRARY_MIGRATIONS, MIGRATIONS)
            await stack.enter_async_context(projection_pool)
            await stack.enter_async_context(pool)
            await stack.enter_async_context(producer)
            await stack.enter_async_context(ends)
            stack.push_async_callback(transport.close)
            await stack.enter_async_context(
                background(
                    readiness,
                    stores_table=directory.run(),
                    projection_consumer=projection.run(),
                    requests_consumer=requests.run(),
                    gate_rounds=gate.run(),
                    keeping=keeping.run(),
                    outbox_relay=relay.run(),
                )
            )
            yield

    pages = Pages(settings, TEMPLATES)
    return create_app(
        title="Trolleybus messaging",
        description="Sends what campaigns asks for, unless the shopper bought, objected or sleeps.",
        settings=settings,
        readiness=readiness,
        registry=prometheus,
        lifespan=lifespan,
        static=STATIC,
        routers=[
            recipients_router(links, Recipients(pool, envelopes), directory, pages),
            operators_router(settings, pool, keeping),
            pages_router(settings, pool, keeping, pages),
        ],
    )


def _transport(settings: MessagingSettings, pool: Pool) -> Transport:
    if settings.transport == "smtp":
        return SmtpTransport(
            SmtpServer.parse(settings.smtp_url.get_secret_value()),
            connections=settings.smtp_connections,
            timeout_s=settings.smtp_timeout_seconds,
        )
    return InboxTransport(pool, settings.calls_at_once)

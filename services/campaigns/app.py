"""The composition of campaigns: the only place that builds connections."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services.campaigns.accounts.api import accounts_router
from services.campaigns.accounts.service import Accounts
from services.campaigns.audience.people import People
from services.campaigns.content.links import MessageLinks
from services.campaigns.handlers import Handlers
from services.campaigns.journeys.api import campaigns_router
from services.campaigns.journeys.campaigns import Campaigns, entry_levels_kept
from services.campaigns.journeys.handlers import Journeys
from services.campaigns.journeys.listing import Listing
from services.campaigns.journeys.turns import Turns
from services.campaigns.journeys.worker import StepWorker, now_ms
from services.campaigns.metrics import CampaignsMetrics
from services.campaigns.pages.routes import pages_router
from services.campaigns.settings import CampaignsSettings
from services.campaigns.stores.api import stores_router
from services.campaigns.stores.service import Stores
from trolleybus.codec import Codec
from trolleybus.consumer import Consumer, ConsumerMetrics
from trolleybus.contracts.customers import CustomerProfile
from trolleybus.contracts.identity import IdentityHasher, installation_secrets
from trolleybus.contracts.journeys import HeldOut, JourneyEntered, JourneyExited, JourneySkipped, StepDecided
from trolleybus.contracts.messages import MessageRequested, MessageWithdrawn
from trolleybus.contracts.stores import StoreConfig
from trolleybus.db import LIBRARY_MIGRATIONS, migrate, open_pool
from trolleybus.envelope import Envelopes
from trolleybus.http import Readiness, create_app
from trolleybus.outbox import OutboxMetrics, OutboxRelay
from trolleybus.producer import RecordProducer
from trolleybus.registry import Registry
from trolleybus.runtime import background
from trolleybus.security import Links, operator_required
from trolleybus.topics import Topics

MIGRATIONS = Path(__file__).parent / "migrations"
READ = ("recovery.carts", "customer.updates", "consent", "orders", "recovery.messages")
WRITTEN = (
    StoreConfig,
    CustomerProfile,
    JourneyEntered,
    HeldOut,
    StepDecided,
    JourneySkipped,
    JourneyExited,
    MessageRequested,
    MessageWithdrawn,
)


def build(settings: CampaignsSettings) -> FastAPI:
    """The service, ready to be run; connections open when it starts."""
    prometheus = CollectorRegistry()
    metrics = CampaignsMetrics(prometheus)
    readiness = Readiness()
    topics = Topics.load(settings.topic_prefix)
    registry = Registry(settings.schema_registry_url)
    codec = Codec(registry, topics)
    envelopes = Envelopes(settings.service, topics, codec)
    bootstrap = settings.kafka_bootstrap_servers
    producer = RecordProducer(bootstrap, envelopes)
    pool = open_pool(settings.database_url, name=settings.service, max_size=8 + settings.step_workers)
    relay = OutboxRelay(settings.database_url, producer, metrics=OutboxMetrics(prometheus))
    hasher = IdentityHasher(installation_secrets(settings.installation_secret.get_secret_value()))

    turns = Turns(
        people=People(hasher),
        links=MessageLinks(Links(settings.signing_keys), settings.messaging_url),
        sender_address=settings.sender_address,
        request_ttl_ms=settings.request_ttl_seconds * 1000,
    )
    workers = [
        StepWorker(
            pool=pool,
            envelopes=envelopes,
            turns=turns,
            metrics=metrics,
            clock=now_ms,
            batch=settings.step_batch,
            poll_seconds=settings.step_poll_seconds,
        )
        for _ in range(settings.step_workers)
    ]

    def wake() -> None:
        for worker in workers:
            worker.wake()

    handlers = Handlers(
        journeys=Journeys(contact_wait_ms=settings.contact_wait_seconds * 1000),
        envelopes=envelopes,
        metrics=metrics,
        clock=now_ms,
    )
    consumer = Consumer(
        service=settings.service,
        group=f"{settings.topic_prefix}{settings.service}",
        topics=[topics[name] for name in READ],
        bootstrap=bootstrap,
        codec=codec,
        pool=pool,
        handler=handlers.handle,
        dead_letters=topics,
        metrics=ConsumerMetrics(prometheus),
        on_unreadable=handlers.unreadable,
        after_commit=wake,
    )
    readiness.add("consumer", consumer.status)
    readiness.add("outbox", relay.status)
    for number, worker in enumerate(workers):
        readiness.add(f"steps-{number}", worker.status)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await migrate(settings.database_url, LIBRARY_MIGRATIONS, MIGRATIONS)
            await stack.enter_async_context(registry)
            await codec.prepare(*WRITTEN)
            await stack.enter_async_context(pool)
            await stack.enter_async_context(producer)
            await stack.enter_async_context(
                background(
                    readiness,
                    consumer=consumer.run(),
                    outbox=relay.run(),
                    **{f"steps-{number}": worker.run() for number, worker in enumerate(workers)},
                )
            )
            yield

    stores = Stores(pool, envelopes, now_ms, entry_levels_kept)
    campaigns = Campaigns(pool, now_ms)
    listing = Listing(pool)
    operator = operator_required(settings)
    secure = settings.campaigns_url.startswith("https://")
    return create_app(
        title="Trolleybus campaigns",
        description="Stores and their keys; campaigns, their words and their journeys; signing in.",
        settings=settings,
        readiness=readiness,
        registry=prometheus,
        lifespan=lifespan,
        routers=[
            stores_router(stores, campaigns, operator),
            campaigns_router(campaigns, listing, operator),
            accounts_router(Accounts(pool, settings, now_ms), operator, secure=secure),
            pages_router(settings, stores, campaigns, listing, operator),
        ],
    )

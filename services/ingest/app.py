"""The gateway's composition: the only place that builds connections."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services.ingest.adapters.native_short import short_way
from services.ingest.api.admission import Admission
from services.ingest.api.cors import Cors, Origins
from services.ingest.api.intake import Intake
from services.ingest.api.native import NativeIntake
from services.ingest.api.plain import PlainIntake
from services.ingest.api.routes import describe, native_router, takers, track
from services.ingest.api.sdk import sdk_router
from services.ingest.api.segment import MOST_CALLS, SegmentIntake, segment_router
from services.ingest.api.shopify import ShopifyWebhooks, shopify_router
from services.ingest.countries import Countries
from services.ingest.domain.pace import Pace
from services.ingest.gateway import Gateway
from services.ingest.identity.map import IdentityMap
from services.ingest.integrations.activity import Activity
from services.ingest.integrations.api.access import manager_required
from services.ingest.integrations.api.routes import integrations_router
from services.ingest.integrations.directory import Integrations
from services.ingest.integrations.sealing import KeyRing
from services.ingest.integrations.service import IntegrationService
from services.ingest.keys.api import key_uses_router
from services.ingest.keys.uses import KeyUses
from services.ingest.limiter import RateLimiter
from services.ingest.metrics import IngestMetrics
from services.ingest.publisher import LARGEST_RECORD, Publisher
from services.ingest.redeliveries import Redeliveries
from services.ingest.sender import Sender
from services.ingest.settings import IngestSettings
from services.ingest.turns import Turns
from services.ingest.valkey import Valkey
from services.ingest.visitors import Visitors
from trolleybus.codec import Codec
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.customers import CustomerUpdated, IdentitiesLinked
from trolleybus.contracts.identity import IdentityHasher, installation_secrets
from trolleybus.contracts.orders import OrderChanged, OrderPlaced
from trolleybus.contracts.privacy import PrivacyRequested
from trolleybus.contracts.products import Product
from trolleybus.db import open_pool
from trolleybus.envelope import Envelopes
from trolleybus.http import Readiness, create_app
from trolleybus.http.fast import FastPaths
from trolleybus.http.metrics import HttpMetrics
from trolleybus.registry import Registry
from trolleybus.runtime import background, spare_the_collector
from trolleybus.store_directory import StoreDirectory
from trolleybus.topics import Topics

WRITTEN = (
    CartActivity,
    OrderPlaced,
    OrderChanged,
    CustomerUpdated,
    IdentitiesLinked,
    ConsentChanged,
    PrivacyRequested,
    Product,
)
WORK_EACH_PASS = 32
"""Events begun a pass of the event loop: enough that a pass is no burden, few enough that none waits long."""


def build(settings: IngestSettings) -> FastAPI:
    """The service, ready to be run; connections open when it starts."""
    prometheus = CollectorRegistry()
    metrics = IngestMetrics(prometheus)
    http_metrics = HttpMetrics(prometheus)
    readiness = Readiness()
    topics = Topics.load(settings.topic_prefix)
    registry = Registry(settings.schema_registry_url)
    codec = Codec(registry, topics)
    envelopes = Envelopes(settings.service, topics, codec)
    bootstrap = settings.kafka_bootstrap_servers
    sender = Sender(
        bootstrap,
        timeout_s=settings.ack_timeout_seconds,
        most_records=settings.max_records_in_flight,
        most_bytes=settings.max_record_bytes_in_flight,
    )
    directory = StoreDirectory(topics["stores"], bootstrap, codec)
    valkey = Valkey(settings.redis_url, settings.valkey_timeout_seconds, metrics)
    identities = IdentityMap(valkey, metrics)
    publisher = Publisher(
        sender,
        envelopes.wrap,
        metrics,
        max_in_flight=settings.max_records_in_flight,
        max_bytes_in_flight=settings.max_record_bytes_in_flight,
        slow_after_s=settings.slow_ack_seconds,
    )
    keys = KeyRing.parse(settings.integration_keys.get_secret_value())
    integrations = Integrations(settings.database_url, keys)
    pool = open_pool(settings.database_url, name=settings.service, min_size=0, max_size=4)
    activity = Activity(pool)
    uses = KeyUses(pool)
    admission = Admission(
        directory=directory,
        limiter=RateLimiter(
            valkey,
            per_second=settings.rate_limit_per_second,
            burst=settings.rate_limit_burst,
            key_part=settings.rate_limit_key_share,
            largest=settings.max_events_per_request,
        ),
        turns=Turns(each_pass=WORK_EACH_PASS, most_waiting=settings.max_requests_waiting),
        publisher=publisher,
        metrics=metrics,
        uses=uses,
        now=_now_ms,
    )
    gateway = Gateway(publisher, identities, metrics)
    intake = Intake(
        hasher=IdentityHasher(installation_secrets(settings.installation_secret.get_secret_value())),
        gateway=gateway,
        pace=Pace(most_a_minute=settings.bot_events_per_minute),
        visitors=Visitors(
            country_header=settings.country_header,
            address_header=settings.address_header,
            countries=Countries(settings.country_database) if settings.country_database else None,
            pace=Pace(most_a_minute=settings.bot_events_per_minute_per_address),
        ),
    )
    native = NativeIntake(
        admission, intake, max_events=settings.max_events_per_request, max_bytes=settings.max_body_bytes
    )
    plain = PlainIntake(admission, intake, gateway, native, max_events=settings.max_events_per_request)
    segment = SegmentIntake(
        admission, intake, max_calls=min(MOST_CALLS, settings.rate_limit_burst), max_bytes=settings.max_body_bytes
    )
    tracking = track(short_way(codec, envelopes, LARGEST_RECORD))
    webhooks = ShopifyWebhooks(
        admission,
        intake,
        stores=directory,
        shops=integrations,
        health=activity,
        redeliveries=Redeliveries(valkey),
        metrics=metrics,
        answer_s=settings.webhook_answer_seconds,
    )
    manager = manager_required(settings, directory, _now_ms)
    readiness.add("stores", directory.status)
    readiness.add("kafka", publisher.status)
    readiness.add("valkey", valkey.status)
    readiness.add("integrations", integrations.status)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(registry)
            await stack.enter_async_context(aclosing(valkey))
            await stack.enter_async_context(aclosing(identities))
            await codec.prepare(*WRITTEN)
            await stack.enter_async_context(sender)
            await stack.enter_async_context(pool)
            stack.push_async_callback(activity.flush)
            stack.push_async_callback(uses.flush)
            await stack.enter_async_context(
                background(
                    readiness,
                    stores=directory.run(),
                    kafka=sender.run(),
                    identities=identities.run(),
                    integrations=integrations.run(),
                    activity=activity.run(),
                    key_uses=uses.run(),
                )
            )
            await directory.wait_ready()
            spare_the_collector()
            yield

    origins = Origins(directory)
    app = create_app(
        title="Trolleybus ingest",
        description="Takes what a storefront sends; answers 202 when Kafka has it.",
        settings=settings,
        readiness=readiness,
        registry=prometheus,
        metrics=http_metrics,
        lifespan=lifespan,
        routers=[
            native_router(native, tracking),
            sdk_router(),
            segment_router(segment, settings.ingest_url),
            shopify_router(webhooks),
            integrations_router(
                IntegrationService(pool, keys, integrations, _now_ms), directory, manager, settings.ingest_url
            ),
            key_uses_router(uses, manager),
        ],
        front=lambda inner: Cors(inner, origins),
        fast_paths=FastPaths(takers(plain, tracking), http_metrics, settings.max_body_bytes, origins.headers_for),
    )
    _describe(app)
    return app


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _describe(app: FastAPI) -> None:
    """The document with the bodies' schemas, made once."""
    plain = app.openapi
    made: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not made:
            made.update(describe(plain()))
        return made

    app.openapi = openapi  # type: ignore[method-assign]  # the framework's own way to extend the document

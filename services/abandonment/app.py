"""The detector's composition: the only place that builds connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import faust
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services.abandonment.changelog import ensure_changelog
from services.abandonment.detector import Detector
from services.abandonment.kafka import Ends, SteadyClock, make_app, quieten
from services.abandonment.log_reader import LogReader
from services.abandonment.metrics import AbandonmentMetrics
from services.abandonment.settings import AbandonmentSettings
from services.abandonment.store_settings import StoreSettings
from services.abandonment.table import CartTable, changelog_name
from services.abandonment.worker import Worker
from trolleybus.codec import Codec
from trolleybus.contracts.recovery import CartAbandoned, CartCleared, CartExpired, CartRecovered, CartResumed
from trolleybus.envelope import Envelopes
from trolleybus.http import PartStatus, Readiness, create_app
from trolleybus.producer import RecordProducer
from trolleybus.registry import Registry
from trolleybus.runtime import background
from trolleybus.store_directory import StoreDirectory
from trolleybus.topics import Topics

WRITTEN = (CartAbandoned, CartResumed, CartCleared, CartRecovered, CartExpired)


class WorkerStopped(Exception):
    """Faust stopped by itself; the log has said why."""


def build(settings: AbandonmentSettings) -> FastAPI:
    """The service, ready to be run; connections open when it starts."""
    quieten()
    prometheus = CollectorRegistry()
    metrics = AbandonmentMetrics(prometheus)
    readiness = Readiness()
    topics = Topics.load(settings.topic_prefix)
    source = topics["cart.activity"]
    registry = Registry(settings.schema_registry_url)
    codec = Codec(registry, topics)
    envelopes = Envelopes(settings.service, topics, codec)
    bootstrap = settings.kafka_bootstrap_servers
    producer = RecordProducer(bootstrap, envelopes)
    directory = StoreDirectory(topics["stores"], bootstrap, codec)
    store_settings = StoreSettings(directory)
    group = f"{settings.topic_prefix}abandonment"
    worker: Worker | None = None
    readiness.add("stores", directory.status)
    readiness.add("detector", lambda: worker.status() if worker else PartStatus(ok=False, detail="starting"))

    async def detect(partitions: int) -> None:
        nonlocal worker
        ends = Ends(SteadyClock())
        faust_app = make_app(
            group,
            bootstrap=bootstrap,
            ends=ends,
            fetch_wait_ms=settings.fetch_wait_ms,
            session_timeout_seconds=settings.session_timeout_seconds,
        )
        table = CartTable(faust_app, partitions)
        detector = Detector(
            topic=source,
            dead_letters=topics.dead_letter(settings.service, source.name),
            codec=codec,
            envelopes=envelopes,
            producer=producer,
            settings=store_settings,
            keep=table.keep,
            ends=ends,
            metrics=metrics,
            clock_margin_ms=settings.clock_margin_ms,
            batch=settings.batch_records,
        )
        worker = Worker(
            app=faust_app,
            table=table,
            detector=detector,
            log_reader=LogReader(bootstrap, source, settings.batch_records),
            topic=source,
            partitions=partitions,
            settings=store_settings.known,
            metrics=metrics,
            tick_seconds=settings.tick_seconds,
            batch=settings.batch_records,
        )
        await run_until_crashed(faust_app)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(registry)
            await codec.prepare(*WRITTEN)
            partitions = await ensure_changelog(bootstrap, changelog_name(group), source)
            await stack.enter_async_context(producer)
            await stack.enter_async_context(background(readiness, stores=directory.run()))
            await directory.wait_ready()
            await stack.enter_async_context(background(readiness, detector=detect(partitions)))
            yield

    return create_app(
        title="Trolleybus abandonment",
        description="Notices, in event time, the carts that were left.",
        settings=settings,
        readiness=readiness,
        registry=prometheus,
        lifespan=lifespan,
    )


async def run_until_crashed(app: faust.App) -> None:
    """Run a Faust application inside this loop, without its own worker; stops it when cancelled."""
    try:
        await app.start()
        while not (app.crashed or app.should_stop):  # noqa: ASYNC110 - Faust gives no event for both
            await asyncio.sleep(0.2)
        raise WorkerStopped(f"Faust stopped: {app.crash_reason!r}")
    finally:
        await app.stop()

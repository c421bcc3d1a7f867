"""The detector's composition: the only place that builds connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services.abandonment.activities import activities
from services.abandonment.api import CartView, Elsewhere, Restoring, carts_router
from services.abandonment.changelog import find_out
from services.abandonment.feed import Feed
from services.abandonment.frame import Frame, changelog_name, quieten
from services.abandonment.heap import giving_back
from services.abandonment.journal import Journal
from services.abandonment.log_ends import LogEnds
from services.abandonment.metrics import AbandonmentMetrics
from services.abandonment.partition import Partition
from services.abandonment.restore import Changelog
from services.abandonment.settings import AbandonmentSettings
from services.abandonment.shard import Shard
from services.abandonment.store import Disk
from services.abandonment.store_settings import StoreSettings
from services.abandonment.tasks import run_together
from services.abandonment.tellings import Tellings
from services.abandonment.watch import Pulse
from services.abandonment.work import Work
from services.abandonment.worker import Worker
from trolleybus.codec import Codec
from trolleybus.contracts.recovery import CartAbandoned, CartCleared, CartExpired, CartRecovered, CartResumed
from trolleybus.envelope import Envelopes
from trolleybus.http import PartStatus, Readiness, create_app
from trolleybus.registry import Registry
from trolleybus.runtime import background, spare_the_collector
from trolleybus.store_directory import StoreDirectory
from trolleybus.topics import Topics

WRITTEN = (CartAbandoned, CartResumed, CartCleared, CartRecovered, CartExpired)


def build(settings: AbandonmentSettings) -> FastAPI:
    """The service, ready to be run; connections open when it starts."""
    quieten()
    spare_the_collector()
    prometheus = CollectorRegistry()
    metrics = AbandonmentMetrics(prometheus)
    readiness = Readiness()
    topics = Topics.load(settings.topic_prefix)
    source = topics["cart.activity"]
    dead_letters = topics.dead_letter(settings.service, source.name)
    registry = Registry(settings.schema_registry_url)
    codec = Codec(registry, topics)
    bootstrap = settings.kafka_bootstrap_servers
    directory = StoreDirectory(topics["stores"], bootstrap, codec)
    store_settings = StoreSettings(directory)
    tellings = Tellings(Envelopes(settings.service, topics, codec), source, dead_letters)
    group = f"{settings.topic_prefix}abandonment"
    changelog = changelog_name(group)
    reader = activities(codec)
    pulse = Pulse()
    worker: Worker | None = None
    waits_for = "the settings of stores"
    readiness.add("stores", directory.status)
    readiness.add(
        "detector",
        lambda: worker.status() if worker else PartStatus(ok=False, detail=f"starting: waits for {waits_for}"),
    )

    def lookup(store_id: str, cart_id: str) -> CartView | Elsewhere | Restoring | None:
        return worker.lookup(store_id, cart_id) if worker else Restoring("starting")

    def waiting(reason: str) -> None:
        nonlocal waits_for
        waits_for = reason

    async def detect() -> None:
        nonlocal worker
        await directory.wait_ready()
        partitions, cluster = await find_out(bootstrap, changelog, source, lambda: codec.prepare(*WRITTEN), waiting)
        disk = Disk(settings.state_dir.absolute() / cluster / group)
        worker = Worker(
            disk=disk,
            changelog=Changelog(bootstrap, changelog),
            new_journal=lambda number: Journal(
                bootstrap,
                transactional_id=f"{group}-{number}",
                changelog=changelog,
                partition=number,
            ),
            new_feed=lambda: Feed(
                bootstrap, source, fetch_wait_ms=settings.fetch_wait_ms, batch=settings.batch_records
            ),
            new_log_ends=lambda: LogEnds(bootstrap, source.full_name),
            new_shard=lambda number, store: Shard(number, store, store_settings, reader),
            new_partition=lambda shard, journal, store: Partition(
                shard, journal, store, tellings, metrics, settings.clock_margin_ms
            ),
            new_work=lambda partitions, feed, log_ends, group: Work(
                partitions,
                feed=feed,
                log_ends=log_ends,
                group=group,
                codec=codec,
                settings=store_settings,
                metrics=metrics,
                tick_seconds=settings.tick_seconds,
            ),
            settings=store_settings,
            metrics=metrics,
            partitions=partitions,
        )
        frame = Frame(
            group,
            bootstrap=bootstrap,
            source=source.full_name,
            partitions=partitions,
            standby_replicas=settings.standby_replicas,
            session_timeout_seconds=settings.session_timeout_seconds,
            url=settings.abandonment_url,
            directory=disk.directory,
            member=worker,
        )
        worker.join(frame)
        try:
            await run_together(worker.run(), frame.run(), beating(pulse))
        finally:
            disk.close()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(registry)
            await stack.enter_async_context(
                background(readiness, stores=directory.run(), detector=detect(), heap=giving_back())
            )
            yield

    return create_app(
        title="Trolleybus abandonment",
        description="Notices, in event time, the carts that were left.",
        settings=settings,
        readiness=readiness,
        routers=[carts_router(settings, lookup)],
        registry=prometheus,
        lifespan=lifespan,
    )


async def beating(pulse: Pulse) -> None:
    """Say that the loop lives."""
    pulse.start()
    while True:
        pulse.beat()
        await asyncio.sleep(1.0)

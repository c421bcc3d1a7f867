"""Whether memory stays as it is, however long the detector works."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from itertools import chain
from random import Random
from statistics import median
from threading import Event as Stop

from tests.bench.detector.mix import OF_A_VISIT, RETURNS, Event, browsed, opening
from tests.bench.detector.sizes import carts, events
from tests.bench.detector.worker import Worker, fresh_worker
from tests.bench.detector.world import World, open_world
from tests.bench.figures import Figure
from tests.bench.ground import OTHER_CORE, Ground

EVENTS, CARTS = 20_000_000, 1_000_000
LEVELS = (30, 3_600, 86_400)
"""A silence longer than the first follows each visit: every cart is left and resumed all the while."""
PACE = 13_000
"""Events a second at most. Written faster, the log would get ahead of the detector, and its end would be another load than
its start."""
AHEAD = 300_000
"""Records that the writer may be ahead of the detector: Kafka deletes what is older than the retention, read or not."""
KEPT_MIB = 256
SHOWN_EACH = 300
"""Samples, some each second."""
WITHIN_S = 7200.0
EARLY, LATE = (0.15, 0.25), (0.9, 1.0)


class Throttle:
    """Lets the writer run ahead of the detector by so much and no more."""

    def __init__(self) -> None:
        self.handled = 0.0

    def passing(self, log: Iterator[Event], stop: Stop) -> Iterator[Event]:
        for number, event in enumerate(log):
            while number - self.handled > AHEAD and not stop.is_set():
                time.sleep(0.05)
            yield event


async def measure(ground: Ground) -> AsyncIterator[Figure]:
    """detector.rss_growth_over_20m_events_mib."""
    count, many = events(EVENTS), carts(CARTS)
    ground.pin(OTHER_CORE, os.getpid())
    world = await open_world(ground, "memory.", LEVELS)
    await asyncio.to_thread(world.keep_little, KEPT_MIB)
    await ground.pin_servers(OTHER_CORE)
    async with fresh_worker(world, "detector") as worker:
        samples = await _work(world, worker, many, count)
        fired = await worker.total("effects_total", record="CartAbandoned")
    early, late = (_between(samples, many + count * part[0], many + count * part[1]) for part in (EARLY, LATE))
    tenths = [_between(samples, many + count * tenth / 10, many + count * (tenth + 1) / 10) for tenth in range(10)]
    yield Figure(
        name="detector.rss_growth_over_20m_events_mib",
        value=round(late - early, 1),
        unit="MiB",
        note=f"resident memory {early:,.0f} MiB after a fifth of {count:,} events and {late:,.0f} MiB at their end (medians "
        f"of a tenth each), highest {max(rss for _, rss in samples):,.0f}; each tenth {', '.join(f'{one:,.0f}' for one in tenths)}; "
        f"{many:,} open carts, in visits of {OF_A_VISIT} events and {100 * RETURNS:.0f} % to any cart, {PACE:,} events/s, "
        f"{fired:,.0f} CartAbandoned",
    )


async def _work(world: World, worker: Worker, many: int, count: int) -> list[tuple[float, float]]:
    """Write and detect beside each other; (records dealt with, resident MiB) all the while."""
    throttle, stop = Throttle(), Stop()
    samples: list[tuple[float, float]] = []

    def note(handled: float) -> None:
        throttle.handled = handled
        samples.append((handled, worker.rss_mib()))
        if len(samples) % SHOWN_EACH == 0:
            print(f"    {samples[-1][1]:,.0f} MiB after {handled:,.0f} records", flush=True)

    log = chain(opening(many), browsed(Random(1), count, many))
    writing = asyncio.create_task(asyncio.to_thread(world.write, throttle.passing(log, stop), PACE, stop))
    try:
        await worker.until(many + count, note, within_s=WITHIN_S)
    finally:
        stop.set()
        await writing
    return samples


def _between(samples: list[tuple[float, float]], start: float, end: float) -> float:
    return median([rss for handled, rss in samples if start <= handled <= end] or [samples[-1][1]])

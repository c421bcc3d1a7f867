"""What a million open carts cost: speed against ten thousand, and memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from itertools import chain
from random import Random
from statistics import median

from tests.bench.detector.mix import opening, spread
from tests.bench.detector.sizes import RUNS, carts, events
from tests.bench.detector.worker import fresh_worker
from tests.bench.detector.world import World, open_world
from tests.bench.figures import Figure, compared
from tests.bench.ground import OTHER_CORE, Ground

EVENTS, MANY, FEW = 1_000_000, 1_000_000, 10_000
LEVELS = (900, 3_600, 86_400)
EARLIER = 2
"""Events of each cart, beside the one that opens it, before the measured stretch."""
MIDDLE = (0.1, 0.9)


async def measure(ground: Ground) -> AsyncIterator[Figure]:
    """detector.rate_at_1m_carts, detector.rss_at_1m_carts_mib."""
    count, many = events(EVENTS), carts(MANY)
    few = max(1, many * FEW // MANY)
    ground.pin(OTHER_CORE, os.getpid())
    large, small = [await open_world(ground, prefix, LEVELS) for prefix in ("large.", "small.")]
    for world, number in ((large, many), (small, few)):
        print(f"  writing a log of {number:,} carts", flush=True)
        log = chain(opening(number), spread(Random(1), number * EARLIER + count, number))
        await asyncio.to_thread(world.write, log)
    await ground.pin_servers(OTHER_CORE)
    rates: list[float] = []
    bare: list[float] = []
    rss: list[float] = []
    pss: list[float] = []
    for run in range(RUNS):
        rate, highest, shared = await _stretch(large, many, count)
        rates.append(rate)
        rss.append(highest)
        pss.append(shared)
        bare.append((await _stretch(small, few, count))[0])
        print(f"  run {run + 1}: {rates[-1]:,.0f} and {bare[-1]:,.0f} events/s, {rss[-1]:,.0f} MiB", flush=True)
    note = (
        f"{many:,} open carts against {few:,}, both with {1 + EARLIER} events a cart before; then {count:,} events "
        f"uniformly over all carts, kinds as published but without orders, so that all stay open; "
        f"levels {', '.join(map(str, LEVELS))} s, none due"
    )
    yield compared("detector.rate_at_1m_carts", rates, bare, "events/s", note)
    yield Figure(
        name="detector.rss_at_1m_carts_mib",
        value=round(median(rss), 1),
        unit="MiB",
        note=f"the highest resident memory while working at {many:,} open carts, median of {RUNS} runs; "
        f"proportional set size at the end {median(pss):,.0f} MiB",
    )


async def _stretch(world: World, number: int, count: int) -> tuple[float, float, float]:
    """Events a second, the highest resident memory and the last proportional one (MiB)."""
    async with fresh_worker(world, "detector") as worker:
        filled = number * (1 + EARLIER)
        rss: list[float] = []
        steady = await worker.steady(
            filled + count * MIDDLE[0], filled + count * MIDDLE[1], lambda _: rss.append(worker.rss_mib())
        )
        waiting = await worker.total("timers_waiting")
        if waiting < number:
            raise RuntimeError(f"{waiting:,.0f} of {number:,} carts wait for a time: the others are not open")
        return steady.rate, max(rss), worker.pss_mib()

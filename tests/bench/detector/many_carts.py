"""What a million open carts cost: speed against ten thousand, and memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from itertools import chain
from random import Random
from statistics import median
from typing import NamedTuple

from tests.bench.detector.mix import AT_ONCE, OF_A_VISIT, RETURNS, browsed, opening, spread
from tests.bench.detector.sizes import RUNS, carts, events
from tests.bench.detector.worker import fresh_worker
from tests.bench.detector.world import World, open_world
from tests.bench.figures import Figure, compared
from tests.bench.ground import OTHER_CORE, Ground

EVENTS, MANY, FEW = 1_000_000, 1_000_000, 10_000
IN_VISITS = 4
"""Times EVENTS come in visits. RocksDB merges the rows of all partitions within some 20 s, every few minutes; a fourth of this is
too short to hold such a merge in each run or in none, and gave ratios from 0.77 to 0.98."""
LEVELS = (900, 3_600, 86_400)
EARLIER = 2
"""Events of each cart, beside the one that opens it, before the measured stretch."""
MIDDLE = (0.1, 0.9)


async def measure(ground: Ground) -> AsyncIterator[Figure]:
    """detector.rate_at_1m_carts, detector.rate_at_1m_carts_uniform, detector.rss_at_1m_carts_mib."""
    count, many = events(EVENTS), carts(MANY)
    few = max(1, many * FEW // MANY)
    ground.pin(OTHER_CORE, os.getpid())
    large, small = [await open_world(ground, prefix, LEVELS) for prefix in ("large.", "small.")]
    for world, number in ((large, many), (small, few)):
        print(f"  writing a log of {number:,} carts", flush=True)
        random = Random(1)
        earlier = chain(opening(number), spread(random, number * EARLIER, number))
        log = chain(earlier, browsed(random, IN_VISITS * count, number), spread(random, count, number))
        await asyncio.to_thread(world.write, log)
    await ground.pin_servers(OTHER_CORE)
    at_many: list[Stretch] = []
    at_few: list[Stretch] = []
    for run in range(RUNS):
        at_many.append(await _stretch(large, many, count))
        at_few.append(await _stretch(small, few, count))
        print(f"  run {run + 1}: {at_many[-1]}; {few:,} carts: {at_few[-1]}", flush=True)
    both = (
        f"{many:,} open carts against {few:,}, both with {1 + EARLIER} events a cart before; kinds as published but without "
        f"orders, so that all stay open; levels {', '.join(map(str, LEVELS))} s, none due"
    )
    yield compared(
        "detector.rate_at_1m_carts",
        [one.visits for one in at_many],
        [one.visits for one in at_few],
        "events/s",
        f"{IN_VISITS * count:,} events in visits of {OF_A_VISIT}, to {AT_ONCE:,} carts at a time, {100 * RETURNS:.0f} % of them to any other; {both}",
    )
    yield compared(
        "detector.rate_at_1m_carts_uniform",
        [one.uniform for one in at_many],
        [one.uniform for one in at_few],
        "events/s",
        f"the worst case: {count:,} events uniformly over all carts, so that nearly each reads another row; {both}",
    )
    yield Figure(
        name="detector.rss_at_1m_carts_mib",
        value=round(median(one.rss for one in at_many), 1),
        unit="MiB",
        note=f"the highest resident memory while working at {many:,} open carts, median of {RUNS} runs; "
        f"proportional set size at the end {median(one.pss for one in at_many):,.0f} MiB",
    )


class Stretch(NamedTuple):
    """Events a second, in visits and uniformly; the highest resident memory and the last proportional one (MiB)."""

    visits: float
    uniform: float
    rss: float
    pss: float

    def __str__(self) -> str:
        return f"{self.visits:,.0f} events/s in visits, {self.uniform:,.0f} uniformly, {self.rss:,.0f} MiB"


async def _stretch(world: World, number: int, count: int) -> Stretch:
    async with fresh_worker(world, "detector") as worker:
        filled = number * (1 + EARLIER)
        rss: list[float] = []
        rates = [
            await worker.steady(
                start + length * MIDDLE[0], start + length * MIDDLE[1], lambda _: rss.append(worker.rss_mib())
            )
            for start, length in ((filled, IN_VISITS * count), (filled + IN_VISITS * count, count))
        ]
        waiting = await worker.total("timers_waiting")
        if waiting < number:
            raise RuntimeError(f"{waiting:,.0f} of {number:,} carts wait for a time: the others are not open")
        return Stretch(rates[0].rate, rates[1].rate, max(rss), worker.pss_mib())

"""How fast the detector works through a log that is there already, against reading and decoding the same log."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from random import Random

from tests.bench.detector.facts import Sample
from tests.bench.detector.mix import visits
from tests.bench.detector.sizes import RUNS, carts, events
from tests.bench.detector.worker import SERVICE, fresh_worker
from tests.bench.detector.world import World, open_world
from tests.bench.figures import Figure, compared
from tests.bench.ground import MEASURED_CORE, OTHER_CORE, Ground

EVENTS, CARTS = 2_000_000, 200_000
LEVELS = (15, 40, 90)
WRITTEN_IN_S = 150
"""Time that the log tells of: a visit takes a fifth of it, so most carts go through all levels in it or soon after."""
MIDDLE = (0.15, 0.9)
"""The part of the log that is measured: after the start, before the end."""
PLAIN = "tests.bench.plain_detector"


async def measure(ground: Ground) -> AsyncIterator[Figure]:
    """detector.events_per_second, detector.transactions_cost."""
    count, many = events(EVENTS), carts(CARTS)
    world = await open_world(ground, "rate.", LEVELS)
    ground.pin(OTHER_CORE, os.getpid())
    await ground.pin_servers(OTHER_CORE)
    # A smaller log is written in less time, or its batches would be smaller too.
    pace = EVENTS / WRITTEN_IN_S
    print(f"  writing {count:,} events of {many:,} carts, {pace:,.0f} a second", flush=True)
    await asyncio.to_thread(world.write, visits(Random(1), count, many), pace)
    sample = Sample(world, many)
    ours: list[float] = []
    bare: list[float] = []
    told: list[Told] = []
    for run in range(RUNS):
        told.append(await _detect(world, sample, count))
        ours.append(told[-1].rate)
        bare.append(await asyncio.to_thread(_decode, world))
        print(f"  run {run + 1}: {ours[-1]:,.0f} events/s, {bare[-1]:,.0f} read and decoded", flush=True)
    note = (
        f"{count:,} events of {many:,} carts on {world.source.partitions} partitions, {world.mean_bytes()} bytes a value; "
        f"a third views, a third item changes of 1 to 3 items, the rest checkout steps, snapshots and orders; "
        f"levels {', '.join(map(str, LEVELS))} s; {told[-1].abandoned:,} CartAbandoned published in the measured part; "
        f"{told[-1].checked}; runs {', '.join(f'{one:,.0f}' for one in ours)}; "
        f"baseline: tests/bench/bare_detector.py (aiokafka and fastavro, no state), same core, same log, run by run in turn"
    )
    yield compared("detector.events_per_second", ours, bare, "events/s", note)
    yield await _cost(world, sample, count)


async def _cost(world: World, sample: Sample, count: int) -> Figure:
    """Rates with transactions and with a plain idempotent producer, in turn."""
    sure: list[float] = []
    plain: list[float] = []
    for run in range(RUNS):
        sure.append((await _detect(world, sample, count)).rate)
        plain.append((await _detect(world, sample, count, PLAIN)).rate)
        print(f"  run {run + 1}: {sure[-1]:,.0f} events/s, {plain[-1]:,.0f} without transactions", flush=True)
    note = "the detector's rate over that log; baseline: the same with a plain idempotent producer (tests/bench/plain_detector.py)"
    return compared("detector.transactions_cost", sure, plain, "events/s", note)


class Told:
    """What one run came to."""

    def __init__(self, rate: float, abandoned: float, checked: str) -> None:
        self.rate, self.abandoned, self.checked = rate, int(abandoned), checked


async def _detect(world: World, sample: Sample, count: int, module: str = SERVICE) -> Told:
    since = await asyncio.to_thread(world.ends, world.told)
    async with fresh_worker(world, "detector", module) as worker:
        await worker.until(count * MIDDLE[0])
        before = await worker.total("effects_total", record="CartAbandoned")
        steady = await worker.steady(count * MIDDLE[0], count * MIDDLE[1])
        after = await worker.total("effects_total", record="CartAbandoned")
        await worker.until(count)
        handled, parked = await worker.handled(), await worker.total("parked_total")
        if handled != count or parked:
            raise RuntimeError(f"{handled:,.0f} of {count:,} records were dealt with, and {parked:,.0f} parked")
        return Told(steady.rate, after - before, await sample.check(since))


def _decode(world: World) -> float:
    command = ["taskset", "-c", str(MEASURED_CORE), sys.executable, "-m", "tests.bench.bare_detector"]
    arguments = [world.bootstrap, world.env["SCHEMA_REGISTRY_URL"], world.source.full_name]
    done = subprocess.run([*command, *arguments], capture_output=True, check=True, text=True)
    return float(done.stdout)

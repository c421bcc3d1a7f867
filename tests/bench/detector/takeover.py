"""How long after kill -9 another process has taken over, whole."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from random import Random
from statistics import median
from threading import Event as Stop

from confluent_kafka import Consumer, TopicPartition

from tests.bench.detector.facts import header
from tests.bench.detector.mix import BROWSING, kinds, opening
from tests.bench.detector.sizes import RUNS, carts
from tests.bench.detector.templates import key_of
from tests.bench.detector.worker import Worker
from tests.bench.detector.world import PACE, World, open_world
from tests.bench.figures import Figure
from tests.bench.ground import OTHER_CORE, Ground
from trolleybus.contracts.partition import partition_of

CARTS = 1_000_000
LEVELS = (900, 3_600, 86_400)
PER_SECOND = 2_000
PROBES_FROM = 50_000_000
"""Numbers of the carts that are filled and emptied at once: each makes a CartCleared on its partition."""
PROBE_EVERY_S = 0.1
WITHIN_S = 300
QUIET_LOOKS = 10
"""Looks, half a second apart, at which nothing may be left to restore before a standby counts as warm."""


async def measure_cold(ground: Ground) -> AsyncIterator[Figure]:
    """detector.takeover_1m_carts_seconds: the only worker is killed, one that holds nothing is started that moment."""
    async with _traffic(ground, "cold.") as (world, traffic):
        taken: list[Takeover] = []
        worker = Worker(world, "detector-0")
        workers = [worker]
        try:
            await worker.start()
            await worker.until(world.written - PER_SECOND)
            for number in range(RUNS):
                successor = Worker(world, f"detector-{number + 1}")
                workers.append(successor)
                await _whole(world, traffic, worker)
                killed_at = await worker.kill()
                starting = asyncio.create_task(successor.start())
                await asyncio.sleep(0)  # It is a process from here on.
                taken.append(await traffic.taken_over(killed_at, successor, traffic.carts))
                await starting
                worker = successor
        finally:
            for one in workers:
                await one.stop()
        note = "a process without any state is started at the kill"
        yield _figure("detector.takeover_1m_carts_seconds", taken, traffic, note)


async def measure_standby(ground: Ground) -> AsyncIterator[Figure]:
    """detector.takeover_standby_seconds: one of two workers is killed, the other one has its carts as a standby."""
    async with _traffic(ground, "standby.") as (world, traffic):
        taken: list[Takeover] = []
        workers = [Worker(world, f"detector-{number}", STANDBY_REPLICAS="1") for number in range(RUNS + 2)]
        try:
            await asyncio.gather(workers[0].start(), workers[1].start())
            for number in range(RUNS):
                first, second = workers[number], workers[number + 1]
                await _whole(world, traffic, first, second)
                killed_at = await first.kill()
                taken.append(await traffic.taken_over(killed_at, second, traffic.carts))
                await workers[number + 2].start()
        finally:
            for one in workers:
                await one.stop()
        note = "two workers with STANDBY_REPLICAS=1, the one with half of the carts is killed"
        yield _figure("detector.takeover_standby_seconds", taken, traffic, note)


class Takeover:
    """Seconds from the kill until facts came from every partition, and until /readyz was content."""

    def __init__(self, told: float, ready: float) -> None:
        self.told, self.ready = told, ready

    @property
    def whole(self) -> float:
        return max(self.told, self.ready)


class Traffic:
    """Events over all carts, and probes on every partition, as long as it runs; what came of the probes."""

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self.carts = number
        self._written_at: dict[bytes, float] = {}
        self._told: list[tuple[bytes, int, float]] = []  # (key, partition, append in s)
        self._stop = Stop()

    def stop(self) -> None:
        self._stop.set()

    def write(self) -> None:
        """Until it is stopped."""
        producer, random = self._world.producer(), Random(2)
        probes, probe_at = self._probes(), 0.0
        began = time.monotonic()
        for number, kind in enumerate(kinds(random, BROWSING), 1):
            self._world.put(producer, kind, int(random.random() * self.carts))
            if time.monotonic() > probe_at:
                probe_at = time.monotonic() + PROBE_EVERY_S
                for _ in range(self._world.source.partitions):
                    cart = next(probes)
                    self._written_at[key_of(cart)] = time.time()
                    self._world.put(producer, "lines_added", cart)
                    self._world.put(producer, "cart_emptied", cart)
            if number % (PACE // 10) == 0:
                time.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
                if self._stop.is_set():
                    break
        producer.flush(30)

    def _probes(self) -> Iterator[int]:
        """A new cart of each partition in turn."""
        number, partitions = PROBES_FROM, self._world.source.partitions
        while True:
            for partition in range(partitions):
                while partition_of(key_of(number), partitions) != partition:
                    number += 1
                yield number
                number += 1

    def listen(self, starts: list[TopicPartition]) -> None:
        """Until it is stopped."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._world.bootstrap,
                "group.id": "trolleybus-bench",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        consumer.assign(starts)
        try:
            while not self._stop.is_set():
                for message in consumer.consume(500, timeout=0.1):
                    if message.error() is None and header(message, "ce_type").endswith(".CartCleared"):
                        self._told.append(
                            (message.key() or b"", message.partition() or 0, message.timestamp()[1] / 1000)
                        )
        finally:
            consumer.close()

    def first_told(self, killed_at: float) -> dict[int, float]:
        """Of each partition, when a fact about a probe that was written after the kill came to the topic."""
        first: dict[int, float] = {}
        for key, partition, at in list(self._told):
            if self._written_at.get(key, 0.0) > killed_at and partition not in first:
                first[partition] = at
        return first

    async def taken_over(self, killed_at: float, successor: Worker, number: int) -> Takeover:
        """Wait until the successor is whole: ready, with all partitions and carts, telling facts from each."""
        partitions = self._world.source.partitions
        deadline = time.time() + WITHIN_S
        ready_at = 0.0
        while True:
            if not ready_at and await _holds(successor, partitions, number):
                ready_at = time.time()
            told = self.first_told(killed_at)
            if ready_at and len(told) == partitions:
                taken = Takeover(max(told.values()) - killed_at, ready_at - killed_at)
                print(
                    f"  taken over: ready after {taken.ready:.1f} s, facts from all partitions after {taken.told:.1f} s",
                    flush=True,
                )
                return taken
            if time.time() > deadline:
                raise TimeoutError(
                    f"not taken over within {WITHIN_S} s: ready {bool(ready_at)}, facts from partitions {sorted(told)}"
                )
            await asyncio.sleep(0.05)


@asynccontextmanager
async def _traffic(ground: Ground, prefix: str) -> AsyncIterator[tuple[World, Traffic]]:
    """A log with all carts in it, and traffic that goes on."""
    ground.pin(OTHER_CORE, os.getpid())
    world = await open_world(ground, prefix, LEVELS)
    await ground.pin_servers(OTHER_CORE)
    number = carts(CARTS)
    print(f"  writing a log of {number:,} carts", flush=True)
    await asyncio.to_thread(world.write, opening(number))
    traffic = Traffic(world, number)
    ends = await asyncio.to_thread(world.ends, world.told)
    running = [asyncio.create_task(asyncio.to_thread(work)) for work in (traffic.write, lambda: traffic.listen(ends))]
    try:
        yield world, traffic
    finally:
        traffic.stop()
        await asyncio.gather(*running)


async def _whole(world: World, traffic: Traffic, *workers: Worker) -> None:
    """Wait until the workers together hold every cart, follow the traffic, and have nothing left to restore."""
    deadline = time.monotonic() + WITHIN_S * 2
    quiet = 0
    while quiet < QUIET_LOOKS:
        quiet = quiet + 1 if await _settled(world, traffic, *workers) else 0
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"{', '.join(one.name for one in workers)} did not hold all carts within {WITHIN_S * 2} s"
            )
        await asyncio.sleep(0.5)


async def _settled(world: World, traffic: Traffic, *workers: Worker) -> bool:
    if not all([await one.ready() for one in workers]):
        return False
    owned = [await one.partitions() for one in workers]
    return (
        all(owned)
        and len(set[str]().union(*owned)) == world.source.partitions
        and sum([await one.total("timers_waiting") for one in workers]) >= traffic.carts
        and sum([await one.total("lag_records") for one in workers]) < PER_SECOND
        and sum([await one.total("recovery_remaining_records") for one in workers]) < PER_SECOND
    )


async def _holds(worker: Worker, partitions: int, number: int) -> bool:
    """Whether it is ready with all partitions and carts."""
    return (
        await worker.ready()
        and len(await worker.partitions()) == partitions
        and await worker.total("timers_waiting") >= number
    )


def _figure(name: str, taken: list[Takeover], traffic: Traffic, how: str) -> Figure:
    def of(part: Callable[[Takeover], float]) -> str:
        return ", ".join(f"{part(one):.1f}" for one in taken)

    return Figure(
        name=name,
        value=round(median(one.whole for one in taken), 2),
        unit="s",
        note=f"{traffic.carts:,} carts, {PER_SECOND:,} events/s go on; {how}; from kill -9 until /readyz is 200 with all "
        f"partitions and carts ({of(lambda one: one.ready)} s) and facts caused after the kill stand on every partition "
        f"({of(lambda one: one.told)} s)",
    )

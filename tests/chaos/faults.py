"""What befalls the detectors and their brokers: each fault drawn from a seed, done, and undone."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.chaos.cluster import Cluster
from tests.chaos.proxy import FAIR, Weather
from tests.chaos.workers import Slot, Workers

SESSION_S = 6.0
KINDS = ("kill", "join", "leave", "stop", "leader", "proxy", "clock")
AT_ONCE = 3  # Faults that may lie over each other.


@dataclass(slots=True)
class Fault:
    """One that happened, in Unix ms; `ended` is when what it took away was back."""

    kind: str
    began: int
    target: str = ""
    detail: str = ""
    ended: int = 0
    recovered: bool = True


@dataclass
class Scene:
    """What faults are done to; `source` is the full name of the topic that the detectors read."""

    workers: Workers
    source: str
    cluster: Cluster | None = None
    broker_down: bool = False
    blown: bool = False
    stepped: set[int] = field(default_factory=set)


Report = Callable[[Fault], None]


class Faults:
    """A bag of faults, one after another with random pauses, some lying over others."""

    def __init__(self, scene: Scene, random: Random, wanted: Mapping[str, int], pause: tuple[float, float]) -> None:
        self._scene, self._random, self._pause = scene, random, pause
        bag = [kind for kind, count in wanted.items() for _ in range(count)]
        random.shuffle(bag)
        self._bag = bag
        self._strikes: dict[str, Callable[[Fault, Random], Coroutine[Any, Any, bool]]] = {
            "kill": self._kill,
            "join": self._join,
            "leave": self._leave,
            "stop": self._stop,
            "leader": self._leader,
            "proxy": self._proxy,
            "clock": self._clock,
        }
        self.done: list[Fault] = []

    def counts(self) -> Counter[str]:
        return Counter(fault.kind for fault in self.done)

    async def run(self, report: Report) -> None:
        """Until the bag is empty and everything is back."""
        under_way: set[asyncio.Task[None]] = set()
        try:
            while self._bag:
                await asyncio.sleep(self._random.uniform(*self._pause))
                while len(under_way) >= AT_ONCE or (kind := self._next()) is None:
                    if under_way:
                        await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                    under_way = {task for task in under_way if not _over(task)}
                    await asyncio.sleep(0.1)
                self._bag.remove(kind)
                fault = Fault(kind, _now())
                self.done.append(fault)
                under_way.add(asyncio.create_task(self._one(fault, Random(self._random.random()), report)))
            await asyncio.gather(*under_way)
        finally:
            for task in under_way:
                task.cancel()

    async def _one(self, fault: Fault, random: Random, report: Report) -> None:
        fault.recovered = await self._strikes[fault.kind](fault, random)
        fault.ended = _now()
        report(fault)

    def _next(self) -> str | None:
        """The next in the bag that makes sense now."""
        workers = self._scene.workers
        possible = {
            "kill": bool(workers.running()),
            "join": bool(workers.idle()),
            "leave": len(workers.running()) > 1,
            "stop": bool(workers.running()),
            "leader": self._scene.cluster is not None and not self._scene.broker_down,
            "proxy": self._scene.cluster is not None and not self._scene.blown,
            "clock": any(slot.number not in self._scene.stepped for slot in workers.running()),
        }
        return next((kind for kind in self._bag if possible[kind]), None)

    async def _kill(self, fault: Fault, random: Random) -> bool:
        workers = self._scene.workers
        slot = self._some(workers.running(), fault, random)
        away = random.choice((random.uniform(0.0, 1.0), random.uniform(1.0, 12.0)))
        lost = random.random() < 0.2
        fault.detail = f"away {away:.1f} s" + (", disk lost" if lost else "")
        await workers.kill(slot)
        await asyncio.sleep(away)
        if lost:
            workers.lose_disk(slot)
        await workers.start(slot)
        return await workers.ready(slot)

    async def _join(self, fault: Fault, random: Random) -> bool:
        workers = self._scene.workers
        slot = self._some(workers.idle(), fault, random)
        await workers.start(slot)
        return await workers.ready(slot)

    async def _leave(self, fault: Fault, random: Random) -> bool:
        workers = self._scene.workers
        slot = self._some(workers.running(), fault, random)
        await workers.ready(slot, within_s=20)
        took = await workers.leave(slot)
        fault.detail = f"gone after {took:.1f} s"
        return all(await asyncio.gather(*map(workers.ready, workers.running())))

    async def _stop(self, fault: Fault, random: Random) -> bool:
        workers = self._scene.workers
        slot = self._some(workers.running(), fault, random)
        for_s = SESSION_S + random.uniform(0.5, 9.0)
        fault.detail = f"for {for_s:.1f} s"
        workers.freeze(slot)
        try:
            await asyncio.sleep(for_s)
        finally:
            workers.wake(slot)
        return await workers.ready(slot)

    async def _leader(self, fault: Fault, random: Random) -> bool:
        scene = self._scene
        assert scene.cluster is not None
        scene.broker_down = True
        try:
            fault.target = await scene.cluster.leader(scene.source, random)
            away = random.choice((random.uniform(0.0, 1.0), random.uniform(1.0, 10.0)))
            fault.detail = f"away {away:.1f} s"
            await scene.cluster.stack.kill(fault.target)
            await asyncio.sleep(away)
            await scene.cluster.stack.start(fault.target)
            return await scene.cluster.in_sync(scene.source)
        finally:
            scene.broker_down = False

    async def _proxy(self, fault: Fault, random: Random) -> bool:
        scene = self._scene
        assert scene.cluster is not None
        scene.blown = True
        everywhere = list(range(len(scene.cluster.proxies)))
        where = random.choice((everywhere, [random.choice(everywhere)]))
        weather, name = random.choice(
            (
                (Weather(delay=random.uniform(0.02, 1.2)), "slow"),
                (Weather(rate=random.uniform(20_000, 300_000)), "narrow"),
                (Weather(silent=True), "silent"),
                (Weather(cut=True), "cut"),
            )
        )
        for_s = random.uniform(1.0, 12.0)
        fault.target = "all brokers" if where == everywhere else f"kafka-{where[0] + 1}"
        fault.detail = f"{name} for {for_s:.1f} s"
        try:
            scene.cluster.weather(where, weather)
            await asyncio.sleep(for_s)
        finally:
            scene.cluster.weather(where, FAIR)
            scene.blown = False
        return all(await asyncio.gather(*map(scene.workers.ready, scene.workers.running())))

    async def _clock(self, fault: Fault, random: Random) -> bool:
        scene = self._scene
        slot = self._some([one for one in scene.workers.running() if one.number not in scene.stepped], fault, random)
        off = random.choice((-1, 1)) * random.choice((random.uniform(1, 60), random.uniform(60, 7_200)))
        for_s = random.uniform(3.0, 20.0)
        fault.detail = f"{off:+.0f} s for {for_s:.1f} s"
        scene.stepped.add(slot.number)
        try:
            scene.workers.step(slot, off)
            await asyncio.sleep(for_s)
        finally:
            scene.workers.step(slot, 0.0)
            scene.stepped.discard(slot.number)
        return await scene.workers.ready(slot)

    def _some(self, slots: list[Slot], fault: Fault, random: Random) -> Slot:
        slot = random.choice(slots)
        fault.target = slot.name
        return slot


def _over(task: asyncio.Task[None]) -> bool:
    if task.done():
        task.result()
        return True
    return False


def _now() -> int:
    return time.time_ns() // 1_000_000

"""The whole line while its services are killed, frozen and woken at random, and its broker too; then the separate count.

`missing` and `unknown` compare what the detector published with the reference, id by id; `duplicates` are facts written again.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.e2e.line import Line, expected_facts, found_facts, promised, quiet, running_line, settled
from tools.oracles.promises import tally
from tools.stack.parts import SERVICES
from tools.stack.progress import Terminal
from tools.stack.stack import Stack

LEVELS = [6, 12, 20]
FROZEN_S = 8.0  # Past the consumers' session of 6 s: what wakes is a zombie.
FAULTS = ("kill", "freeze", "broker")


@dataclass(slots=True)
class Outcome:
    """What a run found, as it is kept in build/chaos.json."""

    suite: str
    events: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    missing: int = 0
    unknown: int = 0
    duplicates: int = 0
    after_purchase: int = 0
    twice: int = 0

    def ok(self) -> bool:
        """Whether every promise held."""
        return not (self.missing or self.unknown or self.after_purchase or self.twice)


async def run(seed: int, minutes: float) -> Outcome:
    """A stack of its own, shoppers all the while, a fault every few seconds."""
    with tempfile.TemporaryDirectory(prefix="trolleybus-chaos-") as folder:
        stack = Stack(Path(folder) / "stack", kafka_heap="384m")
        await stack.up(Terminal())
        try:
            async with running_line(stack.env(), Path(folder) / "services", stack.directory) as line:
                return await _shake(line, stack, Random(seed), seed, minutes)
        finally:
            await stack.reset()


async def _shake(line: Line, stack: Stack, random: Random, seed: int, minutes: float) -> Outcome:
    outcome = Outcome(suite="line")
    shop, storefront = await line.open_shop("Chaos", levels=LEVELS)
    shoppers = int(minutes * 60 * 2)
    playing = asyncio.create_task(line.play(shop, storefront, seed=seed, shoppers=shoppers, per_second=2))
    while not playing.done():
        await asyncio.wait({playing}, timeout=random.uniform(2, 8))
        kind = random.choice(FAULTS)
        print(f"fault {sum(outcome.faults.values()) + 1}: {kind}", flush=True)
        await _strike(kind, line, stack, random)
        outcome.faults[kind] = outcome.faults.get(kind, 0) + 1
    await playing
    await settled(line, shop.store_id, LEVELS)
    log = await quiet(line, shop.store_id)
    _compare(outcome, log)
    return outcome


async def _strike(kind: str, line: Line, stack: Stack, random: Random) -> None:
    name = random.choice(SERVICES)
    if kind == "kill":
        await line.services.kill(name)
        await line.services.start(name)
    elif kind == "freeze":
        line.services.pause(name)
        await asyncio.sleep(FROZEN_S)
        line.services.resume(name)
    else:
        await stack.kill("kafka-1")
        await stack.start("kafka-1")


def _compare(outcome: Outcome, log: list[Any]) -> None:
    activity = [seen for seen in log if seen.topic == "cart.activity.v1"]
    expected = expected_facts(log, LEVELS, max(seen.at for seen in activity) + max(LEVELS) * 1000)
    found = found_facts(log)
    counted = tally(log)
    outcome.events = len(activity)
    outcome.missing = len(expected - found)
    outcome.unknown = len(found - expected)
    outcome.duplicates = counted.repeats
    outcome.after_purchase = len(counted.after_purchase)
    outcome.twice = len(counted.twice)
    promised(log)

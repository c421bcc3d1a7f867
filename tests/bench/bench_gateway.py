"""gateway.*: events with ack over HTTP, one core for the gateway, the rest on the other; interleaved with a bare ASGI app."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import psutil

from tests.bench.figures import Figure, compared
from tests.bench.ground import MEASURED_CORE, OTHER_CORE, Ground, answering, awake, load, program

RUNS = int(os.environ.get("RUNS", "5"))
SECONDS = float(os.environ.get("SECONDS", "6"))
FLAT_S = float(os.environ.get("FLAT_SECONDS", "600"))
CONNECTIONS, BATCH_CONNECTIONS, BATCH = 128, 16, 50
SHOPPERS = 10_000
"""So many that none does more a minute than a person can, and is marked."""
BROKER_WARM_S = 15.0
"""Before, a new broker's Java is interpreted and compiled: who comes first would be measured beside that."""
TAIL_RUNS = 2 * RUNS - 1
"""For the p99, on which what else the machine does weighs most."""
NEIGHBOURS, NEIGHBOUR_RATE = 16, 200
PATH = "/api/v1/carts/track"
OURS, ALONE, BARE = "services.ingest", "tests.bench.gateway_alone", "tests.bench.bare_gateway"


def bodies() -> list[str]:
    """Single native events of 300 to 500 bytes, a shopper with one cart each."""
    return [
        json.dumps(
            {
                "event": "cart_updated",
                "event_id": f"bench-{number}",
                "cart_id": f"cart-{number % SHOPPERS}",
                "anonymous_id": f"anon-{number % SHOPPERS}",
                "session_id": f"session-{number % SHOPPERS}",
                "lines": [
                    {"product_id": "P001", "name": "Oak desk lamp", "quantity": 1 + number % 3, "unit_price": "24.90"}
                ],
            },
            separators=(",", ":"),
        )
        for number in range(20_000)
    ]


def batches(events: Sequence[str]) -> list[str]:
    """The same, fifty a request."""
    return [f'{{"events":[{",".join(events[at : at + BATCH])}]}}' for at in range(0, len(events), BATCH)]


@dataclass(frozen=True, slots=True)
class _Run:
    """A program under load: where it listens, its process."""

    port: int
    process: psutil.Process
    key: str

    def load(
        self, requests: Sequence[str], connections: int, seconds: float, rate: float = 0, warm_s: float = 0
    ) -> Any:
        report = load(
            self.port,
            PATH,
            self.key,
            requests,
            connections=connections,
            seconds=seconds,
            core=OTHER_CORE,
            rate=rate,
            warm_s=warm_s,
        )
        if set(report["answers"]) != {"202"}:
            raise RuntimeError(f"the answers were {report['answers']}")
        return report

    def flood(self, key: str, requests: Sequence[str], seconds: float) -> Any:
        """As many requests of another store as it can send, whatever is answered."""
        return load(self.port, PATH, key, requests, connections=CONNECTIONS, seconds=seconds, core=OTHER_CORE)

    def rate(self, requests: Sequence[str], connections: int) -> float:
        """Requests a second; the first second warms up."""
        self.load(requests, connections, 1.0)
        report = self.load(requests, connections, SECONDS)
        return float(report["answers"]["202"] / report["seconds"])

    def rss_mib(self) -> float:
        return float(self.process.memory_info().rss) / 2**20


class _Programs:
    """Starts one at a time."""

    def __init__(self, ground: Ground, key: str) -> None:
        self._key = key
        self._bootstrap = ground.env["KAFKA_BOOTSTRAP_SERVERS"]
        self._bare_port = int(ground.env["ANALYTICS_URL"].rpartition(":")[2])  # Nothing else uses it here.
        self._port = int(ground.env["INGEST_URL"].rpartition(":")[2])
        limits = {"RATE_LIMIT_PER_SECOND": "1000000", "RATE_LIMIT_BURST": "1000000"}
        self._env = {**ground.env, **limits, "HOST": "127.0.0.1", "LOG_LEVEL": "warning"}

    @contextmanager
    def running(self, module: str, **settings: str) -> Iterator[_Run]:
        port = self._bare_port if module == BARE else self._port
        arguments = [str(port), self._bootstrap, "cart.activity.v1"] if module == BARE else []
        env = {**self._env, **settings, "PORT": str(port)}
        with program(module, *arguments, core=MEASURED_CORE, env=env) as process:
            yield _Run(port, psutil.Process(process.pid), self._key)

    async def rates(self, module: str, loads: Sequence[tuple[Sequence[str], int]]) -> tuple[list[float], float]:
        """Requests a second of each load, and the memory afterwards."""
        with self.running(module) as run:
            await answering(f"http://127.0.0.1:{run.port}/readyz")
            return [run.rate(requests, connections) for requests, connections in loads], run.rss_mib()


async def measure(ground: Ground) -> AsyncIterator[Figure]:
    """Interleaved runs; the ratio of each pair."""
    programs = _Programs(ground, await ground.open_store("bench-gateway", (900,), "write"))
    events = bodies()
    loads = [(events, CONNECTIONS), (batches(events), BATCH_CONNECTIONS)]
    await ground.pin_servers(OTHER_CORE)
    with programs.running(BARE) as run:
        await answering(f"http://127.0.0.1:{run.port}/readyz")
        run.load(events, CONNECTIONS, BROKER_WARM_S)
    found: dict[str, list[list[float]]] = {OURS: [], BARE: [], ALONE: []}
    peaks: list[float] = []
    for _ in range(RUNS):
        for module, results in found.items():
            rates, rss = await programs.rates(module, loads if module != ALONE else loads[:1])
            results.append(rates)
            if module == OURS:
                peaks.append(rss)
    singles = {module: [rates[0] for rates in results] for module, results in found.items()}
    asked = f"{RUNS} interleaved runs of {SECONDS:g} s, one core"
    bare = "baseline: tests/bench/bare_gateway.py (raw body to librdkafka)"
    note = f"single events with ack, {CONNECTIONS} connections, {asked}; {bare}"
    yield compared("gateway.requests_per_second", singles[OURS], singles[BARE], "requests/s", note)
    by_batch = {module: [BATCH * rates[1] for rates in found[module]] for module in (OURS, BARE)}
    note = f"batches of {BATCH} with ack, {BATCH_CONNECTIONS} connections, {asked}; {bare}, a record an event"
    yield compared("gateway.batch_events_per_second", by_batch[OURS], by_batch[BARE], "events/s", note)
    shares = [1 - ours / alone for ours, alone in zip(singles[OURS], singles[ALONE], strict=True)]
    yield Figure(
        name="gateway.identity_and_limiter_share",
        value=round(median(shares), 3),
        unit="of the rate",
        note=f"what the rate lacks to the gateway without identity map and limiter, {asked}",
    )
    yield await _at_half_peak(programs, events, median(singles[OURS]) / 2)
    yield await _flooded(programs, events, await ground.open_store("bench-flood", (900,), "write"))
    yield await _memory(programs, events, median(peaks))


async def _at_half_peak(programs: _Programs, events: Sequence[str], about: float) -> Figure:
    """Half of the rate that was found in the moment before, since the machine's speed changes from minute to minute; the bare app
    at the same rate directly after, since what else happens on the machine makes most of it. `about` is for the first load."""
    ours, bare, rates, first, late = [], [], [], [], []
    with awake() as is_awake:
        for _ in range(TAIL_RUNS):
            with programs.running(OURS) as run:
                await answering(f"http://127.0.0.1:{run.port}/readyz")
                first.append(run.load(events, CONNECTIONS, SHOPPERS / about, about)["p99_ms"])
                rates.append(run.rate(events, CONNECTIONS) / 2)
                report = run.load(events, CONNECTIONS, SECONDS, rates[-1], warm_s=1)
                ours.append(report["p99_ms"])
                late.append(report["late_p50_ms"])
            with programs.running(BARE) as run:
                await answering(f"http://127.0.0.1:{run.port}/readyz")
                run.rate(events, CONNECTIONS)
                bare.append(run.load(events, CONNECTIONS, SECONDS, rates[-1], warm_s=1)["p99_ms"])
    slept = "did not sleep" if is_awake else "slept while idle"
    note = (
        f"at {min(rates):.0f} to {max(rates):.0f} requests/s, half of what each run found before, from when a request was due; "
        f"{TAIL_RUNS} runs of {SECONDS:g} s, {CONNECTIONS} connections that were open for a second: "
        f"{', '.join([f'{one:.1f}' for one in ours])} ms; while the process met each of {SHOPPERS:,} shoppers for the first time "
        f"{median(first):.0f} ms; the load sends {median(late):.2f} ms late (median); the cores {slept}; "
        "baseline: tests/bench/bare_gateway.py at the same rates"
    )
    return compared("gateway.p99_ms_at_half_peak", ours, bare, "ms", note)


async def _flooded(programs: _Programs, events: Sequence[str], key: str) -> Figure:
    """One store's requests beside the flood of another, both held to an installation's own limits."""
    quiet, flooded = [], []
    answers: Counter[str] = Counter()
    for _ in range(RUNS):
        with programs.running(OURS, RATE_LIMIT_PER_SECOND="", RATE_LIMIT_BURST="") as run:
            await answering(f"http://127.0.0.1:{run.port}/readyz")
            run.load(events, NEIGHBOURS, 1.0, NEIGHBOUR_RATE)
            quiet.append(run.load(events, NEIGHBOURS, SECONDS, NEIGHBOUR_RATE)["p99_ms"])
            flood = asyncio.create_task(asyncio.to_thread(run.flood, key, events, SECONDS + 3))
            await asyncio.sleep(2)  # It begins.
            beside = await asyncio.to_thread(run.load, events, NEIGHBOURS, SECONDS - 1, NEIGHBOUR_RATE)
            flooded.append(beside["p99_ms"])
            answers.update((await flood)["answers"])
    told = ", ".join(f"{number:,} times {status}" for status, number in sorted(answers.items()))
    note = (
        f"{NEIGHBOUR_RATE} requests/s of a store beside {CONNECTIONS} connections of another that send as fast as they are"
        f" answered ({told}); p99 from when a request was due; {RUNS} runs; baseline: the same without the flood"
    )
    return compared("gateway.p99_ms_beside_a_flood", flooded, quiet, "ms", note)


async def _memory(programs: _Programs, events: Sequence[str], peak: float) -> Figure:
    """At peak; and how it goes on under the same load."""
    with programs.running(OURS) as run:
        await answering(f"http://127.0.0.1:{run.port}/readyz")
        seen: list[float] = []
        until = time.monotonic() + FLAT_S
        while not seen or time.monotonic() < until:
            run.load(events, CONNECTIONS, min(30.0, FLAT_S / 4))
            seen.append(run.rss_mib())
    told = ", ".join([f"{mib:.0f}" for mib in seen])
    note = f"after each run at peak rate; and over {FLAT_S:g} s at peak, after each {min(30.0, FLAT_S / 4):g} s: {told}"
    return Figure(name="gateway.rss_mib", value=round(max(peak, *seen), 1), unit="MiB", note=note)

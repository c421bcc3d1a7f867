"""What every benchmark stands on: the real servers, topics, a store, and cores to share out."""

from __future__ import annotations

import asyncio
import json
import os
import struct
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.stack.progress import Terminal
from tools.stack.services import Services, apply_topics
from tools.stack.stack import Stack
from trolleybus.codec import Codec
from trolleybus.contracts.records import RECORDS
from trolleybus.contracts.stores import StoreConfig, StoreKey
from trolleybus.envelope import Envelopes
from trolleybus.producer import RecordProducer
from trolleybus.registry import Registry
from trolleybus.security import hash_key, new_key
from trolleybus.security.keys import KeyKind
from trolleybus.topics import Topics

MEASURED_CORE, OTHER_CORE = 0, max(os.sched_getaffinity(0))
KAFKA_HEAP = "768m"


@dataclass(slots=True)
class Ground:
    """A running stack with topics, without services until they are asked for."""

    env: dict[str, str]
    directory: Path
    stack: Stack
    services: dict[str, Services] = field(default_factory=dict)

    @asynccontextmanager
    async def running(self, *names: str) -> AsyncIterator[Services]:
        """Some services, ended with the block."""
        services = Services(self.env, self.directory, names)
        await services.up()
        try:
            yield services
        finally:
            await services.down()

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[RecordProducer]:
        """A producer of any record."""
        topics = Topics.load()
        async with Registry(self.env["SCHEMA_REGISTRY_URL"]) as registry:
            codec = Codec(registry, topics)
            await codec.prepare(*RECORDS.values())
            async with RecordProducer(
                self.env["KAFKA_BOOTSTRAP_SERVERS"], Envelopes("bench", topics, codec), linger_ms=20, timeout_ms=60_000
            ) as producer:
                yield producer

    async def open_store(self, store_id: str, levels: tuple[int, ...], kind: KeyKind = "secret") -> str:
        """A store on its topic, as campaigns would write it; its key."""
        key = new_key(kind)
        config = StoreConfig(
            id=f"{store_id}-1",
            store_id=store_id,
            occurred_at=1,
            version=1,
            name=store_id,
            currency="EUR",
            country="ES",
            time_zone="Europe/Madrid",
            levels=levels,
            keys=(StoreKey(key_id="s", kind=kind, hash=hash_key(key)),),
        )
        async with self.writer() as producer:
            await producer.send(config)
        return key

    def pin(self, core: int, *pids: int | None) -> None:
        """Let processes run on one core only, threads included."""
        for pid in pids:
            if pid is not None:
                subprocess.run(["taskset", "-a", "-c", "-p", str(core), str(pid)], check=True, capture_output=True)

    async def pin_servers(self, core: int) -> None:
        """Kafka and the other servers on one core."""
        self.pin(core, *[part.pid for part in await self.stack.status()])


@asynccontextmanager
async def ground() -> AsyncIterator[Ground]:
    """A stack of its own on free ports, with room for load."""
    with tempfile.TemporaryDirectory(prefix="trolleybus-bench-") as folder:
        directory = Path(folder)
        stack = Stack(directory, kafka_heap=KAFKA_HEAP)
        await stack.up(Terminal())
        try:
            await asyncio.to_thread(apply_topics, stack.env())
            yield Ground(stack.env(), directory, stack)
        finally:
            await stack.reset()


@contextmanager
def program(*arguments: str, core: int, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A Python module as a process on one core, ended with the block."""
    process = subprocess.Popen(
        ["taskset", "-c", str(core), sys.executable, "-m", *arguments], env={**os.environ, **(env or {})}
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def load(
    port: int,
    path: str,
    key: str,
    bodies: Sequence[str],
    *,
    connections: int,
    seconds: float,
    core: int,
    rate: float = 0,
    warm_s: float = 0,
) -> Any:
    """Run the HTTP load on one core; its report, as tests/bench/http_load.py tells of it."""
    done = subprocess.run(
        [
            "taskset",
            "-c",
            str(core),
            sys.executable,
            "-m",
            "tests.bench.http_load",
            str(port),
            str(connections),
            str(warm_s),
            str(seconds),
            path,
            key,
            str(rate),
        ],
        input="\n".join(bodies).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


@contextmanager
def awake() -> Iterator[bool]:
    """Lets no core sleep while the block lasts, where that is allowed; whether it is. As cyclictest(8) does it: Linux's
    PM QoS, Documentation/admin-guide/pm/cpuidle.rst. On a virtual machine each sleep and each waking goes through its host."""
    try:
        device = os.open("/dev/cpu_dma_latency", os.O_RDWR)
    except OSError:
        yield False
        return
    try:
        os.write(device, struct.pack("i", 0))
        yield True
    finally:
        os.close(device)


async def answering(url: str, within_s: float = 20) -> None:
    """Wait until something answers HTTP there."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                await asyncio.to_thread(urllib.request.urlopen, url, None, 2)
            except urllib.error.HTTPError:
                return
            except OSError:
                await asyncio.sleep(0.1)
            else:
                return


def metric(url: str, name: str) -> float:
    """Sum of a metric's samples on a /metrics page."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.split("{")[0].split(" ")[0] == name)

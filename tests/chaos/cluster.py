"""Three brokers that replicate to each other, each with a second way in that leads through a fault proxy; and the topics on them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from confluent_kafka.admin import AdminClient

from tests.chaos.load import Target
from tests.chaos.proxy import FaultProxy, Weather
from tools.stack.kafka import Detour
from tools.stack.ports import HOST, free_run
from tools.stack.progress import Terminal
from tools.stack.stack import Stack
from trolleybus import schemas
from trolleybus.registry import Registry, subject
from trolleybus.topic_admin import create_topics, register_schemas
from trolleybus.topics import Topics

BROKERS = 3
HEAP = "320m"
IN_SYNC_WITHIN_S = 60.0


@dataclass(frozen=True)
class Cluster:
    """The brokers and the ways to them."""

    stack: Stack
    proxies: list[FaultProxy]

    @property
    def env(self) -> dict[str, str]:
        return self.stack.env()

    @property
    def bootstrap(self) -> str:
        return self.env["KAFKA_BOOTSTRAP_SERVERS"]

    @property
    def workers_bootstrap(self) -> str:
        return ",".join(f"{HOST}:{proxy.port}" for proxy in self.proxies)

    def weather(self, proxies: list[int], weather: Weather) -> None:
        for number in proxies:
            self.proxies[number].set(weather)

    async def leader(self, topic: str, random: Random) -> str:
        """The name of a broker that leads a partition of the topic."""
        leaders = await asyncio.to_thread(self._leaders, topic)
        return f"kafka-{random.choice(leaders)}"

    async def in_sync(self, topic: str) -> bool:
        """Whether all copies of the topic's partitions were whole in time."""
        deadline = time.monotonic() + IN_SYNC_WITHIN_S
        while time.monotonic() < deadline:
            if await asyncio.to_thread(self._whole, topic):
                return True
            await asyncio.sleep(0.3)
        return False

    def _leaders(self, topic: str) -> list[int]:
        return [part.leader for part in self._partitions(topic) if part.leader > 0]

    def _whole(self, topic: str) -> bool:
        parts = self._partitions(topic)
        return bool(parts) and all(len(part.isrs) == BROKERS and part.leader > 0 for part in parts)

    def _partitions(self, topic: str) -> list:  # type: ignore[type-arg]  # the client has no types
        found = AdminClient({"bootstrap.servers": self.bootstrap}).list_topics(topic, timeout=20).topics
        return list(found[topic].partitions.values())


@asynccontextmanager
async def running_cluster(directory: Path) -> AsyncIterator[Cluster]:
    """A stack of its own; it ends with this process, however that ends."""
    async with AsyncExitStack() as ends:
        listeners = free_run(BROKERS)
        proxies = [await ends.enter_async_context(FaultProxy(port)) for port in listeners]
        detours = [Detour(port=proxy.target, advertised=proxy.port) for proxy in proxies]
        stack = Stack(directory, brokers=BROKERS, kafka_heap=HEAP, detours=detours)
        await stack.up(Terminal())
        ends.push_async_callback(stack.reset)
        yield Cluster(stack, proxies)


async def make_topics(env: Mapping[str, str], topics: Topics) -> Target:
    """The topics that the detector uses, and where the load writes."""
    bootstrap = env["KAFKA_BOOTSTRAP_SERVERS"]
    used = [topics[name] for name in ("stores", "cart.activity", "recovery.carts")]
    await create_topics(bootstrap, [*used, topics.dead_letter("abandonment", "cart.activity")], report=_silent)
    async with Registry(env["SCHEMA_REGISTRY_URL"]) as registry:
        await register_schemas(registry, used, report=_silent)
        written = {}
        for name, topic in (("CartActivity", used[1]), ("StoreConfig", used[0])):
            text = schemas.source(name)
            written[name] = (await registry.id_of(subject(topic, name), text), schemas.parse(text))
    return Target(bootstrap, used[1].full_name, used[0].full_name, used[1].partitions, written)


def _silent(_: str) -> None: ...

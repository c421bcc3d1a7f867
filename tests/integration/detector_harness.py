"""Detectors as processes of their own on topics of their own, and what stands on the topics, compared with the reference."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.abandonment.domain.effects import Effect
from tests.eventually import eventually
from tools.oracles.abandonment import detect
from trolleybus.codec import Codec
from trolleybus.contracts import ids
from trolleybus.contracts.cart import CartActivity, CartLine
from trolleybus.contracts.money import Money
from trolleybus.contracts.recovery import CartAbandoned, CartCleared, CartExpired, CartRecovered, CartResumed
from trolleybus.contracts.stores import StoreConfig
from trolleybus.envelope import Envelopes
from trolleybus.producer import RecordProducer
from trolleybus.registry import Registry
from trolleybus.topic_admin import create_topics, register_schemas
from trolleybus.topics import Topic, Topics

USED = ("stores", "cart.activity", "recovery.carts")


@dataclass
class Process:
    """One detector."""

    port: int
    process: asyncio.subprocess.Process
    log: Path

    async def ready(self) -> bool:
        if self.process.returncode is not None:
            raise AssertionError(f"the detector ended with {self.process.returncode}:\n{self.log.read_text()[-4000:]}")
        try:
            async with httpx2.AsyncClient(timeout=5) as client:
                return (await client.get(f"http://127.0.0.1:{self.port}/readyz")).status_code == 200
        except httpx2.HTTPError:
            return False

    async def metrics(self) -> str:
        async with httpx2.AsyncClient(timeout=5) as client:
            return (await client.get(f"http://127.0.0.1:{self.port}/metrics")).text

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> float:
        """SIGTERM; the seconds until it was gone."""
        began = time.monotonic()
        if self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()
        return time.monotonic() - began


@dataclass
class Detectors:
    """The world of one test: topics, a store, detectors."""

    env: dict[str, str]
    directory: Path
    topics: Topics
    codec: Codec
    writer: RecordProducer
    raw: AIOKafkaProducer
    settings: dict[int, StoreConfig] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)

    async def open_store(self, version: int = 1, **settings: Any) -> None:
        config = StoreConfig(
            id=f"store-{version}", store_id="store", version=version, occurred_at=1, currency="EUR", **settings
        )
        self.settings[version] = config
        await self.writer.send(config)

    async def start(self, **environment: str) -> Process:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        log = self.directory / f"detector-{len(self.processes)}.log"
        with log.open("wb") as sink:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "services.abandonment",
                env={
                    **os.environ,
                    **self.env,
                    "PORT": str(port),
                    "PYTHONUNBUFFERED": "1",
                    "STATE_DIR": str(self.directory / "state"),
                    **environment,
                },
                stdout=sink,
                stderr=sink,
            )
        detector = Process(port, process, log)
        self.processes.append(detector)
        return detector

    async def start_ready(self, **environment: str) -> Process:
        detector = await self.start(**environment)
        await eventually(detector.ready)
        return detector

    async def tell(self, *records: CartActivity) -> None:
        await self.writer.send(*records)

    async def stored(self, topic: Topic) -> list[Any]:
        """Every record of a topic as Kafka has it, in the order of each partition."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.env["KAFKA_BOOTSTRAP_SERVERS"], enable_auto_commit=False, fetch_max_wait_ms=50
        )
        await consumer.start()
        try:
            places = [TopicPartition(topic.full_name, number) for number in range(topic.partitions)]
            consumer.assign(places)
            await consumer.seek_to_beginning()
            ends = await consumer.end_offsets(places)
            found: list[Any] = []
            while any([await consumer.position(place) < ends[place] for place in places]):
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found += batch
            return found
        finally:
            await consumer.stop()

    async def told(self) -> list[Effect]:
        """What stands on recovery.carts, repeats included."""
        effects: list[Effect] = []
        for message in await self.stored(self.topics["recovery.carts"]):
            record = await self.codec.decode(message.value)
            assert isinstance(record, CartAbandoned | CartCleared | CartExpired | CartRecovered | CartResumed)
            effects.append(record)
        return effects

    async def expected(self, until: int) -> dict[str, str]:
        """Id and kind of all that the reference knows of the log as it stands."""
        log = []
        for message in await self.stored(self.topics["cart.activity"]):
            try:
                record = await self.codec.decode(message.value)
            except ValueError:
                continue
            usable = isinstance(record, CartActivity) and record.occurred_at > 0 and record.store_id == "store"
            if usable and message.key == self.topics["cart.activity"].key_of(record):
                assert isinstance(record, CartActivity)
                arrival = record.received_at if record.imported else message.timestamp
                log.append((arrival, {**as_plain(record), "appended": message.timestamp}))
        settings = {
            version: {"levels": one.levels, "expiry": one.expiry_seconds, "detection_from": one.detection_from}
            for version, one in self.settings.items()
        }
        return {expected_id(fact): fact["kind"] for fact in detect(log, settings, until)}

    async def agrees(self, until: int) -> list[Effect]:
        """Waits until everything the reference knows by then is told; then nothing else may be. Returns all told."""
        expected = await self.expected(until)

        async def all_told() -> list[Effect] | None:
            told = await self.told()
            return told if set(expected) <= {effect.id for effect in told} else None

        try:
            told = await eventually(all_told)
        except TimeoutError:
            ids_told = {effect.id for effect in await self.told()}
            missing = Counter(kind for id_, kind in expected.items() if id_ not in ids_told)
            logs = "\n".join(process.log.read_text()[-3000:] for process in self.processes)
            raise AssertionError(f"of {len(expected)} records are missing: {missing}\n{logs}") from None
        known = await self.expected(now_ms() + 3_600_000)
        unknown = [effect for effect in told if effect.id not in known]
        assert not unknown, f"{len(unknown)} of {len(told)} are unknown to the reference: {unknown[:5]}"
        return told


def as_plain(record: CartActivity) -> dict[str, Any]:
    names = ("id", "store_id", "cart_id", "occurred_at", "config_version", "kind", "order_id", "marks", "imported")
    return {
        **{name: getattr(record, name) for name in names},
        "lines": [(line.line_id, line.quantity) for line in record.lines],
    }


def expected_id(fact: dict[str, Any]) -> str:
    episode = ids.episode(fact["store"], fact["cart"], fact["episode"])
    if fact["kind"] == "CartAbandoned":
        return ids.abandonment(episode, fact["level"])
    return ids.episode_end(episode, fact["kind"].removeprefix("Cart").lower(), fact.get("by", ""))


def activity(kind: str, cart: str, at: int, *quantities: tuple[str, int], **more: Any) -> CartActivity:
    price = Money(minor=1250, currency="EUR")
    values: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "store_id": "store",
        "cart_id": cart,
        "occurred_at": at,
        "config_version": 1,
        "kind": kind,
        "lines": tuple(CartLine(line_id=line, quantity=quantity, unit_price=price) for line, quantity in quantities),
    }
    return CartActivity(**{**values, **more})


def now_ms() -> int:
    return int(time.time() * 1000)


@asynccontextmanager
async def world(env: dict[str, str], directory: Path) -> AsyncIterator[Detectors]:
    """Topics with twelve partitions under a prefix of their own; detectors that a test leaves running are killed."""
    topics = Topics.load(prefix=f"d{uuid.uuid4().hex[:8]}.")
    bootstrap = env["KAFKA_BOOTSTRAP_SERVERS"]
    used = [topics[name] for name in USED]
    await create_topics(bootstrap, [*used, topics.dead_letter("abandonment", "cart.activity")], report=_silent)
    async with Registry(env["SCHEMA_REGISTRY_URL"]) as registry:
        await register_schemas(registry, used, report=_silent)
        codec = Codec(registry, topics)
        await codec.prepare(CartActivity, StoreConfig)
        raw = AIOKafkaProducer(bootstrap_servers=bootstrap)
        await raw.start()
        async with RecordProducer(bootstrap, Envelopes("test", topics, codec)) as writer:
            found = Detectors(
                {**env, "TOPIC_PREFIX": topics["stores"].full_name.removesuffix("stores.v1")},
                directory,
                topics,
                codec,
                writer,
                raw,
            )
            try:
                yield found
            finally:
                await raw.stop()
                for process in found.processes:
                    if process.process.returncode is None:
                        await process.kill()


def _silent(_: str) -> None: ...


def batches(records: Sequence[CartActivity], size: int) -> list[Sequence[CartActivity]]:
    return [records[start : start + size] for start in range(0, len(records), size)]

"""A topic read whole into memory by every instance, without a group: for small topics that everybody needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from trolleybus.codec import Codec, UnreadableRecord
from trolleybus.contracts.records import Record
from trolleybus.envelope import Received
from trolleybus.producer import KafkaUnavailable
from trolleybus.readiness import PartStatus
from trolleybus.registry import RegistryError
from trolleybus.telemetry import get_logger
from trolleybus.topics import Topic

_PROBE = 3.0  # Seconds between looks at the ends of the log.
_PATIENCE = 5.0  # Seconds that Kafka has to answer.

log = get_logger(__name__)


class TopicTable:
    """Calls `apply` with every record of the topic, from its start and then as they come; order holds within a partition.

    `apply` must take a record twice: after an outage or a reset topic the reading begins again. What was applied is kept
    while Kafka is away. A record that cannot be read is logged and counted in the status.
    """

    def __init__(self, topic: Topic, bootstrap: str, codec: Codec, apply: Callable[[Received[Record]], None]) -> None:
        self._topic = topic
        self._bootstrap = bootstrap
        self._codec = codec
        self._apply = apply
        self._kafka: AIOKafkaConsumer | None = None
        self._seen: dict[TopicPartition, int] = {}
        self._moved = asyncio.Condition()
        self._ready = asyncio.Event()
        self._problem = "not started"
        self._unreadable: set[tuple[int, int]] = set()

    def status(self) -> PartStatus:
        """Not ready before the topic was read once; what is stale afterwards is said, and is no reason to stop serving."""
        if not self._ready.is_set():
            return PartStatus(ok=False, detail=self._problem or f"reading {self._topic.full_name}")
        details = [f"stale: {self._problem}"] if self._problem else []
        if self._unreadable:
            details.append(f"{len(self._unreadable)} records cannot be read")
        return PartStatus(ok=True, detail="; ".join(details) or "up to date")

    async def wait_ready(self) -> None:
        """Until the topic was read to what was its end."""
        await self._ready.wait()

    async def refresh(self, seconds: float = 5.0) -> None:
        """Read to the present end of the topic; raises KafkaUnavailable if that takes longer."""
        try:
            async with asyncio.timeout(seconds):
                await self._ready.wait()
                if self._kafka is None:
                    raise KafkaUnavailable(f"{self._topic.full_name} cannot be read: {self._problem}")
                await self._read_to_end(self._kafka)
        except (KafkaError, TimeoutError) as error:
            raise KafkaUnavailable(f"{self._topic.full_name} was not read to its end within {seconds:g} s") from error

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            try:
                await self._session()
            except (KafkaError, RegistryError) as error:
                self._problem = f"{type(error).__name__}: {error}"
                log.warning("a topic table lost its source", topic=self._topic.full_name, error=repr(error))
            await asyncio.sleep(1.0)

    async def _session(self) -> None:
        kafka = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            request_timeout_ms=10_000,
        )
        probe: asyncio.Task[None] | None = None
        try:
            await kafka.start()
            if self._topic.full_name not in await kafka.topics():
                raise KafkaError(f"topic {self._topic.full_name} is missing: run `trolleybus topics apply`")
            places = self._places()
            kafka.assign(places)
            starts = await kafka.beginning_offsets(places)
            for place, start in starts.items():
                kafka.seek(place, start)
            self._seen = dict(starts)
            self._kafka = kafka
            probe = asyncio.create_task(self._probe(kafka), name=f"{self._topic.name} probe")
            await self._read(kafka)
        finally:
            self._kafka = None
            if probe is not None:
                probe.cancel()
                await asyncio.wait({probe})
            await kafka.stop()

    async def _read(self, kafka: AIOKafkaConsumer) -> None:
        while True:
            for place, records in (await kafka.getmany(timeout_ms=1_000)).items():
                for record in records:
                    try:
                        content = await self._codec.decode(record.value)
                    except UnreadableRecord as error:
                        self._unreadable.add((record.partition, record.offset))
                        log.error(  # noqa: TRY400 - the reason says it all
                            "a record cannot be read", topic=self._topic.full_name, partition=record.partition,
                            offset=record.offset, reason=str(error),
                        )  # fmt: skip
                        continue
                    headers = {name: value or b"" for name, value in record.headers}
                    self._apply(
                        Received(
                            self._topic.name,
                            record.partition,
                            record.offset,
                            record.timestamp,
                            record.key,
                            headers,
                            content,
                        )
                    )
                self._seen[place] = records[-1].offset + 1
            async with self._moved:
                self._moved.notify_all()

    async def _probe(self, kafka: AIOKafkaConsumer) -> None:
        """Becomes ready at the first end that was reached; afterwards notices when Kafka falls silent."""
        while True:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._read_to_end(kafka)
                self._problem = ""
                self._ready.set()
            except (KafkaError, TimeoutError) as error:
                self._problem = f"not read to its end within {_PATIENCE:g} s ({error!r})"
            await asyncio.sleep(_PROBE)

    async def _read_to_end(self, kafka: AIOKafkaConsumer) -> None:
        ends = await kafka.end_offsets(self._places())
        async with self._moved:
            await self._moved.wait_for(lambda: self._reached(ends))

    def _places(self) -> list[TopicPartition]:
        return [TopicPartition(self._topic.full_name, number) for number in range(self._topic.partitions)]

    def _reached(self, ends: dict[TopicPartition, int]) -> bool:
        return all(self._seen.get(place, 0) >= end for place, end in ends.items())

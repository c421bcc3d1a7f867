"""A consumer group's member: effects, outbox rows and positions in one PostgreSQL transaction for each batch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from trolleybus.codec import Codec
from trolleybus.consumer.metrics import ConsumerMetrics
from trolleybus.consumer.partition import Partition
from trolleybus.consumer.positions import Progress
from trolleybus.consumer.processing import BatchHandler, Processor, UnreadableHandler, Work
from trolleybus.db import Pool
from trolleybus.readiness import PartStatus
from trolleybus.telemetry import get_logger
from trolleybus.topics import Topic, Topics

_GRACE = 1.5  # Seconds that a transaction in flight has to end when its partition is given up.
_PROBE = 2.0  # Seconds between looks at the ends of the log.
_SILENT = 6.0  # Seconds without an answer from Kafka before /readyz says so.

log = get_logger(__name__)


class Consumer:
    """Reads topics as a member of a group and hands each partition's records, in order, to a handler.

    The effects of a batch, what it puts into the outbox and the position after it are one transaction: exactly once into
    the database. The row in kafka_positions is the authority; the group's offsets in Kafka follow it for lag tools.

    A batch that fails is tried again record by record; a record that failed `retries` times goes to the dead letter topic,
    as one that cannot be read does at once. Topics with a barrier never skip: a record that fails is tried for ever, and one
    that cannot be read goes to `on_unreadable` (without one: to the dead letter topic). A database, registry or Kafka that
    is away is waited for, and is nobody's failure.
    """

    def __init__(
        self,
        *,
        service: str,
        group: str,
        topics: Sequence[Topic],
        bootstrap: str,
        codec: Codec,
        pool: Pool,
        handler: BatchHandler,
        dead_letters: Topics,
        metrics: ConsumerMetrics,
        on_unreadable: UnreadableHandler | None = None,
        after_commit: Callable[[], None] | None = None,
        max_batch: int = 500,
        retries: int = 5,
        concurrency: int = 4,
    ) -> None:
        self.progress = Progress(group, topics)
        self._group = group
        self._topics = {topic.full_name: topic for topic in topics}
        self._dead_letters = {topic.full_name: dead_letters.dead_letter(service, topic.name) for topic in topics}
        self._bootstrap = bootstrap
        self._max_batch = max_batch
        self._after_commit = after_commit
        self._work = Work(
            consumer=group,
            codec=codec,
            pool=pool,
            handler=handler,
            on_unreadable=on_unreadable,
            metrics=metrics,
            retries=retries,
            slots=asyncio.Semaphore(concurrency),
            committed=self._committed,
        )
        self._partitions: dict[TopicPartition, Partition] = {}
        self._reported: dict[TopicPartition, int] = {}  # Positions that the group's offsets in Kafka have.
        self._problem = "not started"
        self._heard = 0.0

    def status(self) -> PartStatus:
        """Not ready while anything is away, a partition is stuck, or the group has not assigned its partitions yet."""
        if self._problem:
            return PartStatus(ok=False, detail=self._problem)
        silent = time.monotonic() - self._heard
        if silent > _SILENT:
            return PartStatus(ok=False, detail=f"no answer from Kafka for {silent:.0f} s")
        problems = [partition.problem for partition in self._partitions.values() if partition.problem]
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            return PartStatus(ok=False, detail=problems[0] + more)
        lag = sum(partition.lag or 0 for partition in self._partitions.values())
        return PartStatus(ok=True, detail=f"{len(self._partitions)} partitions, lag {lag}")

    async def caught_up(self, seconds: float = 30.0) -> bool:
        """Wait until the whole group has handled what stands on the topics now; False if that takes longer."""
        places = [
            TopicPartition(topic.full_name, number)
            for topic in self._topics.values()
            for number in range(topic.partitions)
        ]
        kafka = AIOKafkaConsumer(bootstrap_servers=self._bootstrap)
        try:
            await kafka.start()
            ends = await kafka.end_offsets(places)
        finally:
            await kafka.stop()
        targets = {(place.topic, place.partition): end for place, end in ends.items()}
        return await self.progress.wait_for(self._work.pool, targets, seconds) is not None

    async def run(self) -> None:
        """Consume until cancelled; then the batches in flight are finished or rolled back, and the group is left."""
        failures = 0
        while True:
            started = time.monotonic()
            try:
                await self._session()
            except (KafkaError, OSError) as error:
                failures = 1 if time.monotonic() - started > 60 else failures + 1
                self._problem = f"Kafka: {error}" if str(error) else f"Kafka: {error!r}"
                log.warning("the consumer lost Kafka", consumer=self._group, error=repr(error))
            finally:
                if not self._problem:
                    self._problem = "stopped"
            await asyncio.sleep(min(0.25 * 2 ** min(failures, 5), 5.0))

    async def _session(self) -> None:
        kafka = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="none",  # Where to start is the database's word; a gap in the log is told, never jumped.
            session_timeout_ms=6_000,
            heartbeat_interval_ms=2_000,
            rebalance_timeout_ms=10_000,
            request_timeout_ms=15_000,
            max_poll_interval_ms=86_400_000,  # The reader below always polls; partitions that wait are paused.
            fetch_max_wait_ms=50,
            metadata_max_age_ms=30_000,
            client_id=self._group,
        )
        watch: asyncio.Task[None] | None = None
        try:
            await kafka.start()
            missing = sorted(self._topics.keys() - await kafka.topics())
            if missing:
                raise KafkaError(f"topics are missing: {', '.join(missing)}: run `trolleybus topics apply`")
            self._problem = "joining the group"
            kafka.subscribe(list(self._topics), listener=_Rebalances(self, kafka))
            watch = asyncio.create_task(self._watch(kafka), name=f"{self._group} watch")
            await self._read(kafka)
        finally:
            await self._close(kafka, watch)

    async def _read(self, kafka: AIOKafkaConsumer) -> None:
        while True:
            try:
                fetched = await kafka.getmany(timeout_ms=1_000)
            except (OffsetOutOfRangeError, NoOffsetForPartitionError) as error:
                for place in _places(error):
                    if place in self._partitions:
                        self._partitions[place].out_of_range()
                continue
            for place, records in fetched.items():
                if place in self._partitions:
                    self._partitions[place].feed(records)

    async def _watch(self, kafka: AIOKafkaConsumer) -> None:
        """Keep the group's offsets in Kafka and the lag up to date, and notice when Kafka falls silent."""
        while True:
            try:
                async with asyncio.timeout(_SILENT):
                    await self._report_positions(kafka)
                    await self._measure(kafka)
                self._heard = time.monotonic()
            except (KafkaError, TimeoutError) as error:
                log.warning("Kafka does not answer", consumer=self._group, error=repr(error))
            await asyncio.sleep(_PROBE)

    async def _measure(self, kafka: AIOKafkaConsumer) -> None:
        if not self._partitions:
            await kafka.topics()
            return
        for place, end in (await kafka.end_offsets(list(self._partitions))).items():
            partition = self._partitions.get(place)
            if partition is not None:
                partition.measured(end, await kafka.position(place))
                if partition.lag is not None:
                    name = self._topics[place.topic].name
                    self._work.metrics.lag.labels(self._group, name, place.partition).set(partition.lag)

    async def _report_positions(self, kafka: AIOKafkaConsumer) -> None:
        moved = {
            place: partition.position
            for place, partition in self._partitions.items()
            if partition.lag is not None and self._reported.get(place) != partition.position
        }
        if moved:
            with suppress(KafkaError):  # Refused during a rebalance, and no loss: the database has them.
                await kafka.commit(moved)
                self._reported |= moved

    def _committed(self) -> None:
        self.progress.moved()
        if self._after_commit is not None:
            self._after_commit()

    def assign(self, kafka: AIOKafkaConsumer, places: Iterable[TopicPartition]) -> None:
        for place in places:
            topic = self._topics[place.topic]
            processor = Processor(self._work, topic, self._dead_letters[place.topic], place.partition)
            self._partitions[place] = Partition(place, kafka, processor, self._max_batch)
        self._heard = time.monotonic()
        self._problem = ""

    async def give_up(self, kafka: AIOKafkaConsumer) -> None:
        """Stop all partitions; the positions they reached are reported before others take them."""
        partitions = list(self._partitions.values())
        await asyncio.gather(*(partition.stop(_GRACE) for partition in partitions))
        if partitions:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await self._report_positions(kafka)
        for place in self._partitions:
            with suppress(KeyError):
                self._work.metrics.lag.remove(self._group, self._topics[place.topic].name, place.partition)
        self._partitions.clear()
        self._reported.clear()

    async def _close(self, kafka: AIOKafkaConsumer, watch: asyncio.Task[None] | None) -> None:
        if watch is not None:
            watch.cancel()
            await asyncio.wait({watch})
        await self.give_up(kafka)
        try:
            async with asyncio.timeout(2.0):
                await kafka.stop()
        except (KafkaError, TimeoutError) as error:
            log.warning("the group was left without a word", consumer=self._group, error=repr(error))


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka has no types
    """Hears of assignments. aiokafka gives up all partitions before each rebalance and waits until this returns."""

    def __init__(self, consumer: Consumer, kafka: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._kafka = kafka

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:  # noqa: ARG002 - always all of them
        await self._consumer.give_up(self._kafka)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._consumer.assign(self._kafka, assigned)


def _places(error: OffsetOutOfRangeError | NoOffsetForPartitionError) -> Iterable[TopicPartition]:
    """aiokafka puts them into the error's first argument: as a dict, or as the partition itself."""
    argument = error.args[0]
    return argument if isinstance(argument, dict) else [argument]

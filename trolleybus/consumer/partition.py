"""One assigned partition: finds its position, takes the records that the group's reader feeds it, hands them on in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from trolleybus.consumer.positions import Fenced, advance, first_position
from trolleybus.consumer.processing import Processor, Stopping, backoff
from trolleybus.db import is_outage
from trolleybus.telemetry import get_logger

log = get_logger(__name__)


class Partition:
    """Lives from an assignment to the revocation after it."""

    def __init__(self, place: TopicPartition, kafka: AIOKafkaConsumer, processor: Processor, max_batch: int) -> None:
        self.place = place
        self._end: int | None = None
        self._kafka = kafka
        self._processor = processor
        self._max_batch = max_batch
        self._queue: deque[ConsumerRecord] = deque()
        self._read_to = 0  # All records below this were fed.
        self._fed = asyncio.Event()
        self._lost_position = False
        self._positioned = False
        kafka.pause(place)
        kafka.seek(place, 0)  # Some position, so that Kafka's own offset is not asked for.
        self._task = asyncio.create_task(self._run(), name=f"{place.topic}/{place.partition}")

    @property
    def position(self) -> int:
        return self._processor.position

    @property
    def problem(self) -> str:
        """Why it does not go on; "" when it does."""
        if self._processor.problem or self._positioned:
            return self._processor.problem
        return f"{self.place.topic}/{self.place.partition}: position not known yet"

    @property
    def lag(self) -> int | None:
        """None before it is known. What transactions leave on the log besides records is lag only while records wait."""
        if self._end is None or not self._positioned:
            return None
        reached = self.position if self._queue else max(self.position, self._read_to)
        return max(0, self._end - reached)

    def feed(self, records: Sequence[ConsumerRecord]) -> None:
        if not self._positioned:
            return  # Read from before the position was known.
        self._queue.extend(records)
        if len(self._queue) > 2 * self._max_batch:
            self._kafka.pause(self.place)
        self._fed.set()

    def measured(self, end: int, read_to: int) -> None:
        """Where the log ends, and to where the group's reader has come, all of whose records were fed.

        A transaction ends in a mark, which takes an offset and is no record: the position is moved past marks here, at the
        pace of these calls. Topics with a barrier have no transactions; on them only handling moves a position.
        """
        self._end = end
        if self._positioned and not self._processor.topic.barrier and read_to > max(self._read_to, self.position):
            self._read_to = read_to
            self._fed.set()

    def out_of_range(self) -> None:
        """Kafka does not have the offset that was asked for: find the position anew."""
        self._lost_position = True
        self._fed.set()

    async def stop(self, grace: float) -> None:
        """Finish the transaction in flight; after `grace` s it is rolled back."""
        self._processor.stopping.set()
        self._fed.set()
        _, late = await asyncio.wait({self._task}, timeout=grace)
        if late:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while not self._processor.stopping.is_set():
            try:
                await self._find_position()
                await self._consume()
            except Stopping:
                return
            except Fenced as fenced:
                self._processor.work.metrics.fenced.labels(*self._labels()).inc()
                log.warning("fenced: reading the position again", reason=str(fenced))
            except Exception:
                # A bug of ours: loud, but the other partitions go on, and this one is tried again.
                log.exception("a partition's loop failed", topic=self.place.topic, partition=self.place.partition)
                self._processor.problem = f"{self.place.topic}/{self.place.partition}: its loop failed, see the log"
                await asyncio.sleep(1)

    async def _consume(self) -> None:
        while not self._lost_position:
            self._fed.clear()  # What is fed, measured or ended from here on wakes the wait below.
            if self._processor.stopping.is_set():
                raise Stopping
            batch = list(islice(self._queue, self._max_batch))
            if batch:
                await self._processor.handle(batch)
                for _ in batch:
                    self._queue.popleft()
                if len(self._queue) < self._max_batch:
                    self._kafka.resume(self.place)
            elif self._read_to > self.position:
                await self._processor.pass_to(self._read_to)
            else:
                await self._fed.wait()

    async def _find_position(self) -> None:
        self._positioned = False
        self._kafka.pause(self.place)  # Nothing is fetched before the database has said from where.
        failures = 0
        while True:
            try:
                position = await self._position()
            except Exception as error:
                if not (isinstance(error, KafkaError) or is_outage(error)):
                    raise
                self._processor.problem = f"{self.place.topic}/{self.place.partition}: {error!r}"
                failures += 1
            else:
                if position is not None:
                    break
                failures += 1
            await self._processor.pause(backoff(failures, longest=5.0))
        self._processor.position = position
        self._processor.problem = ""
        self._queue.clear()
        self._read_to = 0
        self._lost_position = False
        self._positioned = True
        self._kafka.seek(self.place, position)
        self._kafka.resume(self.place)

    async def _position(self) -> int | None:
        """Where to go on; None while the row is above the end of the log, which fails closed."""
        work, topic, partition = self._processor.work, self.place.topic, self.place.partition
        start = (await self._kafka.beginning_offsets([self.place]))[self.place]
        async with work.pool.connection() as conn:
            position = await first_position(conn, work.consumer, topic, partition, start)
        # Read after the position, which another owner may still be moving.
        end = (await self._kafka.end_offsets([self.place]))[self.place]
        self._end = end
        if position > end:
            problem = (
                f"{topic}/{partition}: position {position} is above the log's end {end}: the topic was reset or restored."
                " Nothing is read until the log has grown past it or the row in kafka_positions is removed"
            )
            if problem != self._processor.problem:
                log.error("a position above the end of the log", consumer=work.consumer, problem=problem)
            self._processor.problem = problem
            return None
        if position < start:
            log.error(
                "records were deleted before they were read", consumer=work.consumer, topic=topic, partition=partition,
                position=position, log_start=start,
            )  # fmt: skip
            async with work.pool.connection() as conn:
                await advance(conn, work.consumer, topic, partition, expected=position, following=start)
            work.metrics.lost.labels(*self._labels()).inc(start - position)
            position = start
        return position

    def _labels(self) -> tuple[str, str, int]:
        return self._processor.work.consumer, self._processor.topic.name, self.place.partition

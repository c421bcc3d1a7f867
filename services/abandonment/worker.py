"""The detector as a Faust application: its stream, its ticks, and what a rebalance does to its shards."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import faust
from aiokafka.errors import KafkaError
from faust.types import TP

from services.abandonment.detector import Detector, Fetched
from services.abandonment.log_reader import LogReader
from services.abandonment.metrics import AbandonmentMetrics
from services.abandonment.movement import Movement
from services.abandonment.shard import CLOCK_KEY, Settings, Shard, clock_key, read_row
from services.abandonment.table import CartTable, OwnershipLost
from trolleybus.readiness import PartStatus
from trolleybus.telemetry import get_logger
from trolleybus.topics import Topic

log = get_logger(__name__)

RAW: dict[str, Any] = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
BATCH_WAIT = 0.03
"""Seconds in which records are gathered into a batch."""


class StreamEnded(Exception):
    """Faust ended the stream without saying so; the process must not live on without it."""


class Worker:
    """Everything that touches carts runs under one lock; what cannot go on ends the process, which reads again."""

    def __init__(
        self,
        *,
        app: faust.App,
        table: CartTable,
        detector: Detector,
        log_reader: LogReader,
        topic: Topic,
        partitions: int,
        settings: Settings,
        metrics: AbandonmentMetrics,
        tick_seconds: float,
        batch: int,
    ) -> None:
        self._app = app
        self._table = table
        self._detector = detector
        self._log_reader = log_reader
        self._topic = topic
        self._settings = settings
        self._metrics = metrics
        self._batch = batch
        self._lock = asyncio.Lock()
        self._movement = Movement()
        source = app.topic(topic.full_name, partitions=partitions, allow_empty=True, **RAW)
        app.agent(source, name="detector", concurrency=1)(self._listen)
        app.timer(tick_seconds)(self._tick)
        app.on_partitions_revoked.connect(self._revoked)

    def status(self) -> PartStatus:
        """Ready once partitions are assigned and their carts restored."""
        if self._app.in_recovery:
            return PartStatus(ok=False, detail="restoring carts")
        if not (self._table.settled() and self._table.current()):
            return PartStatus(ok=False, detail="waiting for partitions")
        if self._detector.problem:
            return PartStatus(ok=False, detail=self._detector.problem)
        return PartStatus(
            ok=True, detail=f"{len(self._detector.shards)} partitions, {self._waiting()} carts wait for a time"
        )

    async def _listen(self, stream: Any) -> None:
        async for events in stream.noack_take(self._batch, within=BATCH_WAIT):
            await self._guarded(lambda events=events: self._hear_all(events))  # type: ignore[misc]  # bound at once
            for event in events:
                event.ack()
        if not self._app.should_stop:
            await self._app.crash(StreamEnded("the stream of cart.activity ended by itself"))

    async def _tick(self) -> None:
        if self._table.settled() and not self._app.should_stop:
            await self._guarded(self._silence)

    async def _revoked(self, *_: Any, **__: Any) -> None:
        """Before the group goes on: nothing of ours is under way any more."""
        async with self._lock:
            self._release()

    def _release(self) -> None:
        for partition in self._detector.shards:
            self._metrics.forget(partition)
        self._detector.shards = {}
        self._table.generation = -1
        self._movement = Movement()

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run one piece of work on the shards of the present assignment."""
        try:
            async with self._lock:
                if await self._restored():
                    await work()
        except OwnershipLost:
            log.warning("partitions were assigned anew in mid-work: the carts are restored again")
            self._release()
        except Exception as error:
            # Faust would skip the records and go on.
            log.exception("the detector cannot go on")
            await self._app.crash(error)
            raise

    async def _silence(self) -> None:
        for partition, shard in self._detector.shards.items():
            await self._detector.tick(partition)
            start, lag = shard.clock.next_offset, self._detector.lag(partition)
            if self._movement.is_stuck(partition, start, lag, time.monotonic()):
                await self._fill(partition, start, start + lag)

    async def _hear_all(self, events: Sequence[Any]) -> None:
        runs: dict[int, list[Fetched]] = defaultdict(list)
        for event in events:
            runs[event.message.partition].append(fetched(event.message))
        for partition, records in runs.items():
            await self._hear(partition, records)

    async def _hear(self, partition: int, records: Sequence[Fetched]) -> None:
        """Records of one partition; those missing before or among them are read from the log first."""
        while (gap := await self._detector.hear(partition, records)) is not None:
            if not await self._fill(partition, *gap):
                return

    async def _fill(self, partition: int, start: int, end: int) -> bool:
        """Hear what Faust has dropped or skipped; False if Kafka does not answer: then it is tried again as stuck."""
        self._metrics.gaps.inc()
        log.warning("records are missing: reading them from the log", partition=partition, start=start, end=end)
        try:
            async for records in self._log_reader.read(partition, start, end):
                while (hole := await self._detector.hear(partition, records)) is not None:
                    self._detector.pass_over(partition, hole[1])  # No record stands there: deleted, or a mark.
        except KafkaError as error:
            log.warning("the log cannot be read", partition=partition, reason=repr(error))
            return False
        self._detector.pass_over(partition, end)
        return True

    async def _restored(self) -> bool:
        """Shards for the present assignment, built from the table where it changed; False while it is not settled.

        The state's own offset is the authority. Faust reads on from the committed one: what lies before the state's is
        passed over, what is missing is read from the log.
        """
        if not self._table.settled():
            return False
        if self._table.current():
            return True
        began = time.monotonic()
        generation = self._app.consumer_generation_id
        self._release()
        owned = sorted(tp.partition for tp in self._app.consumer.assignment() if tp.topic == self._topic.full_name)
        firsts = await self._app.consumer.earliest_offsets(*map(self._place, owned)) if owned else {}
        shards = self._shards({number: firsts.get(self._place(number)) or 0 for number in owned})
        self._detector.shards = shards
        self._table.generation = generation
        took = time.monotonic() - began
        self._metrics.rebuild_seconds.set(took)
        log.info("restored", partitions=owned, carts=self._waiting(), seconds=round(took, 3))
        return True

    def _shards(self, firsts: dict[int, int]) -> dict[int, Shard]:
        """One shard a partition, from the table's rows; `firsts` tells where the log of each begins."""
        rows = self._table.rows
        shards = {number: Shard(number, rows, self._settings) for number in firsts}
        for number, shard in shards.items():
            shard.restore_clock(rows.get(clock_key(number)), firsts[number])
        for key, row in list(rows.items()):
            if key.startswith(CLOCK_KEY):
                continue
            state = read_row(row)
            if state.partition in shards:
                shards[state.partition].restore_timer(key, state)
            else:
                del rows[key]  # Another worker's by now; the table itself would keep it.
        return shards

    def _place(self, partition: int) -> TP:
        return TP(self._topic.full_name, partition)

    def _waiting(self) -> int:
        return sum(len(shard.timers) for shard in self._detector.shards.values())


def fetched(message: Any) -> Fetched:
    """A Faust message as the detector reads it."""
    headers = message.headers or ()
    pairs = headers.items() if isinstance(headers, dict) else headers
    return Fetched(
        message.partition,
        message.offset,
        round(message.timestamp * 1000),
        message.key,
        message.value,
        tuple((name, value or b"") for name, value in pairs),
    )

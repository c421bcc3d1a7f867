"""The detector as a Faust application: its stream, its ticks, and what a rebalance does to its shards."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import faust
from aiokafka.errors import IllegalStateError
from faust.types import TP

from services.abandonment.detector import Detector, Fetched
from services.abandonment.metrics import AbandonmentMetrics
from services.abandonment.rereading import Gap, Rereading
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
        self._topic = topic
        self._settings = settings
        self._metrics = metrics
        self._batch = batch
        self._lock = asyncio.Lock()
        self._rereading = Rereading()
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
        self._rereading = Rereading()

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
            next_offset = shard.clock.next_offset
            if self._rereading.is_stuck(partition, next_offset, self._detector.lag(partition), time.monotonic()):
                await self._read_again(partition, next_offset)

    async def _hear_all(self, events: Sequence[Any]) -> None:
        runs: dict[int, list[Fetched]] = defaultdict(list)
        for event in events:
            runs[event.message.partition].append(fetched(event.message))
        for partition, records in runs.items():
            await self._hear(partition, records)

    async def _hear(self, partition: int, records: Sequence[Fetched]) -> None:
        """Records of one partition; what lies behind a gap is not heard."""
        gap = await self._detector.hear(partition, records)
        if gap is None:
            return
        missing, found = gap
        verdict = self._rereading.gap(partition, missing, found)
        if verdict is Gap.REAL:
            self._detector.shards[partition].clock.next_offset = found
            await self._hear(partition, records)
        elif verdict is Gap.READ_AGAIN:
            await self._read_again(partition, missing)

    async def _read_again(self, partition: int, offset: int) -> None:
        self._metrics.gaps.inc()
        log.warning("records are missing: reading again", partition=partition, offset=offset)
        await self._seek(partition, offset)

    async def _restored(self) -> bool:
        """Shards for the present assignment, built from the table where it changed; False while it is not settled."""
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
        for number, shard in shards.items():
            # The state's own offset is the authority, not the committed one.
            if not await self._seek(number, shard.clock.next_offset):
                return False
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

    async def _seek(self, partition: int, offset: int) -> bool:
        """False if the partition is not ours any more."""
        try:
            await self._app.consumer.seek(self._place(partition), offset)
        except IllegalStateError:
            return False
        return True

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

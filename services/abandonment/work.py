"""A share at work: read, ask where the logs end, let silence speak, watch that everything moves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from services.abandonment.feed import Feed
from services.abandonment.log_ends import End, LogEnds, monotonic_ms
from services.abandonment.metrics import AbandonmentMetrics
from services.abandonment.partition import Partition
from services.abandonment.shard import MissingSetting, Stop
from services.abandonment.store_settings import StoreSettings, UnknownStore
from services.abandonment.tasks import all_of, end_all, first_failure
from services.abandonment.watch import STUCK_AFTER_MS, Movement, Stuck
from trolleybus.codec import Codec, UnknownSchema, UnreadableRecord
from trolleybus.producer import KafkaUnavailable
from trolleybus.registry import RegistryError
from trolleybus.telemetry import get_logger

log = get_logger(__name__)

LONGEST_PAUSE = 5.0
"""Seconds between tries while Kafka or the registry is away."""
PAUSE_S = 0.2
"""Seconds before leaders are asked again of whom one did not answer: each time means to look for them anew."""
FAREWELL_S = 3.0
"""Seconds in which what is under way is written before the partitions go to others."""


class Group(Protocol):
    """The membership."""

    async def commit(self, offsets: Mapping[int, int]) -> bool: ...
    def owner_of(self, partition: int) -> str: ...


class Work:
    """The partitions of one share, restored and ready. `problem` is what keeps it, "" for nothing."""

    def __init__(
        self,
        partitions: Mapping[int, Partition],
        *,
        feed: Feed,
        log_ends: LogEnds,
        group: Group,
        codec: Codec,
        settings: StoreSettings,
        metrics: AbandonmentMetrics,
        tick_seconds: float,
    ) -> None:
        self.partitions = partitions
        self._feed = feed
        self._log_ends = log_ends
        self._group = group
        self._codec = codec
        self._settings = settings
        self._metrics = metrics
        self._tick_seconds = tick_seconds
        self._ends: dict[int, End] = {}
        self._resolving: dict[int, asyncio.Task[None]] = {}
        self._sought: dict[int, int] = {}
        self._waits = ""
        self._stands = ""

    @property
    def problem(self) -> str:
        return self._waits or self._stands

    def offsets(self) -> dict[int, int]:
        """The source's next offset of each partition, as far as it is written."""
        return {number: partition.kept_offset for number, partition in self.partitions.items()}

    async def run(self, *beside: Coroutine[Any, Any, None]) -> None:
        """Until cancelled, with other endless work; then what is under way is written. Raises KafkaError, Stuck, and what
        the process must end for."""
        self._feed.begin({number: partition.shard.clock.next_offset for number, partition in self.partitions.items()})
        keeping = {number: asyncio.create_task(partition.keep()) for number, partition in self.partitions.items()}
        loops = [
            asyncio.create_task(loop) for loop in (self._read(), self._ask(), self._tick(), self._watch(), *beside)
        ]
        try:
            await first_failure((*keeping.values(), *loops))
        except asyncio.CancelledError:
            await end_all((*loops, *self._resolving.values()))
            await self._take_leave(keeping)
            raise
        finally:
            await end_all((*loops, *self._resolving.values(), *keeping.values()))

    async def _take_leave(self, keeping: Mapping[int, asyncio.Task[None]]) -> None:
        """Write the rest, so that a successor need not do it again; if that does not work it will."""
        try:
            async with asyncio.timeout(FAREWELL_S):
                await all_of(*(partition.finish(keeping[number]) for number, partition in self.partitions.items()))
                if self.partitions:
                    await self._group.commit(self.offsets())
        except (KafkaError, TimeoutError) as error:
            log.warning("the rest is left to the successor", reason=repr(error))

    async def _read(self) -> None:
        while True:
            ready = [
                number
                for number, partition in self.partitions.items()
                if not partition.is_full and number not in self._resolving
            ]
            if not ready:
                await asyncio.sleep(self._tick_seconds)
                continue
            for number, records in (await self._feed.take(ready, within_ms=100)).items():
                self._hear(self.partitions[number], records)
            await asyncio.sleep(0)

    def _hear(self, partition: Partition, records: Sequence[ConsumerRecord]) -> None:
        shard = partition.shard
        stop = shard.hear(records)
        partition.consider(monotonic_ms())
        if stop is None:
            return
        number, next_offset = partition.number, shard.clock.next_offset
        if stop.waits_for is not None:
            self._resolving[number] = asyncio.create_task(self._resolve(partition, stop, records[stop.at]))
        elif self._sought.get(number) == next_offset:
            # Asked for twice: deleted by retention, or a transaction's mark.
            self._metrics.gaps.inc()
            log.warning("offsets hold no record", partition=number, start=next_offset, end=records[stop.at].offset)
            shard.pass_over(records[stop.at].offset)
            self._feed.seek(number, shard.clock.next_offset)
        else:
            self._sought[number] = next_offset
            self._feed.seek(number, next_offset)

    async def _resolve(self, partition: Partition, stop: Stop, record: ConsumerRecord) -> None:
        """Learn what a record waits for, while the other partitions go on; then it is read again."""
        waits_for = stop.waits_for
        try:
            if isinstance(waits_for, UnknownSchema):
                await self._patiently(lambda: self._codec.learn(waits_for.schema_id))
            elif isinstance(waits_for, MissingSetting):
                await self._patiently(lambda: self._settings.resolve(waits_for.store_id, waits_for.version))
        except (UnreadableRecord, UnknownStore) as error:
            partition.shard.park(record, error)
        except Exception as error:  # a schema or a setting that nobody foresaw must not hold the partition for ever
            log.exception("a record was parked for a mistake in the detector", partition=partition.number)
            partition.shard.park(record, error)
        self._feed.seek(partition.number, partition.shard.clock.next_offset)
        del self._resolving[partition.number]

    async def _patiently(self, attempt: Callable[[], Awaitable[Any]]) -> None:
        """Try until Kafka and the registry answer: what cannot be read must wait, never be skipped."""
        pause = 0.1
        while True:
            try:
                await attempt()
            except (KafkaUnavailable, RegistryError) as error:
                if not self._waits:
                    log.warning("waiting for Kafka or the registry", reason=str(error))
                self._waits = str(error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                self._waits = ""
                return

    async def _ask(self) -> None:
        """Keep the ends of the log up to date; where a leader does not answer the last word stands, and its time."""
        while True:
            try:
                ends = await self._log_ends.ask(self.partitions)
            except KafkaError as error:
                log.debug("no leader was asked for its end", reason=repr(error))
                ends = {}
            self._ends.update(ends)
            await asyncio.sleep(self._tick_seconds if len(ends) == len(self.partitions) else PAUSE_S)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._tick_seconds)
            for number, partition in self.partitions.items():
                partition.tick(self._ends.get(number), monotonic_ms())

    async def _watch(self) -> None:
        """Each second: what observers see, and whether everything moves. Raises Stuck."""
        movement = Movement()
        taken_at = monotonic_ms()
        while True:
            await asyncio.sleep(1.0)
            now = monotonic_ms()
            for number, partition in self.partitions.items():
                end = self._ends.get(number)
                partition.measure(end, now)
                if number in self._resolving:
                    movement.waits(number)
                else:
                    movement.seen(number, partition.shard.clock.next_offset, end, now)
            if not self.partitions or await self._group.commit(self.offsets()):
                taken_at = now
            elif now - taken_at >= STUCK_AFTER_MS and await self._feed.is_reachable():
                raise Stuck("the group has taken no offset for a minute, although Kafka answers")
            self._stands = await movement.problem(now, self._feed.is_reachable)

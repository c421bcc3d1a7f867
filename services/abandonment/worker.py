"""What a worker does with its share of the partitions: restore, read, let silence speak, stand by for others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any, Protocol

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from services.abandonment.api import CartView, Elsewhere, Restoring
from services.abandonment.feed import Feed
from services.abandonment.frame import Share
from services.abandonment.journal import Fenced, Journal
from services.abandonment.log_ends import End, LogEnds, monotonic_ms
from services.abandonment.metrics import AbandonmentMetrics
from services.abandonment.partition import Partition
from services.abandonment.restore import Changelog
from services.abandonment.shard import MissingSetting, Shard, Stop
from services.abandonment.store import CartStore, Disk
from services.abandonment.store_settings import StoreSettings, UnknownStore
from services.abandonment.watch import STUCK_AFTER_MS, Movement, Stuck
from trolleybus.codec import Codec, UnknownSchema, UnreadableRecord
from trolleybus.contracts.partition import partition_of
from trolleybus.producer import KafkaUnavailable
from trolleybus.readiness import PartStatus
from trolleybus.registry import RegistryError
from trolleybus.telemetry import get_logger

log = get_logger(__name__)

LONGEST_PAUSE = 5.0
"""Seconds between tries while Kafka or the registry is away."""
PAUSE_S = 0.2
"""Seconds before a question that failed is asked again."""
FAREWELL_S = 3.0
"""Seconds in which what is under way is written before the partitions go to others."""

OUTSIDE_S = 60.0
"""Seconds after which a worker that was fenced, and that the group tells nothing, ends."""


class SourceLost(Exception):
    """cart.activity ends before the state does: it was deleted or made anew. The text says what to do."""


class Group(Protocol):
    """The membership."""

    async def commit(self, offsets: Mapping[int, int]) -> bool: ...
    def owner_of(self, partition: int) -> str: ...


class Worker:
    """A member of the group. Work on a share begins anew from the rows after each rebalance and each refusal of Kafka."""

    def __init__(
        self,
        *,
        disk: Disk,
        changelog: Changelog,
        new_journal: Callable[[int], Journal],
        new_feed: Callable[[], Feed],
        new_log_ends: Callable[[], LogEnds],
        new_shard: Callable[[int, CartStore], Shard],
        new_partition: Callable[[Shard, Journal, CartStore], Partition],
        codec: Codec,
        settings: StoreSettings,
        metrics: AbandonmentMetrics,
        partitions: int,
        tick_seconds: float,
    ) -> None:
        self._disk = disk
        self._changelog = changelog
        self._new_journal = new_journal
        self._new_feed = new_feed
        self._new_log_ends = new_log_ends
        self._new_shard = new_shard
        self._new_partition = new_partition
        self._codec = codec
        self._settings = settings
        self._metrics = metrics
        self._count = partitions
        self._tick_seconds = tick_seconds
        self._group: Group | None = None
        self._share: Share | None = None
        self._stores: dict[int, CartStore] = {}
        self._task: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._remaining: dict[int, int] = {}
        self._resolving: dict[int, asyncio.Task[None]] = {}
        self._sought: dict[int, int] = {}
        self._reached: dict[int, int] = {}
        self.partitions: dict[int, Partition] = {}
        self.problem = ""
        self._stands = ""

    def join(self, group: Group) -> None:
        """The membership through which offsets are committed."""
        self._group = group

    async def run(self) -> None:
        """Until cancelled; raises what the work cannot go on after."""
        try:
            await self._ended
        finally:
            await self.release()
            for store in self._stores.values():
                store.close()
            self._stores.clear()

    def status(self) -> PartStatus:
        """Ready once the share is restored and worked on."""
        if self._share is None:
            return PartStatus(ok=False, detail="waiting for partitions")
        if self.problem or self._stands:
            return PartStatus(ok=False, detail=self.problem or self._stands)
        if len(self.partitions) < len(self._share.active):
            left = sum(self._remaining.values())
            return PartStatus(ok=False, detail=f"restoring carts: {left} records of the changelog to go")
        waiting = sum(len(partition.shard.timers) for partition in self.partitions.values())
        detail = f"{len(self.partitions)} partitions, {waiting} carts wait for a time"
        if self._share.standby:
            detail += f", stands by for {len(self._share.standby)}"
        return PartStatus(ok=True, detail=detail)

    def lookup(self, store_id: str, cart_id: str) -> CartView | Elsewhere | Restoring | None:
        """A cart as it is now, if its partition is worked on here."""
        key = f"{store_id}:{cart_id}".encode()
        number = partition_of(key, self._count)
        partition = self.partitions.get(number)
        if partition is not None:
            state = partition.shard.lookup(key)
            setting = self._settings.known(store_id, state.config_version) if state else None
            return CartView(state, setting, partition.shard.clock.now) if state and setting else None
        if self._share is not None and number in self._share.active:
            return Restoring(self.status().detail)
        return Elsewhere(self._group.owner_of(number) if self._group is not None else "")

    def take(self, share: Share) -> None:
        """The group has shared out the partitions."""
        log.info("partitions", generation=share.generation, active=len(share.active), standby=len(share.standby))
        self._share = share
        self._task = asyncio.create_task(self._serve(share))
        self._task.add_done_callback(self._served)

    async def release(self) -> None:
        """Write what is under way, then let go of everything but the rows on disk."""
        self._share = None
        self._reached = {}
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def _served(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None and not self._ended.done():
            self._ended.set_exception(task.exception() or RuntimeError)

    async def _serve(self, share: Share) -> None:
        pause = 0.2
        while True:
            began = monotonic()
            try:
                await self._work(share)
            except Fenced:
                self._metrics.fenced.inc()
                # A member's commit is taken; that of one that the group has given up is not.
                if self._group is None or not self._reached or not await self._group.commit(self._reached):
                    self.problem = "another worker has taken over; waiting for the group to say what is ours"
                    log.warning("fenced by another worker")
                    await asyncio.sleep(OUTSIDE_S)
                    raise
                self.problem = "another worker opened the journal of a partition that is ours"
                log.warning("fenced by a worker that is no longer in the group")
            except (KafkaError, KafkaUnavailable) as error:
                self.problem = f"Kafka: {error or type(error).__name__}"
                log.warning("work begins anew from the rows", reason=repr(error))
            self._metrics.restarts.inc()
            pause = 0.2 if monotonic() - began > LONGEST_PAUSE else min(pause * 2, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _work(self, share: Share) -> None:
        """Endless. Raises KafkaError, and what the process must end for."""
        began = monotonic()
        self._keep_stores(share)
        async with AsyncExitStack() as stack:
            journals = {number: self._new_journal(number) for number in share.active}
            feed, log_ends = self._new_feed(), self._new_log_ends()
            stack.push_async_callback(_close, feed, log_ends, *journals.values())
            # From here on nobody else writes these partitions: what stands now is what is restored.
            await _all(feed.open(), log_ends.open(), *(journal.open() for journal in journals.values()))
            await self._changelog.restore({number: self._stores[number] for number in share.active}, self._restoring)
            partitions = await self._begin(share, journals, feed)
            stack.callback(self._forget, tuple(partitions))
            feed.begin({number: partition.shard.clock.next_offset for number, partition in partitions.items()})
            self.partitions = partitions
            self._reached = self._offsets()
            self.problem = ""
            self._metrics.recovery_seconds.set(monotonic() - began)
            log.info("restored", partitions=sorted(partitions), seconds=round(monotonic() - began, 3))
            await self._go_on(share, partitions, feed, log_ends)

    async def _begin(self, share: Share, journals: Mapping[int, Journal], feed: Feed) -> dict[int, Partition]:
        partitions = {}
        bounds = await feed.bounds(share.active)
        for number in sorted(share.active):
            first, end = bounds[number]
            store = self._stores[number]
            shard = self._new_shard(number, store)
            shard.restore(first)
            if shard.clock.next_offset > end:
                raise SourceLost(
                    f"partition {number} of cart.activity ends at {end} and its state stands at {shard.clock.next_offset}:"
                    " the topic was deleted or made anew. If that was meant, delete the changelog and STATE_DIR"
                )
            partitions[number] = self._new_partition(shard, journals[number], store)
            await asyncio.sleep(0)
        return partitions

    async def _go_on(self, share: Share, partitions: Mapping[int, Partition], feed: Feed, log_ends: LogEnds) -> None:
        keeping = {number: asyncio.create_task(partition.keep()) for number, partition in partitions.items()}
        ends: dict[int, End] = {}
        loops = [
            self._read(partitions, feed),
            self._ask(ends, partitions, log_ends),
            self._tick(partitions, ends),
            self._watch(partitions, ends, feed),
        ]
        if share.standby:
            loops.append(self._changelog.follow({number: self._stores[number] for number in share.standby}))
        others = [asyncio.create_task(loop) for loop in loops]
        try:
            await _first_failure((*keeping.values(), *others))
        except asyncio.CancelledError:
            await _end(others)
            self._end_resolving()
            await self._take_leave(partitions, keeping)
            raise
        finally:
            self._end_resolving()
            await _end((*others, *keeping.values()))

    async def _take_leave(self, partitions: Mapping[int, Partition], keeping: Mapping[int, asyncio.Task[None]]) -> None:
        """Write the rest, so that a successor need not do it again; if that does not work it will."""
        try:
            async with asyncio.timeout(FAREWELL_S):
                await _all(*(partition.finish(keeping[number]) for number, partition in partitions.items()))
                if self._group is not None and partitions:
                    await self._group.commit(self._offsets())
        except (KafkaError, TimeoutError) as error:
            log.warning("the rest is left to the successor", reason=repr(error))

    async def _read(self, partitions: Mapping[int, Partition], feed: Feed) -> None:
        while True:
            ready = [
                number
                for number, partition in partitions.items()
                if not partition.is_full and number not in self._resolving
            ]
            if not ready:
                await asyncio.sleep(self._tick_seconds)
                continue
            for number, records in (await feed.take(ready, within_ms=100)).items():
                self._hear(partitions[number], records, feed)
            await asyncio.sleep(0)

    def _hear(self, partition: Partition, records: Sequence[ConsumerRecord], feed: Feed) -> None:
        shard = partition.shard
        stop = shard.hear(records)
        partition.consider(monotonic_ms())
        if stop is None:
            return
        number, next_offset = partition.number, shard.clock.next_offset
        if stop.waits_for is not None:
            waiting = self._resolve(partition, stop, records[stop.at], feed)
            self._resolving[number] = asyncio.create_task(waiting)
        elif self._sought.get(number) == next_offset:
            # Asked for twice: deleted by retention, or a transaction's mark.
            self._metrics.gaps.inc()
            log.warning("offsets hold no record", partition=number, start=next_offset, end=records[stop.at].offset)
            shard.pass_over(records[stop.at].offset)
            feed.seek(number, shard.clock.next_offset)
        else:
            self._sought[number] = next_offset
            feed.seek(number, next_offset)

    async def _resolve(self, partition: Partition, stop: Stop, record: ConsumerRecord, feed: Feed) -> None:
        """Learn what a record waits for, while the other partitions go on; then it is read again."""
        waits_for = stop.waits_for
        try:
            if isinstance(waits_for, UnknownSchema):
                await self._patiently(lambda: self._codec.learn(waits_for.schema_id))
            elif isinstance(waits_for, MissingSetting):
                await self._patiently(lambda: self._settings.resolve(waits_for.store_id, waits_for.version))
        except (UnreadableRecord, UnknownStore) as error:
            partition.shard.park(record, error)
        feed.seek(partition.number, partition.shard.clock.next_offset)
        del self._resolving[partition.number]

    async def _patiently(self, attempt: Callable[[], Awaitable[Any]]) -> None:
        """Try until Kafka and the registry answer: what cannot be read must wait, never be skipped."""
        pause = 0.1
        while True:
            try:
                await attempt()
            except (KafkaUnavailable, RegistryError) as error:
                if not self.problem:
                    log.warning("waiting for Kafka or the registry", reason=str(error))
                self.problem = str(error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                self.problem = ""
                return

    async def _ask(self, ends: dict[int, End], partitions: Mapping[int, Partition], log_ends: LogEnds) -> None:
        """Keep the ends of the log up to date; where a leader does not answer the last word stands, and its time."""
        while True:
            try:
                ends.update(await log_ends.ask(partitions))
            except KafkaError as error:
                log.debug("no leader was asked for its end", reason=repr(error))
                await asyncio.sleep(PAUSE_S)
            await asyncio.sleep(self._tick_seconds)

    async def _tick(self, partitions: Mapping[int, Partition], ends: Mapping[int, End]) -> None:
        while True:
            await asyncio.sleep(self._tick_seconds)
            for number, partition in partitions.items():
                partition.tick(ends.get(number), monotonic_ms())

    async def _watch(self, partitions: Mapping[int, Partition], ends: Mapping[int, End], feed: Feed) -> None:
        """Each second: what observers see, and whether everything moves. Raises Stuck."""
        movement = Movement()
        taken_at = monotonic_ms()
        while True:
            await asyncio.sleep(1.0)
            now = monotonic_ms()
            for number, partition in partitions.items():
                end = ends.get(number)
                partition.measure(end, now)
                movement.seen(number, partition.shard.clock.next_offset, end, now)
            self._reached.update(self._offsets())
            if self._group is None or not self._reached or await self._group.commit(self._reached):
                taken_at = now
            elif now - taken_at >= STUCK_AFTER_MS and await feed.is_reachable():
                raise Stuck("the group has taken no offset for a minute, although Kafka answers")
            self._stands = await movement.problem(now, feed.is_reachable)

    def _offsets(self) -> dict[int, int]:
        return {number: partition.kept_offset for number, partition in self.partitions.items()}

    def _keep_stores(self, share: Share) -> None:
        mine = share.active | share.standby
        for number in set(self._stores) - mine:
            self._stores.pop(number).close()
        for number in mine - set(self._stores):
            self._stores[number] = self._disk.open(number)
        self._metrics.partitions.labels("active").set(len(share.active))
        self._metrics.partitions.labels("standby").set(len(share.standby))

    def _restoring(self, partition: int, remaining: int) -> None:
        self._remaining[partition] = remaining
        self._metrics.recovery_remaining.labels(str(partition)).set(remaining)

    def _forget(self, partitions: Sequence[int]) -> None:
        self.partitions = {}
        self._remaining.clear()
        self._sought.clear()
        self._stands = ""
        for number in partitions:
            self._metrics.forget(number)

    def _end_resolving(self) -> None:
        for task in self._resolving.values():
            task.cancel()
        self._resolving.clear()


async def _all(*work: Coroutine[Any, Any, None]) -> None:
    """All of it, or the first error once all have ended."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


async def _first_failure(loops: Sequence[asyncio.Task[None]]) -> None:
    done, _ = await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _close(*connections: Feed | LogEnds | Journal) -> None:
    """All at once; one that does not close in time is left to its time-outs."""
    try:
        async with asyncio.timeout(FAREWELL_S):
            await _all(*(connection.close() for connection in connections))
    except (KafkaError, TimeoutError) as error:
        log.warning("a connection did not close", reason=repr(error))

"""A member of the group: takes its share of the partitions, restores it, works on it, and lets it go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from time import monotonic

from aiokafka.errors import KafkaError

from services.abandonment.api import CartView, Elsewhere, Restoring
from services.abandonment.feed import Feed
from services.abandonment.frame import Share
from services.abandonment.journal import Fenced, Journal
from services.abandonment.log_ends import LogEnds
from services.abandonment.metrics import AbandonmentMetrics
from services.abandonment.partition import Partition
from services.abandonment.restore import Changelog
from services.abandonment.shard import Shard
from services.abandonment.store import CartStore, Disk
from services.abandonment.store_settings import StoreSettings
from services.abandonment.tasks import all_of
from services.abandonment.work import FAREWELL_S, LONGEST_PAUSE, Group, Work
from trolleybus.contracts.partition import partition_of
from trolleybus.producer import KafkaUnavailable
from trolleybus.readiness import PartStatus
from trolleybus.telemetry import get_logger

log = get_logger(__name__)

OUTSIDE_S = 60.0
"""Seconds after which a worker that was fenced, and that the group tells nothing, ends."""


class SourceLost(Exception):
    """cart.activity ends before the state does: it was deleted or made anew. The text says what to do."""


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
        new_work: Callable[[Mapping[int, Partition], Feed, LogEnds, Group], Work],
        settings: StoreSettings,
        metrics: AbandonmentMetrics,
        partitions: int,
    ) -> None:
        self._disk = disk
        self._changelog = changelog
        self._new_journal = new_journal
        self._new_feed = new_feed
        self._new_log_ends = new_log_ends
        self._new_shard = new_shard
        self._new_partition = new_partition
        self._new_work = new_work
        self._settings = settings
        self._metrics = metrics
        self._count = partitions
        self._group: Group | None = None
        self._share: Share | None = None
        self._stores: dict[int, CartStore] = {}
        self._task: asyncio.Task[None] | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._remaining: dict[int, int] = {}
        self._reached: Mapping[int, int] = {}
        self._work: Work | None = None
        self._problem = ""

    def join(self, group: Group) -> None:
        """The membership through which offsets are committed."""
        self._group = group

    async def run(self) -> None:
        """Until cancelled; raises what the work cannot go on after."""
        self._waiting = asyncio.create_task(self._stand_by_for_all())
        self._waiting.add_done_callback(self._served)
        try:
            await self._ended
        finally:
            await self._end_waiting()
            await self.release()
            for store in self._stores.values():
                store.close()
            self._stores.clear()

    def status(self) -> PartStatus:
        """Ready once the share is restored and worked on."""
        if self._share is None:
            return PartStatus(ok=False, detail="waiting for partitions")
        if self._problem:
            return PartStatus(ok=False, detail=self._problem)
        if self._work is None:
            left = sum(self._remaining.values())
            return PartStatus(ok=False, detail=f"restoring carts: {left} records of the changelog to go")
        if self._work.problem:
            return PartStatus(ok=False, detail=self._work.problem)
        partitions = self._work.partitions
        waiting = sum(len(partition.shard.timers) for partition in partitions.values())
        detail = f"{len(partitions)} partitions, {waiting} carts wait for a time"
        if self._share.standby:
            detail += f", stands by for {len(self._share.standby)}"
        return PartStatus(ok=True, detail=detail)

    def lookup(self, store_id: str, cart_id: str) -> CartView | Elsewhere | Restoring | None:
        """A cart as it is now, if its partition is worked on here."""
        key = f"{store_id}:{cart_id}".encode()
        number = partition_of(key, self._count)
        partition = self._work.partitions.get(number) if self._work else None
        if partition is not None:
            state = partition.shard.lookup(key)
            setting = self._settings.known(store_id, state.config_version) if state else None
            return CartView(state, setting, partition.shard.clock.now) if state and setting else None
        if self._share is not None and number in self._share.active:
            return Restoring(self.status().detail)
        return Elsewhere(self._group.owner_of(number) if self._group else "")

    def take(self, share: Share) -> None:
        """The group has shared out the partitions."""
        if self._group is None:
            raise RuntimeError("a share was given before the group was joined")
        log.info("partitions", generation=share.generation, active=len(share.active), standby=len(share.standby))
        self._share = share
        self._problem = ""
        self._task = asyncio.create_task(self._serve(share, self._group))
        self._task.add_done_callback(self._served)

    async def release(self) -> None:
        """Write what is under way, then let go of everything but the rows on disk."""
        self._share = None
        self._reached = {}
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _stand_by_for_all(self) -> None:
        """Until the group has given a first share, which takes it seconds where that of a dead worker must be noticed: whatever
        this one is given, some of its rows are here by then."""
        for number in range(self._count):
            self._stores[number] = self._disk.open(number)
            await asyncio.sleep(0)
        try:
            await self._changelog.follow(self._stores)
        except KafkaError as error:
            log.warning("the changelog is not read before there is a share", reason=repr(error))

    async def _end_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
            await asyncio.wait({waiting})

    def _served(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None and not self._ended.done():
            self._ended.set_exception(task.exception() or RuntimeError)

    async def _serve(self, share: Share, group: Group) -> None:
        pause = 0.2
        while True:
            began = monotonic()
            try:
                await self._work_on(share, group)
            except Fenced:
                self._metrics.fenced.inc()
                # A member's commit is taken; that of one that the group has given up is not.
                if not self._reached or not await group.commit(self._reached):
                    self._problem = "another worker has taken over; waiting for the group to say what is ours"
                    log.warning("fenced by another worker")
                    await asyncio.sleep(OUTSIDE_S)
                    raise
                self._problem = "another worker opened the journal of a partition that is ours"
                log.warning("fenced by a worker that is no longer in the group")
            except (KafkaError, KafkaUnavailable) as error:
                self._problem = f"Kafka: {error or type(error).__name__}"
                log.warning("work begins anew from the rows", reason=repr(error))
            self._metrics.restarts.inc()
            pause = 0.2 if monotonic() - began > LONGEST_PAUSE else min(pause * 2, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _work_on(self, share: Share, group: Group) -> None:
        """Endless. Raises KafkaError, and what the process must end for."""
        began = monotonic()
        self._reached = {}
        await self._end_waiting()
        self._keep_stores(share)
        async with AsyncExitStack() as stack:
            journals = {number: self._new_journal(number) for number in share.active}
            feed, log_ends = self._new_feed(), self._new_log_ends()
            stack.push_async_callback(_close, feed, log_ends, *journals.values())
            # From here on nobody else writes these partitions: what stands now is what is restored.
            await all_of(feed.open(), log_ends.open(), *(journal.open() for journal in journals.values()))
            await self._changelog.restore({number: self._stores[number] for number in share.active}, self._restoring)
            partitions = await self._begin(share, journals, feed)
            stack.callback(self._forget, tuple(partitions))
            work = self._work = self._new_work(partitions, feed, log_ends, group)
            self._problem = ""
            self._metrics.recovery_seconds.set(monotonic() - began)
            log.info("restored", partitions=sorted(partitions), seconds=round(monotonic() - began, 3))
            try:
                if share.standby:
                    standbys = {number: self._stores[number] for number in share.standby}
                    await work.run(self._changelog.follow(standbys))
                else:
                    await work.run()
            finally:
                self._reached = work.offsets()

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
        self._work = None
        self._remaining.clear()
        for number in partitions:
            self._metrics.forget(number)


async def _close(*connections: Feed | LogEnds | Journal) -> None:
    """All at once; one that does not close in time is left to its time-outs."""
    try:
        async with asyncio.timeout(FAREWELL_S):
            await all_of(*(connection.close() for connection in connections))
    except (KafkaError, TimeoutError) as error:
        log.warning("a connection did not close", reason=repr(error))

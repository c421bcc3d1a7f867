"""The parts that the detector stands on, on real Kafka: the journal's fence, the rows on disk, what the changelog gives back."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from prometheus_client import CollectorRegistry

from services.abandonment.changelog import CONFIG
from services.abandonment.frame import Share
from services.abandonment.journal import Fenced, Journal
from services.abandonment.metrics import AbandonmentMetrics
from services.abandonment.restore import TOO_OLD_MS, Changelog, ChangelogLost
from services.abandonment.store import CLOCK_KEY, CartStore, Disk, NoSlot
from services.abandonment.watch import EXIT_CODE, Pulse
from services.abandonment.worker import Worker
from tests.eventually import eventually
from trolleybus.envelope import Outgoing

PARTITIONS = 2


@dataclass
class Ground:
    """A changelog and a topic to tell on."""

    bootstrap: str
    changelog: str
    told: str

    def journal(self, partition: int = 0) -> Journal:
        return Journal(
            self.bootstrap,
            transactional_id=f"{self.changelog}-{partition}",
            changelog=self.changelog,
            partition=partition,
        )

    def telling(self, number: int) -> Outgoing:
        return Outgoing(self.told, b"k", b"%d" % number, ())

    async def restored(self, store: CartStore, partition: int = 0) -> None:
        await Changelog(self.bootstrap, self.changelog).restore({partition: store}, lambda *_: None)


class ShareBegins(Exception):
    """The share's work has begun, and needs not go on."""


class NoGroup:
    """A membership of nothing."""

    async def commit(self, offsets: Mapping[int, int]) -> bool:
        return False

    def owner_of(self, partition: int) -> str:
        return ""


@pytest_asyncio.fixture(loop_scope="session")
async def ground(env: dict[str, str]) -> AsyncIterator[Ground]:
    name = f"s{uuid.uuid4().hex[:8]}"
    bootstrap = env["KAFKA_BOOTSTRAP_SERVERS"]
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics(
        [NewTopic(f"{name}-changelog", PARTITIONS, 1, topic_configs=CONFIG), NewTopic(name, 1, 1)]
    )
    yield Ground(bootstrap, f"{name}-changelog", name)
    await admin.delete_topics([f"{name}-changelog", name])
    await admin.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path)
    yield disk
    disk.close()


@pytest.fixture
def store(disk: Disk) -> Iterator[CartStore]:
    store = disk.open(0)
    yield store
    store.close()


async def test_P2_a_worker_that_was_replaced_cannot_write(ground: Ground, store: CartStore) -> None:
    zombie, successor = ground.journal(), ground.journal()
    await zombie.open()
    await zombie.write([(b"cart", b"old"), (CLOCK_KEY, b"1")], [ground.telling(1)])
    await successor.open()
    with pytest.raises(Fenced):
        await zombie.write([(b"cart", b"older than the successor's"), (CLOCK_KEY, b"2")], [ground.telling(2)])
    await successor.write([(b"cart", b"new"), (CLOCK_KEY, b"3")], [])
    await ground.restored(store)
    assert store.get(b"cart") == b"new"
    await asyncio.gather(zombie.close(), successor.close())


async def test_P2_a_write_that_was_not_finished_is_not_there_after_a_takeover(ground: Ground, store: CartStore) -> None:
    dying, successor = ground.journal(), ground.journal()
    await dying.open()
    await dying.write([(b"a", b"1"), (CLOCK_KEY, b"1")], [])
    await dying._producer.begin_transaction()
    for ack, _ in await dying._send(ground.changelog, 0, [(b"a", b"half", []), (b"b", b"half", [])]):
        await ack
    await successor.open()
    await ground.restored(store)  # The log ends in the mark of an aborted transaction.
    assert (store.get(b"a"), store.get(b"b")) == (b"1", None)
    await asyncio.gather(dying.close(), successor.close())


async def test_a_write_larger_than_a_message_stands_whole(ground: Ground, store: CartStore) -> None:
    journal = ground.journal()
    await journal.open()
    rows = [(b"cart-%d" % number, bytes(3_000)) for number in range(700)]
    written = await journal.write([*rows, (b"large", bytes(2_000_000)), (CLOCK_KEY, b"end")], [])
    await ground.restored(store)
    assert len(list(store.carts())) == 701
    assert store.get(CLOCK_KEY) == b"end"
    assert written.next_offset == 702
    await journal.close()


async def test_tombstones_take_rows_away_and_the_rows_on_disk_go_on_where_they_stood(
    ground: Ground, store: CartStore
) -> None:
    journal = ground.journal()
    await journal.open()
    await journal.write([(b"a", b"1"), (b"b", b"1"), (CLOCK_KEY, b"1")], [])
    await ground.restored(store)
    first = store.next_offset
    await journal.write([(b"a", None), (b"b", b"2"), (CLOCK_KEY, b"2")], [])
    await ground.restored(store)
    assert [*store.carts()] == [(b"b", b"2")]
    assert (first, store.next_offset) == (3, 7)  # Two marks stand between and after.
    await journal.close()


async def test_rows_that_the_changelog_no_longer_has_are_an_error_and_not_a_start_from_nothing(
    ground: Ground, store: CartStore
) -> None:
    store.apply([(b"a", b"1")], next_offset=100, appended_at=10**15)
    with pytest.raises(ChangelogLost, match="deleted or made anew"):
        await ground.restored(store)


async def test_rows_older_than_the_tombstones_are_read_anew(ground: Ground, store: CartStore) -> None:
    journal = ground.journal()
    await journal.open()
    written = await journal.write([(b"a", b"1"), (CLOCK_KEY, b"1")], [])
    store.apply([(b"gone since", b"1")], written.next_offset, written.appended_at - TOO_OLD_MS - 60_000)
    await ground.restored(store)
    assert [*store.carts()] == [(b"a", b"1")]
    await journal.close()


async def test_the_answer_to_a_write_tells_the_brokers_time(ground: Ground) -> None:
    journal = ground.journal()
    await journal.open()
    first = await journal.write([(CLOCK_KEY, b"1")], [])
    second = await journal.write([(CLOCK_KEY, b"2")], [])
    assert 0 <= second.appended_at - first.appended_at <= second.acked_at - first.acked_at + 1_000
    await journal.close()


def test_workers_of_one_host_have_directories_of_their_own_and_a_new_one_finds_its_old_rows(tmp_path: Path) -> None:
    first, second = Disk(tmp_path), Disk(tmp_path)
    assert first.directory != second.directory
    rows = first.open(1)
    rows.apply([(b"a", b"1")], 5, 1)
    rows.close()
    kept = first.directory
    first.close()
    third = Disk(tmp_path)
    assert third.directory == kept
    again = third.open(1)
    assert (again.get(b"a"), again.next_offset) == (b"1", 5)
    again.close()
    with pytest.raises(NoSlot):
        Disk(tmp_path, slots=2)
    second.close()
    third.close()


async def test_a_loop_that_hangs_ends_the_process() -> None:
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    def told(code: int) -> None:
        loop.call_soon_threadsafe(ended.set_result, code)

    pulse = Pulse(hangs_after_s=0.3, end=told)
    pulse.start()
    async with asyncio.timeout(10):
        assert await ended == EXIT_CODE


async def test_a_worker_that_waits_for_its_share_brings_rows_here_meanwhile(ground: Ground, tmp_path: Path) -> None:
    for number in range(PARTITIONS):
        journal = ground.journal(number)
        await journal.open()
        await journal.write([(b"cart", b"%d" % number), (CLOCK_KEY, b"1")], [])
        await journal.close()
    nothing = cast(Any, None)
    begun_with: dict[int, bytes | None] = {}

    def share_begins(_number: int) -> Journal:
        begun_with.update({number: store.get(b"cart") for number, store in worker._stores.items()})
        raise ShareBegins

    disk = Disk(tmp_path)
    worker = Worker(
        disk=disk,
        changelog=Changelog(ground.bootstrap, ground.changelog),
        new_journal=share_begins,
        new_feed=nothing,
        new_log_ends=nothing,
        new_shard=nothing,
        new_partition=nothing,
        new_work=nothing,
        settings=nothing,
        metrics=AbandonmentMetrics(CollectorRegistry()),
        partitions=PARTITIONS,
    )
    worker.join(NoGroup())
    running = asyncio.create_task(worker.run())

    async def all_are_here() -> bool:
        return [worker._stores[number].get(b"cart") for number in worker._stores] == [b"0", b"1"]

    await eventually(all_are_here)
    worker.take(Share(1, active=frozenset({1})))
    with pytest.raises(ShareBegins):
        await running
    assert begun_with == {1: b"1"}
    assert not worker._stores
    disk.close()

"""The facts made anew from the log, beside those in use; then compared with them, or put in their place.

The live service goes on meanwhile. The replay never passes the positions that the live projection has committed, and for
its last steps keeps it waiting: so both have read the same records, the tables must be equal, and after the swap the live
projection goes on from its own positions.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from psycopg import Error, errors, sql

from services.analytics.domain.facts import TABLES, Facts
from services.analytics.domain.projection import facts_of
from services.analytics.store.changes import tell_all
from services.analytics.store.facts import LIVE, FactTables, take_alone
from trolleybus.codec import Codec, UnreadableRecord
from trolleybus.consumer import positions
from trolleybus.db import Connection, connect
from trolleybus.envelope import Received
from trolleybus.topics import Topic

BESIDE = "facts_rebuild"
"""The schema that is filled. What an interrupted rebuild left in it is dropped by the next one."""

_ONE_AT_A_TIME = 0x54425242  # "TBRB"
_SMALL_GAP = 2_000  # Records that the live projection may wait for.
_BATCH = 5_000

Progress = Callable[[int, int], None]
"""Records read so far, and how many there are to read."""


class RebuildError(Exception):
    """The rebuild could not be done; the facts in use are untouched. The text says what to do."""


@dataclass(slots=True)
class Outcome:
    """What a rebuild found. `differing`: rows of a table that are only in one of the two."""

    read: int = 0
    unreadable: int = 0
    kept: int = 0  # Rows taken from the old tables: they began before the log does.
    rows: dict[str, int] = field(default_factory=dict)
    differing: dict[str, int] = field(default_factory=dict)


class Rebuild:
    """One rebuild; `consumer` is the name of the live projection's positions."""

    def __init__(self, *, url: str, bootstrap: str, codec: Codec, topics: Sequence[Topic], consumer: str) -> None:
        self._url = url
        self._bootstrap = bootstrap
        self._codec = codec
        self._topics = {topic.full_name: topic for topic in topics}
        self._consumer = consumer
        self._tables = FactTables(BESIDE)

    async def check(self, progress: Progress) -> Outcome:
        """Fill the tables beside and compare them with those in use."""
        return await self._run(progress, swap=False)

    async def swap(self, progress: Progress) -> Outcome:
        """Fill the tables beside and put them in the place of those in use, in one transaction."""
        return await self._run(progress, swap=True)

    async def _run(self, progress: Progress, *, swap: bool) -> Outcome:
        outcome = Outcome()
        async with self._alone() as conn, self._replay(conn) as replay:
            await self._create(conn)
            while await self._gap(conn, replay) > _SMALL_GAP:
                await self._catch_up(conn, replay, outcome, progress)
            await self._catch_up(conn, replay, outcome, progress)
            outcome.kept = await self._tables.join_older(conn, LIVE, await replay.log_start())
            for table in TABLES:
                await conn.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(BESIDE, table.name)))
            async with conn.transaction():
                await conn.execute("SET LOCAL lock_timeout = '10s'")
                try:
                    await take_alone(conn)
                except errors.LockNotAvailable:
                    raise RebuildError(
                        "the service kept the facts locked for 10 s; nothing was changed: try again"
                    ) from None
                await self._catch_up(conn, replay, outcome, progress)
                await self._compare(conn, outcome)
                if swap:
                    await _swap(conn)
            await conn.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(BESIDE)))
        return outcome

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[Connection]:
        conn = await connect(self._url, name="analytics rebuild")
        try:
            cursor = await conn.execute("SELECT pg_try_advisory_lock(%s) AS held", [_ONE_AT_A_TIME])
            row = await cursor.fetchone()
            if row is None or not row["held"]:
                raise RebuildError("another rebuild is at work: wait for it")
            cursor = await conn.execute("SELECT to_regclass('facts_gate') IS NOT NULL AS there")
            row = await cursor.fetchone()
            if row is None or not row["there"]:
                raise RebuildError("there are no facts yet: start the analytics service once")
            yield conn
        finally:
            # The server notices a closed connection when it gets to it: the next rebuild need not wait for that.
            with suppress(Error):
                await conn.execute("SELECT pg_advisory_unlock_all()")
            await conn.close()

    @asynccontextmanager
    async def _replay(self, conn: Connection) -> AsyncIterator[_Replay]:
        kafka = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await kafka.start()
        try:
            held = await positions(conn, self._consumer, list(self._topics.values()))
            places = [TopicPartition(topic, partition) for topic, partition in held]
            if not places:
                raise RebuildError(f"the projection {self._consumer!r} has read nothing yet: nothing to rebuild")
            kafka.assign(places)
            starts = await kafka.beginning_offsets(places)
            for place, start in starts.items():
                kafka.seek(place, start)
            yield _Replay(kafka, dict(starts), dict(starts))
        finally:
            await kafka.stop()

    async def _create(self, conn: Connection) -> None:
        """The same tables as those in use, empty, with whatever migrations gave them."""
        beside, live = sql.Identifier(BESIDE), sql.Identifier(LIVE)
        await conn.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(beside))
        await conn.execute(sql.SQL("CREATE SCHEMA {}").format(beside))
        for table in TABLES:
            name = sql.Identifier(table.name)
            await conn.execute(
                sql.SQL("CREATE TABLE {}.{} (LIKE {}.{} INCLUDING ALL)").format(beside, name, live, name)
            )

    async def _targets(self, conn: Connection, replay: _Replay) -> dict[TopicPartition, int]:
        held = await positions(conn, self._consumer, list(self._topics.values()))
        return {place: held.get((place.topic, place.partition), 0) for place in replay.reached}

    async def _gap(self, conn: Connection, replay: _Replay) -> int:
        targets = await self._targets(conn, replay)
        return sum(max(0, target - replay.reached[place]) for place, target in targets.items())

    async def _catch_up(self, conn: Connection, replay: _Replay, outcome: Outcome, progress: Progress) -> None:
        """Read to where the live projection is, and not beyond."""
        targets = await self._targets(conn, replay)
        total = outcome.read + sum(max(0, target - replay.reached[place]) for place, target in targets.items())
        async for batch in replay.until(targets):
            facts = Facts()
            for place, record in batch:
                outcome.read += 1
                try:
                    content = await self._codec.decode(record.value)
                except UnreadableRecord:  # The live projection set it aside too.
                    outcome.unreadable += 1
                    continue
                name = self._topics[place.topic].name
                received = Received(name, place.partition, record.offset, record.timestamp, record.key, {}, content)
                facts.add(facts_of(content, received.arrival, received.appended_at))
            async with conn.transaction():
                await self._tables.join(conn, facts)
            progress(min(outcome.read, total), total)
        progress(total, total)

    async def _compare(self, conn: Connection, outcome: Outcome) -> None:
        for table in TABLES:
            names = {"beside": sql.Identifier(BESIDE, table.name), "live": sql.Identifier(LIVE, table.name)}
            cursor = await conn.execute(
                sql.SQL(
                    "SELECT (SELECT count(*) FROM {beside}) AS rows,"
                    " (SELECT count(*) FROM (TABLE {beside} EXCEPT TABLE {live}) AS surplus)"
                    " + (SELECT count(*) FROM (TABLE {live} EXCEPT TABLE {beside}) AS missing) AS differing"
                ).format(**names)
            )
            for row in await cursor.fetchall():
                outcome.rows[table.name] = row["rows"]
                outcome.differing[table.name] = row["differing"]


@dataclass(slots=True)
class _Replay:
    """Reads the log; `reached` is the next offset of each partition, `starts` where the log begins."""

    kafka: AIOKafkaConsumer
    starts: dict[TopicPartition, int]
    reached: dict[TopicPartition, int]
    first_appended: dict[TopicPartition, int] = field(default_factory=dict)

    async def until(
        self, targets: dict[TopicPartition, int]
    ) -> AsyncIterator[list[tuple[TopicPartition, ConsumerRecord]]]:
        """Batches of records below the targets."""
        wanted = {place for place, target in targets.items() if self.reached[place] < target}
        for place in self.reached:
            (self.kafka.resume if place in wanted else self.kafka.pause)(place)
        while wanted:
            fetched = await self.kafka.getmany(*wanted, timeout_ms=500, max_records=_BATCH)
            batch = []
            for place, records in fetched.items():
                below = [record for record in records if record.offset < targets[place]]
                if below:
                    self.first_appended.setdefault(place, below[0].timestamp)
                    batch += [(place, record) for record in below]
                if len(below) < len(records):
                    self.kafka.seek(place, targets[place])
            for place in list(wanted):
                self.reached[place] = min(await self.kafka.position(place), targets[place])
                if self.reached[place] >= targets[place]:
                    wanted.discard(place)
                    self.kafka.pause(place)
            if batch:
                yield batch

    async def log_start(self) -> int:
        """Facts that began before this (ms) may have lost records to the log's retention; 0 where it still has all."""
        now = int(time.time() * 1000)
        cut = [place for place, start in self.starts.items() if start > 0]
        return max((self.first_appended.get(place, now) for place in cut), default=0)


async def _swap(conn: Connection) -> None:
    live, beside, old = sql.Identifier(LIVE), sql.Identifier(BESIDE), sql.Identifier(f"{LIVE}_old")
    await conn.execute(sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(live, old))
    await conn.execute(sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(beside, live))
    await conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(old))
    await tell_all(conn)

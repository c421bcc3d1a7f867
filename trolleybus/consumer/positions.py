"""How far consumers have come: one row a partition, committed with the effects of the records before it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from trolleybus.db import Connection, Pool, fetch_one
from trolleybus.topics import Topic

Offsets: TypeAlias = dict[tuple[str, int], int]
"""(topic's name in Kafka, partition) -> offset of the first record not handled yet."""


class Fenced(Exception):
    """Someone else has moved this position: whoever meets this no longer owns the partition, or read a stale row."""


async def positions(conn: Connection, consumer: str, topics: Sequence[Topic]) -> Offsets:
    """The committed positions of a consumer (its group's name), whichever process committed them."""
    cursor = await conn.execute(
        "SELECT topic, partition, next_offset FROM kafka_positions WHERE consumer = %s AND topic = ANY(%s)",
        [consumer, [topic.full_name for topic in topics]],
    )
    return {(row["topic"], row["partition"]): row["next_offset"] for row in await cursor.fetchall()}


async def first_position(conn: Connection, consumer: str, topic: str, partition: int, start: int) -> int:
    """The position of a partition; `start` is written down where there is none yet."""
    await conn.execute(
        "INSERT INTO kafka_positions (consumer, topic, partition, next_offset) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        [consumer, topic, partition, start],
    )
    row = await fetch_one(
        conn,
        "SELECT next_offset FROM kafka_positions WHERE consumer = %s AND topic = %s AND partition = %s",
        [consumer, topic, partition],
    )
    return int(row["next_offset"])


async def advance(
    conn: Connection, consumer: str, topic: str, partition: int, *, expected: int, following: int
) -> None:
    """Move a position within the transaction of the effects; raises Fenced unless it stands where it is expected.

    Done first in the transaction: the row's lock makes a second owner wait and then fail, before it has done anything.
    """
    cursor = await conn.execute(
        "UPDATE kafka_positions SET next_offset = %s, updated_at = now()"
        " WHERE consumer = %s AND topic = %s AND partition = %s AND next_offset = %s",
        [following, consumer, topic, partition, expected],
    )
    if cursor.rowcount != 1:
        raise Fenced(f"the position of {consumer} in {topic}/{partition} is no longer {expected}")


class Progress:
    """Waits for a consumer's positions. Commits in this process wake it at once, those of others are polled for."""

    def __init__(self, consumer: str, topics: Sequence[Topic], *, poll_seconds: float = 0.05) -> None:
        self._consumer = consumer
        self._topics = topics
        self._poll = poll_seconds
        self._moved = asyncio.Event()

    def moved(self) -> None:
        """Called after each commit of this process."""
        self._moved.set()

    async def wait_for(self, pool: Pool, targets: Mapping[tuple[str, int], int], seconds: float) -> Offsets | None:
        """The positions, once each has reached its target; None if that takes longer than `seconds`.

        A position above its target is past it too: only the caller knows whether it is above the end of the log.
        """
        deadline = time.monotonic() + seconds
        while True:
            self._moved.clear()
            async with pool.connection() as conn:
                found = await positions(conn, self._consumer, self._topics)
            if all(found.get(place, -1) >= offset for place, offset in targets.items()):
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            try:
                async with asyncio.timeout(min(left, self._poll)):
                    await self._moved.wait()
            except TimeoutError:
                continue

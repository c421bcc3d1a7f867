"""Stores that are not written to, because a record behind the barrier could not be read."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from trolleybus.db import Connection

ALL = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Why a store ('*': every store) is held; released_at is None while it is in force."""

    id: int
    store_id: str
    topic: str
    partition: int
    record_offset: int
    reason: str
    held_at: int
    released_at: int | None = None
    released_by: str | None = None
    release_reason: str | None = None


async def hold(conn: Connection, store_id: str, topic: str, partition: int, offset: int, reason: str) -> None:
    """Hold a store for a record."""
    await conn.execute(
        "INSERT INTO holds (store_id, topic, partition, record_offset, reason, held_at)"
        " VALUES (%s, %s, %s, %s, %s, now_ms()) ON CONFLICT DO NOTHING",
        [store_id, topic, partition, offset, reason],
    )


async def held(conn: Connection, stores: Collection[str]) -> set[str]:
    """Those of the stores that are held."""
    cursor = await conn.execute(
        "SELECT DISTINCT store_id FROM holds WHERE released_at IS NULL AND store_id = ANY(%s)", [[*stores, ALL]]
    )
    found = {row["store_id"] for row in await cursor.fetchall()}
    return set(stores) if ALL in found else found


async def list_holds(conn: Connection, *, released: bool = False, limit: int = 200) -> list[Hold]:
    """Holds in force, newest first; with `released` the others too."""
    cursor = await conn.execute(
        "SELECT id, store_id, topic, partition, record_offset, reason, held_at, released_at, released_by, release_reason"
        " FROM holds WHERE %s OR released_at IS NULL ORDER BY id DESC LIMIT %s",
        [released, limit],
    )
    return [Hold(**row) for row in await cursor.fetchall()]


async def release(conn: Connection, hold_id: int, by: str, reason: str) -> bool:
    """Release a hold; False where there is none in force of that id. The row is the audit."""
    cursor = await conn.execute(
        "UPDATE holds SET released_at = now_ms(), released_by = %s, release_reason = %s"
        " WHERE id = %s AND released_at IS NULL",
        [by, reason, hold_id],
    )
    return cursor.rowcount == 1

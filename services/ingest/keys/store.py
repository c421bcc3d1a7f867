"""Uses of keys in PostgreSQL."""

from collections.abc import Mapping

from trolleybus.db import Connection

Uses = Mapping[tuple[str, str], int]
"""By store and key, ms since the epoch."""


async def note(conn: Connection, uses: Uses) -> None:
    """Many at once. Never moves back in time."""
    ordered = sorted(uses.items())  # Processes that write the same rows lock them in one order.
    await conn.execute(
        "INSERT INTO key_uses (store_id, key_id, used_at)"
        " SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[])"
        " ON CONFLICT (store_id, key_id) DO UPDATE SET used_at = greatest(key_uses.used_at, excluded.used_at)",
        [[store_id for (store_id, _), _ in ordered], [key_id for (_, key_id), _ in ordered], [at for _, at in ordered]],
    )


async def of_store(conn: Connection, store_id: str) -> list[tuple[str, int]]:
    """Keys and when each was last used, the latest first."""
    cursor = await conn.execute(
        "SELECT key_id, used_at FROM key_uses WHERE store_id = %s ORDER BY used_at DESC, key_id LIMIT 1000", [store_id]
    )
    return [(row["key_id"], row["used_at"]) for row in await cursor.fetchall()]

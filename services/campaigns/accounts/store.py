"""One-time sign-in codes, as hashes. They are the operator's, of no store."""

from trolleybus.db import Connection


async def insert(conn: Connection, code_hash: str, next_url: str, expires_at: int, now: int) -> None:
    await conn.execute("DELETE FROM sign_in_codes WHERE expires_at <= %s", [now])
    await conn.execute(
        "INSERT INTO sign_in_codes (code_hash, next_url, expires_at) VALUES (%s, %s, %s)",
        [code_hash, next_url, expires_at],
    )


async def use(conn: Connection, code_hash: str, now: int) -> str | None:
    """Where the code leads; None if it is unknown, used or too old. Of two at once, one gets it."""
    cursor = await conn.execute(
        "DELETE FROM sign_in_codes WHERE code_hash = %s AND expires_at > %s RETURNING next_url", [code_hash, now]
    )
    row = await cursor.fetchone()
    return row["next_url"] if row else None

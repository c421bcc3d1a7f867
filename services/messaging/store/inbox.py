"""The local inbox's SQL."""

from __future__ import annotations

from dataclasses import dataclass

from trolleybus.db import Connection, fetch_one


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A mail as the inbox lists it."""

    id: int
    message_id: str
    store_id: str
    address_hash: str
    sender: str
    recipient: str
    subject: str
    received_at: int


_FIELDS = ", ".join(Received.__dataclass_fields__)


async def insert(
    conn: Connection,
    *,
    message_id: str,
    store_id: str,
    address_hash: str,
    sender: str,
    recipient: str,
    subject: str,
    raw: bytes,
) -> int:
    """Store a mail; its number."""
    row = await fetch_one(
        conn,
        "INSERT INTO inbox (message_id, store_id, address_hash, sender, recipient, subject, raw, received_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, now_ms()) RETURNING id",
        [message_id, store_id, address_hash, sender, recipient, subject, raw],
    )
    return int(row["id"])


async def number_of(conn: Connection, message_id: str) -> int | None:
    """The number of the mail that a message became."""
    cursor = await conn.execute("SELECT min(id) AS id FROM inbox WHERE message_id = %s", [message_id])
    row = await cursor.fetchone()
    return None if row is None else row["id"]


async def search(
    conn: Connection, *, store_id: str = "", recipient: str = "", text: str = "", before: int = 0, limit: int = 50
) -> list[Received]:
    """Newest first; `recipient` is a whole address, `text` part of the subject or recipient, or a whole hash."""
    pattern = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    cursor = await conn.execute(
        f"SELECT {_FIELDS} FROM inbox WHERE (%(store)s = '' OR store_id = %(store)s)"  # noqa: S608 - constants
        " AND (%(recipient)s = '' OR lower(recipient) = lower(%(recipient)s))"
        " AND (%(text)s = '' OR subject ILIKE %(pattern)s OR recipient ILIKE %(pattern)s OR address_hash = %(text)s"
        "      OR message_id = %(text)s)"
        " AND (%(before)s = 0 OR id < %(before)s) ORDER BY id DESC LIMIT %(limit)s",
        {
            "store": store_id,
            "recipient": recipient,
            "text": text,
            "pattern": pattern,
            "before": before,
            "limit": limit,
        },
    )
    return [Received(**row) for row in await cursor.fetchall()]


async def find(conn: Connection, number: int) -> tuple[Received, bytes] | None:
    """A mail and its source."""
    cursor = await conn.execute(f"SELECT {_FIELDS}, raw FROM inbox WHERE id = %s", [number])  # noqa: S608 - constants
    row = await cursor.fetchone()
    if row is None:
        return None
    raw = bytes(row.pop("raw"))
    return Received(**row), raw

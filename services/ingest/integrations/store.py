"""Integrations in PostgreSQL. What a store's API does names the store in every WHERE; a process that serves all reads all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from services.ingest.integrations.domain.integration import Integration, SecretFact
from services.ingest.integrations.sealing import Place, Sealed
from trolleybus.db import Connection, fetch_one

CHANNEL = "trolleybus_integrations"
"""Where changes are told to the gateway's processes, by NOTIFY in the transaction that makes them."""


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A row of a secret, as the directory and `rewrap` need it."""

    place: Place
    sealed: Sealed
    valid_until: int


@dataclass(frozen=True, slots=True)
class Note:
    """What was last heard of an integration."""

    store_id: str
    integration_id: str
    event_at: int = 0
    error: str = ""
    error_at: int = 0


# --- a store's own ----------------------------------------------------------------------------------------------------


async def insert(conn: Connection, integration: Integration) -> None:
    """Raises UniqueViolation where the store has one of that kind."""
    await conn.execute(
        "INSERT INTO integrations (store_id, integration_id, kind, settings, version, connected_at)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        [
            integration.store_id,
            integration.integration_id,
            integration.kind,
            Jsonb(dict(integration.settings)),
            integration.version,
            integration.connected_at,
        ],
    )
    await _tell(conn)


async def lock(conn: Connection, store_id: str, integration_id: str) -> Integration | None:
    """As find, with the row locked until the transaction ends."""
    await conn.execute(
        "SELECT 1 FROM integrations WHERE store_id = %s AND integration_id = %s FOR UPDATE", [store_id, integration_id]
    )
    return await find(conn, store_id, integration_id)


async def find(conn: Connection, store_id: str, integration_id: str) -> Integration | None:
    cursor = await conn.execute(
        "SELECT * FROM integrations WHERE store_id = %s AND integration_id = %s", [store_id, integration_id]
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    secrets = await _secret_facts(conn, [store_id], [integration_id])
    return _integration(row, secrets)


async def page(
    conn: Connection, store_id: str, *, kind: str, before: tuple[int, str] | None, limit: int
) -> list[Integration]:
    """A store's, newest first, after the one at `before` (connected_at, id)."""
    at, integration_id = before or (2**62, "")
    cursor = await conn.execute(
        "SELECT * FROM integrations WHERE store_id = %s AND (%s = '' OR kind = %s)"
        " AND (connected_at, integration_id) < (%s, %s) ORDER BY connected_at DESC, integration_id DESC LIMIT %s",
        [store_id, kind, kind, at, integration_id, limit],
    )
    return await _with_secrets(conn, await cursor.fetchall())


async def sealed_secrets(conn: Connection, store_id: str, integration_id: str) -> list[SealedSecret]:
    cursor = await conn.execute(
        "SELECT * FROM integration_secrets WHERE store_id = %s AND integration_id = %s", [store_id, integration_id]
    )
    return [_sealed(row) for row in await cursor.fetchall()]


async def add_secret(conn: Connection, place: Place, sealed: Sealed, *, last4: str, valid_from: int) -> None:
    await conn.execute(
        "INSERT INTO integration_secrets"
        " (store_id, integration_id, secret_id, name, last4, key_id, wrapped_key, box, valid_from)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            place.store_id,
            place.integration_id,
            place.secret_id,
            place.name,
            last4,
            sealed.key_id,
            sealed.wrapped_key,
            sealed.box,
            valid_from,
        ],
    )


async def end_secrets(
    conn: Connection, store_id: str, integration_id: str, names: Sequence[str], *, until: int, now: int
) -> None:
    """Those of these names work until then, or as long as they would have if that is sooner; ended ones are deleted."""
    await conn.execute(
        "UPDATE integration_secrets SET valid_until = %s WHERE store_id = %s AND integration_id = %s"
        " AND name = ANY(%s) AND (valid_until = 0 OR valid_until > %s)",
        [until, store_id, integration_id, list(names), until],
    )
    await conn.execute(
        "DELETE FROM integration_secrets WHERE store_id = %s AND integration_id = %s"
        " AND valid_until > 0 AND valid_until <= %s",
        [store_id, integration_id, now],
    )


async def changed(conn: Connection, store_id: str, integration_id: str) -> None:
    """Counts a version and tells the processes, at the end of the transaction."""
    await conn.execute(
        "UPDATE integrations SET version = version + 1 WHERE store_id = %s AND integration_id = %s",
        [store_id, integration_id],
    )
    await _tell(conn)


async def disconnect(conn: Connection, store_id: str, integration_id: str, *, now: int, because: str) -> None:
    """Its secrets are deleted; the row stays as what was."""
    await conn.execute(
        "DELETE FROM integration_secrets WHERE store_id = %s AND integration_id = %s", [store_id, integration_id]
    )
    await conn.execute(
        "UPDATE integrations SET disconnected_at = %s, disconnected_because = %s"
        " WHERE store_id = %s AND integration_id = %s",
        [now, because, store_id, integration_id],
    )
    await changed(conn, store_id, integration_id)


async def note(conn: Connection, notes: Sequence[Note]) -> None:
    """What was heard, of many at once. Never moves back in time."""
    await conn.execute(
        "UPDATE integrations AS i SET last_event_at = greatest(i.last_event_at, n.event_at),"
        " last_error = CASE WHEN n.error_at > i.last_error_at THEN n.error ELSE i.last_error END,"
        " last_error_at = greatest(i.last_error_at, n.error_at)"
        " FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::text[], %s::bigint[])"
        " AS n (store_id, integration_id, event_at, error, error_at)"
        " WHERE i.store_id = n.store_id AND i.integration_id = n.integration_id",
        [
            [one.store_id for one in notes],
            [one.integration_id for one in notes],
            [one.event_at for one in notes],
            [one.error for one in notes],
            [one.error_at for one in notes],
        ],
    )


# --- every store's: operators, and processes that serve all -----------------------------------------------------------


async def store_of(conn: Connection, integration_id: str) -> str | None:
    """Whose it is, for an operator, who then works as that store."""
    cursor = await conn.execute("SELECT store_id FROM integrations WHERE integration_id = %s", [integration_id])
    row = await cursor.fetchone()
    return str(row["store_id"]) if row else None


async def page_of_all(conn: Connection, *, kind: str, before: tuple[int, str] | None, limit: int) -> list[Integration]:
    """Every store's, for an operator; else as `page`."""
    at, integration_id = before or (2**62, "")
    cursor = await conn.execute(
        "SELECT * FROM integrations WHERE (%s = '' OR kind = %s)"
        " AND (connected_at, integration_id) < (%s, %s) ORDER BY connected_at DESC, integration_id DESC LIMIT %s",
        [kind, kind, at, integration_id, limit],
    )
    return await _with_secrets(conn, await cursor.fetchall())


async def versions(conn: Connection) -> dict[str, int]:
    """The version of each integration that is connected."""
    cursor = await conn.execute("SELECT integration_id, version FROM integrations WHERE disconnected_at = 0")
    return {row["integration_id"]: row["version"] for row in await cursor.fetchall()}


async def load(
    conn: Connection, integration_ids: Sequence[str]
) -> tuple[list[Integration], dict[str, list[SealedSecret]]]:
    """These, as far as they are connected, and their secrets by integration, the newest first.

    Secrets are read after versions: what changes in between has a version that is met at the next look.
    """
    cursor = await conn.execute(
        "SELECT * FROM integrations WHERE integration_id = ANY(%s) AND disconnected_at = 0", [list(integration_ids)]
    )
    integrations = [_integration(row, ()) for row in await cursor.fetchall()]
    cursor = await conn.execute(
        "SELECT * FROM integration_secrets WHERE integration_id = ANY(%s) ORDER BY (valid_until = 0) DESC, valid_until DESC, secret_id",
        [list(integration_ids)],
    )
    secrets: dict[str, list[SealedSecret]] = {}
    for row in await cursor.fetchall():
        secrets.setdefault(row["integration_id"], []).append(_sealed(row))
    return integrations, secrets


async def count_not_under(conn: Connection, key_id: int) -> int:
    """Secrets whose data keys another key wraps."""
    row = await fetch_one(conn, "SELECT count(*) AS count FROM integration_secrets WHERE key_id <> %s", [key_id])
    return int(row["count"])


async def some_not_under(conn: Connection, key_id: int, after: Place | None, limit: int) -> list[SealedSecret]:
    """The next of them in the order of their places."""
    cursor = await conn.execute(
        "SELECT * FROM integration_secrets WHERE key_id <> %s AND (store_id, integration_id, secret_id) > (%s, %s, %s)"
        " ORDER BY store_id, integration_id, secret_id LIMIT %s",
        [key_id, *((after.store_id, after.integration_id, after.secret_id) if after else ("", "", "")), limit],
    )
    return [_sealed(row) for row in await cursor.fetchall()]


async def replace_wrapping(conn: Connection, before: SealedSecret, after: Sealed) -> None:
    """Nothing where it was rewrapped or deleted meanwhile."""
    place = before.place
    await conn.execute(
        "UPDATE integration_secrets SET key_id = %s, wrapped_key = %s"
        " WHERE store_id = %s AND integration_id = %s AND secret_id = %s AND key_id = %s",
        [
            after.key_id,
            after.wrapped_key,
            place.store_id,
            place.integration_id,
            place.secret_id,
            before.sealed.key_id,
        ],
    )


# --- rows ---------------------------------------------------------------------------------------------------------------


async def _tell(conn: Connection) -> None:
    await conn.execute("SELECT pg_notify(%s, '')", [CHANNEL])


async def _with_secrets(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> list[Integration]:
    secrets = await _secret_facts(
        conn, list({row["store_id"] for row in rows}), [row["integration_id"] for row in rows]
    )
    return [_integration(row, secrets) for row in rows]


async def _secret_facts(
    conn: Connection, store_ids: Sequence[str], integration_ids: Sequence[str]
) -> list[tuple[str, SecretFact]]:
    cursor = await conn.execute(
        "SELECT integration_id, secret_id, name, last4, valid_from, valid_until FROM integration_secrets"
        " WHERE store_id = ANY(%s) AND integration_id = ANY(%s) ORDER BY (valid_until = 0) DESC, valid_until DESC, secret_id",
        [list(store_ids), list(integration_ids)],
    )
    return [(row.pop("integration_id"), SecretFact(**row)) for row in await cursor.fetchall()]


def _integration(row: Mapping[str, Any], secrets: Sequence[tuple[str, SecretFact]]) -> Integration:
    own = tuple(secret for integration_id, secret in secrets if integration_id == row["integration_id"])
    return Integration(**row, secrets=own)


def _sealed(row: Mapping[str, Any]) -> SealedSecret:
    place = Place(row["store_id"], row["integration_id"], row["secret_id"], row["name"])
    sealed = Sealed(row["key_id"], bytes(row["wrapped_key"]), bytes(row["box"]))
    return SealedSecret(place, sealed, row["valid_until"])

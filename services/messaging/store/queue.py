"""Messages from request to settlement. Every move names the states that it may start from (domain.states)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from psycopg.types.json import Jsonb

from services.messaging.domain.barrier import Barrier
from services.messaging.domain.states import SETTLED, Event, State, sources, target
from trolleybus.contracts.messages import MessageRequested, MessageWithdrawn, TopicPosition
from trolleybus.db import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message without its content."""

    message_id: str
    store_id: str
    journey_id: str
    campaign_id: str
    cart_id: str
    episode_id: str
    customer_id: str
    channel: str
    step: int
    attempt: int
    purpose: str
    address_hash: str
    address_hashes: list[str]
    identities: list[str]
    purchase_since: int
    time_zone: str
    deferred_from: int
    not_before: int
    expires_at: int
    requested_at: int
    subject: str
    state: State
    due_at: int
    waiting_for: str
    claim: int
    tries: int
    barrier: tuple[TopicPosition, ...]
    barrier_read_at: int
    called_at: int
    provider: str
    provider_message_id: str
    rule: str
    detail: str
    deferred_until: int
    settled_at: int
    settled_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What is sent, in clear."""

    address: str
    sender_address: str
    sender_name: str
    reply_to: str
    subject: str
    html: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a message is moved on, and what is written down of it."""

    message_id: str
    event: Event
    state: State  # That it is in now.
    due_in_ms: int = 0
    rule: str = ""
    detail: str = ""
    deferred_until: int = 0
    provider_message_id: str = ""
    settled_by: str = ""
    called_at: int = 0  # 0: as it is.


_REQUESTED = tuple(MessageRequested.__dataclass_fields__)
_FIELDS = tuple(Message.__dataclass_fields__)
COLUMNS = ", ".join(f"m.{name}" for name in _FIELDS)


async def enqueue(conn: Connection, requests: Sequence[tuple[MessageRequested, Sequence[str]]]) -> None:
    """Take requests in, each with the hashes of its address; those that are known already are left as they are."""
    async with conn.cursor() as cursor:
        await cursor.executemany(
            "WITH fresh AS ("
            "INSERT INTO messages (message_id, store_id, journey_id, campaign_id, cart_id, episode_id, customer_id, channel,"
            " step, attempt, purpose, address_hash, address_hashes, identities, purchase_since, time_zone, deferred_from,"
            " not_before, expires_at, requested_at, subject, due_at)"
            " VALUES (%(message_id)s, %(store_id)s, %(journey_id)s, %(campaign_id)s, %(cart_id)s, %(episode_id)s,"
            " %(customer_id)s, %(channel)s, %(step)s, %(attempt)s, %(purpose)s, %(address_hash)s, %(address_hashes)s,"
            " %(identities)s, %(purchase_since)s, %(time_zone)s, %(deferred_from)s, %(not_before)s, %(expires_at)s,"
            " %(occurred_at)s, %(subject)s, %(not_before)s) ON CONFLICT DO NOTHING RETURNING message_id)"
            " INSERT INTO contents (message_id, address, sender_address, sender_name, reply_to, subject, html, body)"
            " SELECT message_id, %(address)s, %(sender_address)s, %(sender_name)s, %(reply_to)s, %(subject)s, %(html)s,"
            " %(text)s FROM fresh",
            [
                {
                    **{name: getattr(request, name) for name in _REQUESTED},
                    "address_hashes": list(hashes),
                    "identities": sorted({*request.identities, *hashes} - {""}),
                }
                for request, hashes in requests
            ],
        )


async def withdraw(conn: Connection, withdrawal: MessageWithdrawn) -> None:
    """Remember that a message was taken back, and look at it at once."""
    await conn.execute(
        "INSERT INTO withdrawals (message_id, store_id, reason, withdrawn_at) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
        [withdrawal.message_id, withdrawal.store_id, withdrawal.reason, withdrawal.occurred_at],
    )
    await conn.execute(
        "UPDATE messages SET due_at = least(due_at, now_ms()) WHERE message_id = %s AND state = ANY(%s)",
        [withdrawal.message_id, sources(Event.CLAIM)],
    )


async def next_due(conn: Connection) -> int | None:
    """Milliseconds until a queued message is due (0 or less: now); None where none is queued."""
    cursor = await conn.execute(
        "SELECT min(due_at) - now_ms() AS left FROM messages WHERE state IN ('queued', 'retry')"
    )
    row = await cursor.fetchone()
    return None if row is None or row["left"] is None else int(row["left"])


async def lock_due(conn: Connection, limit: int) -> tuple[list[tuple[Message, Content | None]], int]:
    """Due messages, locked by row, that no other process has locked, and the time (ms)."""
    cursor = await conn.execute(
        f"SELECT {COLUMNS}, now_ms() AS now_ms, c.address AS c_address, c.sender_address AS c_sender_address,"  # noqa: S608 - constants
        " c.sender_name AS c_sender_name, c.reply_to AS c_reply_to, c.subject AS c_subject, c.html AS c_html, c.body AS c_body"
        " FROM messages m LEFT JOIN contents c USING (message_id)"
        " WHERE m.state IN ('queued', 'retry') AND m.due_at <= now_ms()"
        " ORDER BY m.due_at, m.message_id LIMIT %s FOR UPDATE OF m SKIP LOCKED",
        [limit],
    )
    rows = await cursor.fetchall()
    found = [(message_of(row), _content_of(row)) for row in rows]
    return found, (rows[0]["now_ms"] if rows else 0)


async def claim(conn: Connection, message_ids: Sequence[str], barrier: Barrier, lease_s: float) -> dict[str, int]:
    """Claim messages that are locked; the number of each one's claim."""
    cursor = await conn.execute(
        "UPDATE messages SET state = %s, claim = claim + 1, claimed_at = now_ms(), lease_until = now_ms() + %s,"
        " barrier = %s, barrier_read_at = %s, waiting_for = '' WHERE message_id = ANY(%s) AND state = ANY(%s)"
        " RETURNING message_id, claim",
        [
            State.CLAIMED,
            round(lease_s * 1000),
            Jsonb([asdict(position) for position in barrier.ends]),
            barrier.read_at,
            list(message_ids),
            sources(Event.CLAIM),
        ],
    )
    return {row["message_id"]: row["claim"] for row in await cursor.fetchall()}


async def wait(conn: Connection, reasons: Sequence[tuple[str, str, int]]) -> None:
    """Leave messages queued: id, what for, and how long (ms) until the next look."""
    if reasons:
        await conn.execute(
            "UPDATE messages m SET waiting_for = w.reason, due_at = now_ms() + w.pause"
            " FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS w (message_id, reason, pause)"
            " WHERE m.message_id = w.message_id",
            [[one[index] for one in reasons] for index in range(3)],
        )


async def begin_calls(
    conn: Connection, claims: dict[str, int], called_at: int, provider: str, lease_s: float
) -> set[str]:
    """Write down that these are about to be called; those that may be: still claimed by us and not taken back."""
    cursor = await conn.execute(
        "UPDATE messages m SET state = %s, called_at = %s, provider = %s, lease_until = now_ms() + %s"
        " FROM unnest(%s::text[], %s::int[]) AS c (message_id, claim)"
        " WHERE m.message_id = c.message_id AND m.claim = c.claim AND m.state = ANY(%s)"
        " AND NOT EXISTS (SELECT FROM withdrawals w WHERE w.message_id = m.message_id) RETURNING m.message_id",
        [
            State.CALLING,
            called_at,
            provider,
            round(lease_s * 1000),
            list(claims),
            list(claims.values()),
            sources(Event.CALL),
        ],
    )
    return {row["message_id"] for row in await cursor.fetchall()}


async def give_back(conn: Connection, claims: dict[str, int]) -> None:
    """Queue again what we hold and surely have not called."""
    await conn.execute(
        "UPDATE messages m SET state = %s, due_at = least(due_at, now_ms()), lease_until = 0"
        " FROM unnest(%s::text[], %s::int[]) AS c (message_id, claim)"
        " WHERE m.message_id = c.message_id AND m.claim = c.claim AND m.state = ANY(%s)",
        [State.QUEUED, list(claims), list(claims.values()), sources(Event.RELEASE)],
    )


async def lock_held(conn: Connection, claims: dict[str, int]) -> list[Message]:
    """Messages whose newest claim is the given one, locked, in order of id."""
    cursor = await conn.execute(
        f"SELECT {COLUMNS} FROM messages m JOIN unnest(%s::text[], %s::int[]) AS c (message_id, claim)"  # noqa: S608 - constants
        " USING (message_id) WHERE m.claim = c.claim ORDER BY m.message_id FOR UPDATE OF m",
        [list(claims), list(claims.values())],
    )
    return [message_of(row) for row in await cursor.fetchall()]


async def lock_one(conn: Connection, message_id: str) -> Message | None:
    """A message, locked."""
    cursor = await conn.execute(
        f"SELECT {COLUMNS} FROM messages m WHERE message_id = %s FOR UPDATE",  # noqa: S608 - constants
        [message_id],
    )
    row = await cursor.fetchone()
    return None if row is None else message_of(row)


async def move(conn: Connection, outcomes: Sequence[Outcome]) -> None:
    """Write outcomes down; the rows must be locked and in the states that the outcomes name."""
    if not outcomes:
        return
    rows = [
        (
            outcome.message_id,
            outcome.state,
            target(outcome.event, outcome.state),
            outcome.rule,
            outcome.detail,
            outcome.deferred_until,
            outcome.provider_message_id,
            outcome.settled_by,
            outcome.called_at,
            outcome.due_in_ms,
        )
        for outcome in outcomes
    ]
    await conn.execute(
        "UPDATE messages m SET state = o.next, rule = o.rule, detail = o.detail, deferred_until = o.deferred_until,"
        " provider_message_id = o.provider_message_id, settled_by = o.settled_by, waiting_for = '', lease_until = 0,"
        " called_at = CASE WHEN o.called_at > 0 THEN o.called_at ELSE m.called_at END,"
        " tries = tries + (o.next = 'retry')::int, due_at = now_ms() + o.pause,"
        " settled_at = CASE WHEN o.next = ANY(%s) THEN now_ms() ELSE 0 END"
        " FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[],"
        " %s::bigint[], %s::bigint[]) AS o (message_id, state, next, rule, detail, deferred_until, provider_message_id,"
        " settled_by, called_at, pause)"
        " WHERE m.message_id = o.message_id AND m.state = o.state",
        [list(SETTLED), *([row[index] for row in rows] for index in range(10))],
    )
    settled = [message_id for message_id, _, following, *_ in rows if following in SETTLED]
    if settled:
        await conn.execute("DELETE FROM contents WHERE message_id = ANY(%s)", [settled])


async def expire_claims(conn: Connection) -> int:
    """Queue again what was claimed and never called."""
    cursor = await conn.execute(
        "UPDATE messages SET state = %s, due_at = least(due_at, now_ms()), lease_until = 0 WHERE message_id IN"
        " (SELECT message_id FROM messages WHERE state = ANY(%s) AND lease_until < now_ms() FOR UPDATE SKIP LOCKED)",
        [State.QUEUED, sources(Event.CLAIM_EXPIRED)],
    )
    return cursor.rowcount


async def lock_expired_calls(conn: Connection, limit: int = 100) -> list[Message]:
    """Calls whose lease ended without an answer, locked."""
    cursor = await conn.execute(
        f"SELECT {COLUMNS} FROM messages m WHERE state = ANY(%s) AND lease_until < now_ms()"  # noqa: S608 - constants
        " ORDER BY message_id LIMIT %s FOR UPDATE SKIP LOCKED",
        [sources(Event.CALL_EXPIRED), limit],
    )
    return [message_of(row) for row in await cursor.fetchall()]


async def in_doubt(conn: Connection, provider: str, limit: int = 200) -> list[str]:
    """Ids of messages in doubt that a provider was called for."""
    cursor = await conn.execute(
        "SELECT message_id FROM messages WHERE state = 'in_doubt' AND provider = %s ORDER BY called_at LIMIT %s",
        [provider, limit],
    )
    return [row["message_id"] for row in await cursor.fetchall()]


async def count_states(conn: Connection) -> dict[str, int]:
    """Messages that are not settled, by state."""
    cursor = await conn.execute(
        "SELECT state, count(*) AS n FROM messages WHERE state IN ('queued', 'claimed', 'calling', 'retry', 'in_doubt')"
        " GROUP BY state"
    )
    return {row["state"]: row["n"] for row in await cursor.fetchall()}


async def address_of(conn: Connection, message_id: str) -> str | None:
    """The address of a message that is not settled."""
    cursor = await conn.execute("SELECT address FROM contents WHERE message_id = %s", [message_id])
    row = await cursor.fetchone()
    return None if row is None else str(row["address"])


async def find(conn: Connection, message_id: str) -> Message | None:
    """A message by its id."""
    cursor = await conn.execute(
        f"SELECT {COLUMNS} FROM messages m WHERE message_id = %s",  # noqa: S608 - constants
        [message_id],
    )
    row = await cursor.fetchone()
    return None if row is None else message_of(row)


async def search(
    conn: Connection, *, store_id: str = "", states: Collection[str] = (), before: tuple[int, str] | None, limit: int
) -> list[Message]:
    """Newest first; `before` is the (requested_at, message_id) of the last one of the page before."""
    at, message_id = before or (2**62, "")
    cursor = await conn.execute(
        f"SELECT {COLUMNS} FROM messages m WHERE (%s = '' OR store_id = %s) AND (cardinality(%s::text[]) = 0 OR state = ANY(%s))"  # noqa: S608 - constants
        " AND (requested_at, message_id) < (%s, %s) ORDER BY requested_at DESC, message_id DESC LIMIT %s",
        [store_id, store_id, list(states), list(states), at, message_id, limit],
    )
    return [message_of(row) for row in await cursor.fetchall()]


def message_of(row: dict[str, Any]) -> Message:
    """A message of a row that has its columns."""
    values = {name: row[name] for name in _FIELDS}
    values["state"] = State(values["state"])
    values["barrier"] = tuple(TopicPosition(**position) for position in values["barrier"])
    return Message(**values)


def _content_of(row: dict[str, Any]) -> Content | None:
    if row["c_address"] is None:
        return None
    return Content(**{name: row[f"c_{name}"] for name in Content.__dataclass_fields__})


async def write_audit(conn: Connection, actor: str, action: str, subject: str, note: str) -> None:
    """What a person did."""
    await conn.execute(
        "INSERT INTO audit (at, actor, action, subject, note) VALUES (now_ms(), %s, %s, %s, %s)",
        [actor, action, subject, note],
    )

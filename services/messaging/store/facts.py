"""Everything that the rules ask about a batch of messages, read behind the barrier and under the locks of its people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from hashlib import blake2b

from services.messaging.domain.rules import Facts, Order
from services.messaging.domain.states import MAY_HAVE_GONE, State
from services.messaging.store import holds
from services.messaging.store.queue import Message
from trolleybus.contracts.permission import Permission
from trolleybus.contracts.stores import StoreConfig
from trolleybus.db import Connection

_LOCK_COUNT = 4096
"""People share a bounded number of locks: PostgreSQL keeps them in memory of fixed size."""
_PERSON_LOCKS = 0x54425045  # "TBPE"

People = dict[str, frozenset[str]]
"""Message id -> every identity of its person."""


async def people(conn: Connection, messages: Sequence[Message]) -> People:
    """The identities of each message's person: those it names, and all that are linked with one of them."""
    found: dict[str, set[str]] = {message.message_id: set(message.identities) for message in messages}
    cursor = await conn.execute(
        "SELECT DISTINCT n.message_id, linked.identity"
        " FROM (SELECT message_id, store_id, unnest(identities) AS identity FROM messages WHERE message_id = ANY(%s)) n"
        " JOIN people known ON known.store_id = n.store_id AND known.identity = n.identity"
        " JOIN people linked ON linked.store_id = n.store_id AND linked.person = known.person",
        [list(found)],
    )
    for row in await cursor.fetchall():
        found[row["message_id"]].add(row["identity"])
    return {message_id: frozenset(identities) for message_id, identities in found.items()}


async def lock_people(conn: Connection, identities: frozenset[str]) -> None:
    """Hold people until the transaction ends: claims and unsubscribes of one person come one after the other."""
    locks = sorted({int.from_bytes(blake2b(one.encode(), digest_size=4).digest()) % _LOCK_COUNT for one in identities})
    await conn.execute("SELECT pg_advisory_xact_lock(%s, lock) FROM unnest(%s::int[]) AS lock", [_PERSON_LOCKS, locks])


async def gather(
    conn: Connection,
    messages: Sequence[Message],
    persons: People,
    stores: Mapping[str, StoreConfig | None],
    channels: frozenset[str],
    now: int,
) -> dict[str, Facts]:
    """Facts by message id."""
    message_ids = [message.message_id for message in messages]
    held = await holds.held(conn, set(stores))
    withdrawn = await _withdrawn(conn, message_ids)
    earlier = await _earlier(conn, message_ids)
    orders = await _orders(conn, messages, persons)
    permissions = await _permissions(conn, message_ids)
    suppressed = await _suppressed(conn, message_ids)
    capped = await _capped(conn, messages, persons, stores, now)
    return {
        message.message_id: Facts(
            store=stores[message.store_id],
            held=message.store_id in held,
            withdrawn=message.message_id in withdrawn,
            transport=message.channel in channels,
            earlier=earlier.get(message.message_id, ()),
            order=orders.get(message.message_id),
            permission=permissions.get(message.message_id, Permission()),
            suppressed=suppressed.get(message.message_id, ""),
            sent_within_cap=capped[message.message_id][0],
            cap_frees_at=capped[message.message_id][1],
        )
        for message in messages
    }


async def _withdrawn(conn: Connection, message_ids: list[str]) -> set[str]:
    cursor = await conn.execute("SELECT message_id FROM withdrawals WHERE message_id = ANY(%s)", [message_ids])
    return {row["message_id"] for row in await cursor.fetchall()}


async def _earlier(conn: Connection, message_ids: list[str]) -> dict[str, tuple[State, ...]]:
    """States of the attempts before each message's own."""
    cursor = await conn.execute(
        "SELECT m.message_id, array_agg(e.state) AS states FROM messages m"
        " JOIN messages e ON e.journey_id = m.journey_id AND e.step = m.step AND e.channel = m.channel"
        "  AND e.store_id = m.store_id AND e.attempt < m.attempt"
        " WHERE m.message_id = ANY(%s) AND m.attempt > 1 GROUP BY m.message_id",
        [message_ids],
    )
    return {row["message_id"]: tuple(map(State, row["states"])) for row in await cursor.fetchall()}


async def _orders(conn: Connection, messages: Sequence[Message], persons: People) -> dict[str, Order]:
    """The latest order of each message's cart or person that was placed since the message asks."""
    pairs = [
        (message.message_id, message.store_id, identity)
        for message in messages
        for identity in persons[message.message_id]
    ]
    cursor = await conn.execute(
        "WITH told AS ("
        "  SELECT m.message_id, m.store_id, c.order_id, true AS of_the_cart FROM messages m"
        "   JOIN order_carts c ON c.store_id = m.store_id AND c.cart_id = m.cart_id"
        "   WHERE m.message_id = ANY(%s) AND m.cart_id <> ''"
        "  UNION ALL"
        "  SELECT i.message_id, i.store_id, b.order_id, false"
        "   FROM unnest(%s::text[], %s::text[], %s::text[]) AS i (message_id, store_id, identity)"
        "   JOIN order_buyers b ON b.store_id = i.store_id AND b.identity = i.identity"
        ") SELECT DISTINCT ON (t.message_id) t.message_id, t.order_id, t.of_the_cart,"
        "  CASE WHEN o.placed_at > 0 THEN o.placed_at ELSE o.paid_at END AS at"
        " FROM told t JOIN orders o ON o.store_id = t.store_id AND o.order_id = t.order_id"
        " WHERE o.placed_at > 0 OR o.paid_at > 0"
        " ORDER BY t.message_id, at DESC, t.of_the_cart DESC",
        [[message.message_id for message in messages], *([one[index] for one in pairs] for index in range(3))],
    )
    return {
        row["message_id"]: Order(order_id=row["order_id"], placed_at=row["at"], of_the_cart=row["of_the_cart"])
        for row in await cursor.fetchall()
    }


async def _permissions(conn: Connection, message_ids: list[str]) -> dict[str, Permission]:
    """Joined over the address' hashes under every version of the secret."""
    cursor = await conn.execute(
        "SELECT m.message_id, max(p.person_no_at) AS person_no_at, max(p.person_yes_at) AS person_yes_at,"
        " max(p.other_no_at) AS other_no_at, max(p.other_yes_at) AS other_yes_at FROM messages m"
        " JOIN permissions p ON p.store_id = m.store_id AND p.channel = m.channel AND p.address_hash = ANY(m.address_hashes)"
        " WHERE m.message_id = ANY(%s) GROUP BY m.message_id",
        [message_ids],
    )
    return {row.pop("message_id"): Permission(**row) for row in await cursor.fetchall()}


async def _suppressed(conn: Connection, message_ids: list[str]) -> dict[str, str]:
    cursor = await conn.execute(
        "SELECT m.message_id, min(s.reason) AS reason FROM messages m"
        " JOIN suppressions s ON s.store_id = m.store_id AND s.channel = m.channel AND s.address_hash = ANY(m.address_hashes)"
        " WHERE m.message_id = ANY(%s) GROUP BY m.message_id",
        [message_ids],
    )
    return {row["message_id"]: row["reason"] for row in await cursor.fetchall()}


async def _capped(
    conn: Connection,
    messages: Sequence[Message],
    persons: People,
    stores: Mapping[str, StoreConfig | None],
    now: int,
) -> dict[str, tuple[int, int]]:
    """How many marketing messages each person had within the store's period, and when there is room again (ms)."""
    result: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for message in messages:
        store = stores[message.store_id]
        if store is None or not (store.cap_messages and store.cap_seconds) or message.purpose == "transactional":
            continue
        cursor = await conn.execute(
            "SELECT claimed_at AS at FROM messages WHERE identities && %s::text[] AND store_id = %s AND state = ANY(%s)"
            " AND purpose <> 'transactional' AND claimed_at > %s AND message_id <> %s ORDER BY claimed_at",
            [
                list(persons[message.message_id]),
                message.store_id,
                list(MAY_HAVE_GONE),
                now - store.cap_seconds * 1000,
                message.message_id,
            ],
        )
        times = [row["at"] for row in await cursor.fetchall()]
        if len(times) >= store.cap_messages:
            result[message.message_id] = (len(times), times[-store.cap_messages] + store.cap_seconds * 1000)
        else:
            result[message.message_id] = (len(times), 0)
    return result

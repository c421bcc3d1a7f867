"""What the gate knows of orders, permissions and people. Every write commutes and may be repeated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from zlib import crc32

from services.messaging.domain.people import merge
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.customers import CustomerUpdated, IdentitiesLinked
from trolleybus.contracts.orders import OrderChanged, OrderPlaced
from trolleybus.contracts.permission import Permission, fold
from trolleybus.db import Connection
from trolleybus.envelope import Received

_LINK_LOCKS = 0x54424C4B  # "TBLK": one link of a store at a time, or two merges could miss each other.


async def add_orders(conn: Connection, orders: Iterable[OrderPlaced | OrderChanged]) -> None:
    """Fold orders; cancelled ones stay orders."""
    rows: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    buyers: set[tuple[str, str, str]] = set()
    carts: set[tuple[str, str, str]] = set()
    for order in orders:
        row = rows[order.store_id, order.order_id]
        if isinstance(order, OrderPlaced):
            row[0] = max(row[0], order.occurred_at)
        elif order.change == "paid":
            row[1] = max(row[1], order.occurred_at)
        buyers.update((order.store_id, identity, order.order_id) for identity in order.identities if identity)
        if order.cart_id:
            carts.add((order.store_id, order.cart_id, order.order_id))
    await conn.execute(
        "INSERT INTO orders (store_id, order_id, placed_at, paid_at)"
        " SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[])"
        " ON CONFLICT (store_id, order_id) DO UPDATE SET placed_at = greatest(orders.placed_at, excluded.placed_at),"
        " paid_at = greatest(orders.paid_at, excluded.paid_at)",
        _columns(sorted((*key, *row) for key, row in rows.items()), 4),
    )
    await conn.execute(
        "INSERT INTO order_buyers (store_id, identity, order_id)"
        " SELECT * FROM unnest(%s::text[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING",
        _columns(sorted(buyers), 3),
    )
    await conn.execute(
        "INSERT INTO order_carts (store_id, cart_id, order_id)"
        " SELECT * FROM unnest(%s::text[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING",
        _columns(sorted(carts), 3),
    )


async def add_words(conn: Connection, words: Iterable[Received[ConsentChanged]]) -> None:
    """Fold people's words on their addresses."""
    folded: dict[tuple[str, str, str], Permission] = defaultdict(Permission)
    for received in words:
        word = received.record
        key = (word.store_id, word.channel, word.address_hash)
        folded[key] = fold(folded[key], word, received.arrival)
    await join_permissions(conn, folded)


async def join_permissions(conn: Connection, permissions: dict[tuple[str, str, str], Permission]) -> None:
    """Join with what is known: the later of each kind of word, as the fold does it."""
    rows = sorted(
        (*key, one.person_no_at, one.person_yes_at, one.other_no_at, one.other_yes_at)
        for key, one in permissions.items()
    )
    await conn.execute(
        "INSERT INTO permissions AS p"
        " (store_id, channel, address_hash, person_no_at, person_yes_at, other_no_at, other_yes_at)"
        " SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])"
        " ON CONFLICT (store_id, channel, address_hash) DO UPDATE SET"
        " person_no_at = greatest(p.person_no_at, excluded.person_no_at),"
        " person_yes_at = greatest(p.person_yes_at, excluded.person_yes_at),"
        " other_no_at = greatest(p.other_no_at, excluded.other_no_at),"
        " other_yes_at = greatest(p.other_yes_at, excluded.other_yes_at)",
        _columns(rows, 7),
    )


async def add_links(conn: Connection, links: Iterable[CustomerUpdated | IdentitiesLinked]) -> None:
    """Join the identities that each record names into one person."""
    by_store: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for link in links:
        if len(link.identities) > 1:
            by_store[link.store_id].append(link.identities)
    locks = sorted({crc32(store.encode()) - 2**31 for store in by_store})
    await conn.execute("SELECT pg_advisory_xact_lock(%s, lock) FROM unnest(%s::int[]) AS lock", [_LINK_LOCKS, locks])
    for store, groups in sorted(by_store.items()):
        cursor = await conn.execute(
            "SELECT identity, person FROM people WHERE store_id = %s AND identity = ANY(%s)",
            [store, sorted({identity for group in groups for identity in group})],
        )
        merged = merge(groups, {row["identity"]: row["person"] for row in await cursor.fetchall()})
        if merged.relabelled:
            await conn.execute(
                "UPDATE people SET person = changed.new FROM unnest(%s::text[], %s::text[]) AS changed (old, new)"
                " WHERE store_id = %s AND person = changed.old",
                [*_columns(sorted(merged.relabelled.items()), 2), store],
            )
        await conn.execute(
            "INSERT INTO people (store_id, identity, person)"
            " SELECT %s, * FROM unnest(%s::text[], %s::text[]) ON CONFLICT (store_id, identity) DO UPDATE"
            " SET person = excluded.person WHERE people.person <> excluded.person",
            [store, *_columns(sorted(merged.labels.items()), 2)],
        )


async def suppress(
    conn: Connection, store_id: str, channel: str, address_hash: str, reason: str, message_id: str
) -> None:
    """Nothing goes to that address any more, whatever its purpose."""
    await conn.execute(
        "INSERT INTO suppressions (store_id, channel, address_hash, reason, message_id, since)"
        " VALUES (%s, %s, %s, %s, %s, now_ms()) ON CONFLICT DO NOTHING",
        [store_id, channel, address_hash, reason, message_id],
    )


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    return [[row[index] for row in rows] for index in range(width)]


async def permission(conn: Connection, store_id: str, channel: str, address_hash: str) -> Permission:
    """What is known of an address."""
    cursor = await conn.execute(
        "SELECT person_no_at, person_yes_at, other_no_at, other_yes_at FROM permissions"
        " WHERE store_id = %s AND channel = %s AND address_hash = %s",
        [store_id, channel, address_hash],
    )
    row = await cursor.fetchone()
    return Permission() if row is None else Permission(**row)

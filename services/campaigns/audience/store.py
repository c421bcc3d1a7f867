"""Profiles, links, consent and orders in PostgreSQL."""

from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Jsonb

from services.campaigns.audience.domain.profile import Profile, Word
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.customers import IdentitiesLinked
from trolleybus.contracts.orders import OrderPlaced
from trolleybus.contracts.permission import Permission, fold
from trolleybus.db import Connection
from trolleybus.envelope import Raw

LARGEST_PERSON = 200
"""Identities followed from one: a device in a shop's window belongs to everybody, and must not cost without end."""


async def link(conn: Connection, fact: IdentitiesLinked) -> None:
    """A star of links from the first identity, both ways: facts that commute, walked when somebody asks."""
    names = sorted(set(fact.identities))
    if len(names) < 2:
        return
    centre, others = names[0], names[1:]
    await conn.execute(
        "INSERT INTO identity_links (store_id, identity, other)"
        " SELECT %(store)s, %(centre)s, other FROM unnest(%(others)s::text[]) AS other"
        " UNION ALL SELECT %(store)s, other, %(centre)s FROM unnest(%(others)s::text[]) AS other"
        " ORDER BY 2, 3 ON CONFLICT DO NOTHING",
        {"store": fact.store_id, "centre": centre, "others": others},
    )


async def same_person(conn: Connection, store_id: str, identities: Sequence[str]) -> list[str]:
    """All identities of the person to whom these belong, these included."""
    if not identities:
        return []
    cursor = await conn.execute(
        "WITH RECURSIVE person (identity) AS ("
        "  SELECT unnest(%(identities)s::text[])"
        "  UNION"
        "  SELECT link.other FROM person JOIN identity_links link"
        "    ON link.store_id = %(store)s AND link.identity = person.identity"
        ") SELECT identity FROM person LIMIT %(limit)s",
        {"store": store_id, "identities": list(identities), "limit": max(LARGEST_PERSON, len(identities))},
    )
    return [row["identity"] for row in await cursor.fetchall()]


async def profile(conn: Connection, store_id: str, customer_id: str) -> Profile:
    """A customer's profile; an empty one for a customer not met yet."""
    cursor = await conn.execute(
        "SELECT traits, identities, first_seen_at FROM profiles WHERE store_id = %s AND customer_id = %s",
        [store_id, customer_id],
    )
    row = await cursor.fetchone()
    if row is None:
        return Profile(store_id=store_id, customer_id=customer_id)
    return _profile({"store_id": store_id, "customer_id": customer_id, **row})


async def save_profile(conn: Connection, one: Profile) -> None:
    await conn.execute(
        "INSERT INTO profiles (store_id, customer_id, traits, identities, first_seen_at)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (store_id, customer_id) DO UPDATE"
        " SET traits = excluded.traits, identities = excluded.identities, first_seen_at = excluded.first_seen_at",
        [
            one.store_id,
            one.customer_id,
            Jsonb({name: [word.at, word.by, word.value] for name, word in one.traits.items()}),
            sorted(one.identities),
            one.first_seen_at,
        ],
    )
    await conn.execute(
        "INSERT INTO profile_identities (store_id, identity, customer_id)"
        " SELECT %s, identity, %s FROM unnest(%s::text[]) AS identity ON CONFLICT DO NOTHING",
        [one.store_id, one.customer_id, sorted(one.identities)],
    )


async def profiles_of(conn: Connection, store_id: str, customer_id: str, identities: Sequence[str]) -> list[Profile]:
    """Every profile of a person: the customer's own, and those that share an identity."""
    cursor = await conn.execute(
        "SELECT store_id, customer_id, traits, identities, first_seen_at FROM profiles WHERE store_id = %(store)s"
        " AND customer_id IN (SELECT %(customer)s UNION SELECT customer_id FROM profile_identities"
        "   WHERE store_id = %(store)s AND identity = ANY(%(identities)s))",
        {"store": store_id, "customer": customer_id, "identities": list(identities)},
    )
    return [_profile(row) for row in await cursor.fetchall()]


async def add_consent(conn: Connection, change: ConsentChanged, arrival: int) -> None:
    """Folds commute: each kind of word keeps its latest time."""
    word = fold(Permission(), change, arrival)
    await conn.execute(
        "INSERT INTO permissions AS known"
        " (store_id, channel, address_hash, person_no_at, person_yes_at, other_no_at, other_yes_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (store_id, channel, address_hash) DO UPDATE SET"
        " person_no_at = greatest(known.person_no_at, excluded.person_no_at),"
        " person_yes_at = greatest(known.person_yes_at, excluded.person_yes_at),"
        " other_no_at = greatest(known.other_no_at, excluded.other_no_at),"
        " other_yes_at = greatest(known.other_yes_at, excluded.other_yes_at)",
        [
            change.store_id,
            change.channel,
            change.address_hash,
            word.person_no_at,
            word.person_yes_at,
            word.other_no_at,
            word.other_yes_at,
        ],
    )


async def permission(conn: Connection, store_id: str, channel: str, address_hashes: Sequence[str]) -> Permission:
    """What was said on a channel, about an address under any version of its hash."""
    cursor = await conn.execute(
        "SELECT coalesce(max(person_no_at), 0) AS person_no_at, coalesce(max(person_yes_at), 0) AS person_yes_at,"
        " coalesce(max(other_no_at), 0) AS other_no_at, coalesce(max(other_yes_at), 0) AS other_yes_at"
        " FROM permissions WHERE store_id = %s AND channel = %s AND address_hash = ANY(%s)",
        [store_id, channel, list(address_hashes)],
    )
    row = await cursor.fetchone()
    return Permission(**row) if row else Permission()


async def add_order(conn: Connection, order: OrderPlaced) -> None:
    """Two sources that tell of one order add up: all identities, the later time."""
    await conn.execute(
        "INSERT INTO orders_seen AS known (store_id, order_id, cart_id, occurred_at) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (store_id, order_id, cart_id) DO UPDATE"
        " SET occurred_at = greatest(known.occurred_at, excluded.occurred_at)",
        [order.store_id, order.order_id, order.cart_id, order.occurred_at],
    )
    await conn.execute(
        "INSERT INTO order_identities AS known (store_id, identity, order_id, occurred_at)"
        " SELECT %s, identity, %s, %s FROM unnest(%s::text[]) AS identity"
        " ON CONFLICT (store_id, identity, order_id) DO UPDATE"
        " SET occurred_at = greatest(known.occurred_at, excluded.occurred_at)",
        [order.store_id, order.order_id, order.occurred_at, sorted(set(order.identities))],
    )


async def ordered_since(conn: Connection, store_id: str, cart_id: str, identities: Sequence[str], since: int) -> bool:
    """Whether the cart or the person ordered at or after a time."""
    cursor = await conn.execute(
        "SELECT EXISTS (SELECT 1 FROM orders_seen"
        "   WHERE store_id = %(store)s AND cart_id = %(cart)s AND cart_id <> '' AND occurred_at >= %(since)s)"
        " OR EXISTS (SELECT 1 FROM order_identities"
        "   WHERE store_id = %(store)s AND identity = ANY(%(identities)s) AND occurred_at >= %(since)s) AS ordered",
        {"store": store_id, "cart": cart_id, "identities": list(identities), "since": since},
    )
    row = await cursor.fetchone()
    return bool(row and row["ordered"])


async def add_hold(conn: Connection, raw: Raw, reason: str, at: int) -> None:
    """An order, a consent or a link that cannot be read: somebody must look at it."""
    await conn.execute(
        'INSERT INTO holds (store_id, topic, partition, "offset", reason, at) VALUES (%s, %s, %s, %s, %s, %s)'
        " ON CONFLICT DO NOTHING",
        [raw.store_id(), raw.topic, raw.partition, raw.offset, reason, at],
    )


def _profile(row: dict[str, Any]) -> Profile:
    return Profile(
        store_id=row["store_id"],
        customer_id=row["customer_id"],
        traits={name: Word(at, by, value) for name, (at, by, value) in row["traits"].items()},
        identities=frozenset(row["identities"]),
        first_seen_at=row["first_seen_at"],
    )

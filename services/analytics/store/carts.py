"""The carts of a store, newest first, and what happened to each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trolleybus.db import Connection


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: after this cart."""

    opened_at: int
    cart_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One thing that happened to a cart; `what` as in the API, amounts in minor units."""

    cart_id: str
    at: int
    what: str
    level_seconds: int | None
    message_id: str | None
    detail: str | None
    minor: int | None
    currency: str | None


async def page_of_carts(conn: Connection, store_id: str, after: Place | None, limit: int) -> list[dict[str, Any]]:
    """Rows of carts that held an item, the last opened first."""
    cursor = await conn.execute(
        _PAGE if after is None else _PAGE_AFTER,
        {
            "store": store_id,
            "limit": limit,
            "opened_at": after.opened_at if after else None,
            "cart_id": after.cart_id if after else None,
        },
    )
    return await cursor.fetchall()


async def happened_to(conn: Connection, store_id: str, cart_ids: Sequence[str]) -> list[Happened]:
    """What happened to these carts, in order of time."""
    cursor = await conn.execute(_HAPPENED, {"store": store_id, "carts": list(cart_ids)})
    return [Happened(**row) for row in await cursor.fetchall()]


_COLUMNS = """
SELECT cart_id, first_item_at, COALESCE(last_item_at, 0) AS last_item_at,
       COALESCE(last_activity_at, 0) AS last_activity_at, COALESCE(emptied_at, 0) AS emptied_at,
       COALESCE(ordered_at, 0) AS ordered_at, COALESCE(expired_at, 0) AS expired_at,
       COALESCE(recovered_at, 0) AS recovered_at, contact_known, imported
FROM facts.carts WHERE store_id = %(store)s AND first_item_at IS NOT NULL
"""
_ORDER = " ORDER BY first_item_at DESC, cart_id DESC LIMIT %(limit)s"
_PAGE = _COLUMNS + _ORDER
_PAGE_AFTER = _COLUMNS + " AND (first_item_at, cart_id) < (%(opened_at)s, %(cart_id)s)" + _ORDER

_THESE = "store_id = %(store)s AND cart_id = ANY(%(carts)s)"

_HAPPENED = f"""
SELECT cart_id, due_at AS at, 'abandoned' AS what, level_seconds, NULL AS message_id, NULL AS detail,
       value_minor AS minor, currency
FROM facts.abandonments WHERE {_THESE}
UNION ALL
SELECT cart_id, recovered_at, 'recovered', NULL, NULL, NULL, total_minor, currency
FROM facts.recoveries WHERE {_THESE}
UNION ALL
SELECT cart_id, at, kind, NULL, NULL, NULL, NULL, NULL FROM facts.turns WHERE {_THESE}
UNION ALL
SELECT cart_id, entered_at, CASE WHEN held_out THEN 'held_out' ELSE 'entered' END, NULL, NULL, campaign_id, NULL, NULL
FROM facts.journeys WHERE {_THESE} AND entered_at IS NOT NULL
UNION ALL
SELECT cart_id, at, 'skipped', NULL, NULL, rule, NULL, NULL FROM facts.skips WHERE {_THESE}
UNION ALL
SELECT cart_id, step.at, 'message_' || step.what, NULL, message_id, COALESCE(step.detail, channel), NULL, NULL
FROM facts.messages CROSS JOIN LATERAL (VALUES
    (sent_at, 'sent', NULL), (delivered_at, 'delivered', NULL), (opened_at, 'opened', NULL),
    (clicked_at, 'clicked', NULL), (bounced_at, 'bounced', NULL), (complained_at, 'complained', NULL),
    (unsubscribed_at, 'unsubscribed', NULL), (deferred_at, 'deferred', deferred_rule),
    (refused_at, 'refused', refused_rule), (in_doubt_at, 'in_doubt', NULL)
) AS step (at, what, detail)
WHERE {_THESE} AND step.at IS NOT NULL
ORDER BY at, what
"""  # noqa: S608 - put together from constants

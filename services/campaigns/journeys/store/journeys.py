"""Journeys, and the log of what was decided."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from services.campaigns.journeys.domain.journey import Journey, Told
from trolleybus.codec import from_dict, to_dict
from trolleybus.contracts.journeys import HeldOut, JourneyEntered, JourneyExited, JourneySkipped, StepDecided
from trolleybus.contracts.messages import MessageWithdrawn
from trolleybus.db import Connection


@dataclass(frozen=True, slots=True)
class Due:
    """A journey whose turn it is, locked."""

    journey: Journey
    traceparent: str
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """One line of the log."""

    at: int
    journey_id: str
    cart_id: str
    record: str
    step: int | None
    attempt: int | None
    decision: str
    rule: str


async def save(conn: Connection, journey: Journey, now: int, traceparent: str = "") -> None:
    """The traceparent is that of the entry, and is kept."""
    cart = journey.cart
    await conn.execute(
        "INSERT INTO journeys (store_id, journey_id, campaign_id, cart_id, customer_id, identities, status, open, reason,"
        " opened_at, entered_at, due_at, step, steps_sent, message_id, state, traceparent, created_at, updated_at)"
        " VALUES (%(store_id)s, %(journey_id)s, %(campaign_id)s, %(cart_id)s, %(customer_id)s, %(identities)s, %(status)s,"
        " %(open)s, %(reason)s, %(opened_at)s, %(entered_at)s, %(due_at)s, %(step)s, %(steps_sent)s, %(message_id)s,"
        " %(state)s, %(traceparent)s, %(now)s, %(now)s)"
        " ON CONFLICT (store_id, journey_id) DO UPDATE SET identities = excluded.identities, status = excluded.status,"
        " open = excluded.open, reason = excluded.reason, opened_at = excluded.opened_at, entered_at = excluded.entered_at,"
        " due_at = excluded.due_at, step = excluded.step, steps_sent = excluded.steps_sent,"
        " message_id = excluded.message_id, state = excluded.state, updated_at = excluded.updated_at, failures = 0",
        {
            "store_id": cart.store_id,
            "journey_id": journey.journey_id,
            "campaign_id": journey.campaign_id,
            "cart_id": cart.cart_id,
            "customer_id": cart.customer_id,
            "identities": list(cart.identities),
            "status": journey.status,
            "open": journey.is_open,
            "reason": journey.reason,
            "opened_at": cart.opened_at,
            "entered_at": journey.entered_at,
            "due_at": journey.due_at if journey.takes_turns else None,
            "step": journey.step,
            "steps_sent": journey.steps_sent,
            "message_id": journey.message_id,
            "state": Jsonb(to_dict(journey)),
            "traceparent": traceparent,
            "now": now,
        },
    )


async def exists(conn: Connection, store_id: str, journey_id: str) -> bool:
    cursor = await conn.execute(
        "SELECT 1 FROM journeys WHERE store_id = %s AND journey_id = %s", [store_id, journey_id]
    )
    return await cursor.fetchone() is not None


async def entered_since(conn: Connection, journey: Journey, since: int) -> bool:
    """Whether the journey's cart entered its campaign after a time, or was held out then, on another journey."""
    cursor = await conn.execute(
        "SELECT 1 FROM journeys WHERE store_id = %s AND campaign_id = %s AND cart_id = %s AND entered_at > %s"
        " AND journey_id <> %s LIMIT 1",
        [journey.cart.store_id, journey.campaign_id, journey.cart.cart_id, since, journey.journey_id],
    )
    return await cursor.fetchone() is not None


async def open_of_cart(conn: Connection, store_id: str, cart_id: str) -> list[Journey]:
    """Locked; so are those of the next two."""
    cursor = await conn.execute(
        "SELECT state FROM journeys WHERE store_id = %s AND cart_id = %s AND open ORDER BY journey_id FOR UPDATE",
        [store_id, cart_id],
    )
    return [_journey(row) for row in await cursor.fetchall()]


async def open_of_buyer(
    conn: Connection, store_id: str, cart_id: str, identities: Sequence[str], until: int
) -> list[Journey]:
    """Of the cart or of the person, whose cart was opened at that time or before."""
    cursor = await conn.execute(
        "SELECT state FROM journeys WHERE store_id = %s AND open AND opened_at <= %s"
        " AND ((cart_id = %s AND cart_id <> '') OR identities && %s) ORDER BY journey_id FOR UPDATE",
        [store_id, until, cart_id, list(identities)],
    )
    return [_journey(row) for row in await cursor.fetchall()]


async def find_to_change(conn: Connection, store_id: str, journey_id: str) -> Journey | None:
    cursor = await conn.execute(
        "SELECT state FROM journeys WHERE store_id = %s AND journey_id = %s FOR UPDATE", [store_id, journey_id]
    )
    row = await cursor.fetchone()
    return _journey(row) if row else None


async def take_due(conn: Connection, now: int, limit: int) -> list[Due]:
    """Those whose turn it is and that no other worker has, of all stores; paused campaigns wait."""
    cursor = await conn.execute(
        "SELECT journeys.state, journeys.traceparent, journeys.failures FROM journeys"
        " JOIN campaigns ON campaigns.store_id = journeys.store_id AND campaigns.campaign_id = journeys.campaign_id"
        " WHERE journeys.due_at <= %s AND campaigns.status = 'active'"
        " ORDER BY journeys.due_at LIMIT %s FOR UPDATE OF journeys SKIP LOCKED",
        [now, limit],
    )
    return [Due(_journey(row), row["traceparent"], row["failures"]) for row in await cursor.fetchall()]


async def postpone(conn: Connection, journey: Journey, until: int) -> None:
    """Its turn failed; the journey is as it was."""
    await conn.execute(
        "UPDATE journeys SET due_at = %s, failures = failures + 1 WHERE store_id = %s AND journey_id = %s",
        [until, journey.cart.store_id, journey.journey_id],
    )


async def log(conn: Connection, campaign_id: str, told: Sequence[Told]) -> None:
    async with conn.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO decisions (store_id, campaign_id, journey_id, at, record, step, attempt, decision, rule)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [_logged(campaign_id, one) for one in told],
        )


async def has_any(conn: Connection, store_id: str, campaign_id: str) -> bool:
    cursor = await conn.execute(
        "SELECT 1 FROM journeys WHERE store_id = %s AND campaign_id = %s LIMIT 1", [store_id, campaign_id]
    )
    return await cursor.fetchone() is not None


async def counts(conn: Connection, store_id: str, campaign_id: str) -> dict[str, int]:
    """Journeys by status."""
    cursor = await conn.execute(
        "SELECT status, count(*) AS journeys FROM journeys WHERE store_id = %s AND campaign_id = %s GROUP BY status",
        [store_id, campaign_id],
    )
    return {row["status"]: row["journeys"] for row in await cursor.fetchall()}


async def page(
    conn: Connection, store_id: str, campaign_id: str, *, before: tuple[int, str] | None, limit: int, status: str = ""
) -> list[dict[str, Any]]:
    """Newest first; `before` is created_at and id of the last one seen."""
    created, journey_id = before or (2**62, "")
    cursor = await conn.execute(
        "SELECT journey_id, cart_id, customer_id, status, reason, step, steps_sent, message_id, due_at, entered_at,"
        " created_at, updated_at, state #> '{cart,value}' AS value FROM journeys"
        " WHERE store_id = %(store)s AND campaign_id = %(campaign)s"
        " AND (created_at, journey_id) < (%(created)s, %(journey)s)"
        " AND (%(status)s = '' OR status = %(status)s)"
        " ORDER BY created_at DESC, journey_id DESC LIMIT %(limit)s",
        {
            "store": store_id,
            "campaign": campaign_id,
            "created": created,
            "journey": journey_id,
            "status": status,
            "limit": limit,
        },
    )
    return await cursor.fetchall()


async def recent_decisions(conn: Connection, store_id: str, campaign_id: str, limit: int) -> list[DecisionRow]:
    cursor = await conn.execute(
        "SELECT decisions.at, decisions.journey_id, journeys.cart_id, decisions.record, decisions.step,"
        " decisions.attempt, decisions.decision, decisions.rule FROM decisions"
        " JOIN journeys ON journeys.store_id = decisions.store_id AND journeys.journey_id = decisions.journey_id"
        " WHERE decisions.store_id = %s AND decisions.campaign_id = %s ORDER BY decisions.seq DESC LIMIT %s",
        [store_id, campaign_id, limit],
    )
    return [DecisionRow(**row) for row in await cursor.fetchall()]


def _journey(row: dict[str, Any]) -> Journey:
    return from_dict(Journey, row["state"])


def _logged(campaign_id: str, told: Told) -> list[object]:
    step = attempt = None
    decision = rule = ""
    match told:
        case StepDecided():
            step, attempt, decision, rule = told.step, told.attempt, told.decision, told.rule
        case JourneySkipped():
            rule = told.rule
        case JourneyExited() | MessageWithdrawn():
            rule = told.reason
        case JourneyEntered() | HeldOut():
            pass
    kind = type(told).__name__
    return [told.store_id, campaign_id, told.journey_id, told.occurred_at, kind, step, attempt, decision, rule]

"""What each record adds to the facts. Time comes from records alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.analytics.domain.facts import (
    ABANDONMENTS,
    CARTS,
    CONSENTS,
    JOURNEYS,
    MESSAGES,
    ORDERS,
    RECOVERIES,
    SKIPS,
    TURNS,
    Fact,
    Row,
    Table,
)
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.journeys import HeldOut, JourneyEntered, JourneyExited, JourneySkipped, StepDecided
from trolleybus.contracts.messages import (
    MessageBounced,
    MessageClicked,
    MessageComplained,
    MessageDeferred,
    MessageDelivered,
    MessageInDoubt,
    MessageOpened,
    MessageRefused,
    MessageSent,
    MessageUnsubscribed,
)
from trolleybus.contracts.orders import OrderChanged, OrderPlaced
from trolleybus.contracts.permission import Permission, fold
from trolleybus.contracts.records import Record
from trolleybus.contracts.recovery import CartAbandoned, CartCleared, CartExpired, CartRecovered, CartResumed

MessageFact = (
    MessageSent
    | MessageDelivered
    | MessageOpened
    | MessageClicked
    | MessageBounced
    | MessageComplained
    | MessageUnsubscribed
    | MessageDeferred
    | MessageRefused
    | MessageInDoubt
)

TOPICS = ("cart.activity", "orders", "consent", "recovery.carts", "recovery.journeys", "recovery.messages")
"""The topics whose records are projected (logical names)."""

_MARKED = {"bot": "bot_seen_at", "incomplete": "incomplete_seen_at"}
"""Where a marked event is counted, the first of its marks that is known here."""

_MESSAGE_TIMES: dict[type[Any], str] = {
    MessageSent: "sent_at",
    MessageDelivered: "delivered_at",
    MessageOpened: "opened_at",
    MessageClicked: "clicked_at",
    MessageBounced: "bounced_at",
    MessageComplained: "complained_at",
    MessageUnsubscribed: "unsubscribed_at",
    MessageDeferred: "deferred_at",
    MessageRefused: "refused_at",
    MessageInDoubt: "in_doubt_at",
}


def facts_of(record: Record, arrival: int, appended_at: int) -> Iterator[Fact]:
    """What a record tells; nothing for kinds that no figure uses. Times in ms; `arrival` as the envelope gives it."""
    for table, row in _told(record, arrival):
        values = {name: _clean(value) for name, value in row.items()}
        nothing = {name for name in table.joins if name in values and _says_nothing(name, values[name])}
        told = {name: value for name, value in values.items() if name not in nothing}
        yield Fact(table, table.row(store_id=_clean(record.store_id), appended_at=appended_at, **told))


def _told(record: Record, arrival: int) -> Iterator[tuple[Table, Row]]:
    match record:
        case CartActivity():
            yield from _activity(record, arrival)
        case CartAbandoned():
            yield from _abandoned(record)
        case CartRecovered():
            yield from _recovered(record)
        case CartResumed() | CartCleared() | CartExpired():
            yield from _turn(record)
        case JourneyEntered() | HeldOut():
            yield JOURNEYS, _entered(record)
        case JourneyExited():
            yield (
                JOURNEYS,
                {"journey_id": record.journey_id, "exited_at": record.occurred_at, "exit_reason": record.reason},
            )
        case JourneySkipped():
            yield SKIPS, _of(record, "id", "cart_id", "campaign_id", "rule") | {"at": record.occurred_at}
        case StepDecided() if record.decision == "send" and record.message_id:
            yield MESSAGES, _message(record) | {"requested_at": record.occurred_at}
        case OrderPlaced():
            at = _event_time(record.occurred_at, arrival)
            yield (
                ORDERS,
                _of(record, "order_id", "cart_id")
                | {"placed_at": at, "identities": sorted(set(record.identities)), "told": f"{at:015d} {record.id}"}
                | {"total_minor": record.total.minor, "currency": record.total.currency},
            )
        case OrderChanged() if record.change == "cancelled":
            at = _event_time(record.occurred_at, arrival)
            yield ORDERS, _of(record, "order_id", "cart_id") | {"cancelled_at": at}
        case ConsentChanged():
            word = fold(Permission(), record, arrival)
            yield (
                CONSENTS,
                _of(record, "channel", "address_hash")
                | _of(word, "person_no_at", "person_yes_at", "other_no_at", "other_yes_at"),
            )
        case _ if type(record) in _MESSAGE_TIMES:
            yield MESSAGES, _message_fact(record)  # type: ignore[arg-type]  # the table's kinds are MessageFact


def _activity(record: CartActivity, arrival: int) -> Iterator[tuple[Table, Row]]:
    if not record.cart_id:
        return
    at = _event_time(record.occurred_at, arrival)
    if record.marks:
        column = next((column for mark, column in _MARKED.items() if mark in record.marks), None)
        if column is not None:
            yield CARTS, {"cart_id": record.cart_id, column: at}
        return
    row: Row = {
        "cart_id": record.cart_id,
        "first_seen_at": at,
        "last_activity_at": at,
        "contact_known": bool(record.email or record.phone),
        "imported": record.imported,
    }
    holds = any(line.quantity > 0 for line in record.lines)
    if holds and record.kind in ("snapshot", "lines_set", "lines_added"):
        row |= {"first_item_at": at, "last_item_at": at}
    elif record.kind == "cart_emptied" or (record.kind == "snapshot" and not holds):
        row["emptied_at"] = at
    elif record.kind == "order_placed":
        row["ordered_at"] = at
    yield CARTS, row


def _abandoned(record: CartAbandoned) -> Iterator[tuple[Table, Row]]:
    yield (
        CARTS,
        {
            "cart_id": record.cart_id,
            "first_seen_at": record.first_activity_at or record.opened_at,
            "first_item_at": record.opened_at,
            "last_item_at": record.opened_at,
            "last_activity_at": record.last_activity_at,
            "abandoned_at": record.due_at,
            "levels": [record.level_seconds],
            "contact_known": record.contact_known,
            "imported": record.imported,
        },
    )
    yield (
        ABANDONMENTS,
        _of(record, "episode_id", "level_seconds", "cart_id", "due_at", "opened_at", "contact_known")
        | {"value_minor": record.value.minor, "currency": record.value.currency},
    )


def _recovered(record: CartRecovered) -> Iterator[tuple[Table, Row]]:
    at = record.occurred_at
    opened = {"first_seen_at": record.opened_at, "first_item_at": record.opened_at, "last_item_at": record.opened_at}
    yield (
        CARTS,
        opened
        | {"cart_id": record.cart_id, "ordered_at": at, "recovered_at": at, "last_activity_at": at}
        | {"imported": record.imported},
    )
    yield (
        RECOVERIES,
        _of(record, "id", "cart_id", "episode_id", "order_id", "abandoned_at")
        | {"recovered_at": at, "total_minor": record.order_total.minor, "currency": record.order_total.currency},
    )


def _turn(record: CartResumed | CartCleared | CartExpired) -> Iterator[tuple[Table, Row]]:
    at = record.occurred_at
    kind = type(record).__name__.removeprefix("Cart").lower()
    cart: Row = {"cart_id": record.cart_id, "imported": record.imported}
    if not isinstance(record, CartResumed):  # A resumed cart's new opening is told by its activity.
        cart |= {"first_seen_at": record.opened_at, "first_item_at": record.opened_at, "last_item_at": record.opened_at}
    if isinstance(record, CartCleared):
        cart["emptied_at"] = at
    if isinstance(record, CartExpired):
        cart |= {"expired_at": at, "last_activity_at": record.last_activity_at}
    else:
        cart["last_activity_at"] = at
    yield CARTS, cart
    yield TURNS, _of(record, "id", "cart_id", "episode_id") | {"kind": kind, "at": at}


def _entered(record: JourneyEntered | HeldOut) -> Row:
    return _of(record, "journey_id", "campaign_id", "cart_id", "episode_id") | {
        "entered_at": record.occurred_at,
        "treated": isinstance(record, JourneyEntered),
        "held_out": isinstance(record, HeldOut),
        "currency": record.value.currency,
        "identities": sorted(set(record.identities)),
    }


def _message(record: MessageFact | StepDecided) -> Row:
    names = ("message_id", "journey_id", "campaign_id", "cart_id", "channel", "step", "attempt")
    return _of(record, *names) | {"first_at": record.occurred_at}


def _message_fact(record: MessageFact) -> Row:
    name = _MESSAGE_TIMES[type(record)]
    if isinstance(record, MessageOpened | MessageClicked) and record.machine:
        name = "machine_at"
    row = _message(record) | {name: record.occurred_at}
    if isinstance(record, MessageDeferred):
        row["deferred_rule"] = record.rule
    if isinstance(record, MessageRefused):
        row["refused_rule"] = record.rule
    return row


def _of(record: Any, *names: str) -> Row:
    return {name: getattr(record, name) for name in names}


def _event_time(occurred_at: int, arrival: int) -> int:
    """A client's clock may run ahead; nothing happens after it arrived."""
    return min(occurred_at or arrival, arrival)


def _says_nothing(name: str, value: Any) -> bool:
    """In records an empty text and the time 0 mean absent."""
    return value == "" or (value == 0 and (name == "at" or name.endswith("_at")))


def _clean(value: Any) -> Any:
    """PostgreSQL's text cannot hold a NUL."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, list):
        return [_clean(member) for member in value]
    return value

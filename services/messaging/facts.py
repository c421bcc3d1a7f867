"""What became of a message, as records for recovery.messages. Ids come from the message and what happened to it. Pure."""

from __future__ import annotations

from typing import Any

from services.messaging.store.queue import Message
from trolleybus.contracts import ids
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.messages import (
    MessageBounced,
    MessageClicked,
    MessageDeferred,
    MessageDelivered,
    MessageInDoubt,
    MessageOpened,
    MessageRefused,
    MessageSent,
    MessageUnsubscribed,
)

WRITTEN = (
    MessageSent,
    MessageDelivered,
    MessageOpened,
    MessageClicked,
    MessageBounced,
    MessageUnsubscribed,
    MessageDeferred,
    MessageRefused,
    MessageInDoubt,
    ConsentChanged,
)


def sent(message: Message, at: int, provider_message_id: str, called_at: int) -> MessageSent:
    return MessageSent(
        **_of(message, at, "sent"),
        provider=message.provider,
        provider_message_id=provider_message_id,
        barrier=message.barrier,
        barrier_read_at=message.barrier_read_at,
        called_at=called_at,
    )


def delivered(message: Message, at: int) -> MessageDelivered:
    return MessageDelivered(**_of(message, at, "delivered"), provider=message.provider)


def bounced(message: Message, at: int, reason: str) -> MessageBounced:
    return MessageBounced(**_of(message, at, "bounced"), kind="permanent", reason=reason)


def refused(message: Message, at: int, rule: str, detail: str) -> MessageRefused:
    return MessageRefused(**_of(message, at, "refused"), rule=rule, detail=detail)


def deferred(message: Message, at: int, until: int, rule: str) -> MessageDeferred:
    return MessageDeferred(**_of(message, at, "deferred"), until=until, rule=rule)


def in_doubt(message: Message, at: int, reason: str) -> MessageInDoubt:
    return MessageInDoubt(**_of(message, at, "in_doubt"), provider=message.provider, reason=reason)


def clicked(message: Message, at: int, url: str, *, machine: bool) -> MessageClicked:
    return MessageClicked(**_of(message, at, "clicked", url, at), url=url, machine=machine)


def opened(message: Message, at: int, *, machine: bool) -> MessageOpened:
    return MessageOpened(**_of(message, at, "opened", at), machine=machine)


def unsubscribed(message: Message, at: int, undone: int, via: str) -> MessageUnsubscribed:
    """`undone` is the time of the person's yes that this undoes, 0 for none: it tells a second unsubscribe from a repeated one."""
    return MessageUnsubscribed(**_of(message, at, "unsubscribed", undone), via=via)


def revoked(message: Message, at: int, undone: int) -> ConsentChanged:
    return ConsentChanged(
        id=ids.message_fact(message.message_id, "consent_revoked", undone),
        store_id=message.store_id,
        occurred_at=at,
        received_at=at,
        source="messaging",
        source_event_id=message.message_id,
        channel=message.channel,
        address_hash=message.address_hash,
        state="revoked",
        by="person",
        evidence="unsubscribe link",
        customer_id=message.customer_id,
    )


def _of(message: Message, at: int, kind: str, *causes: str | int) -> dict[str, Any]:
    return {
        "id": ids.message_fact(message.message_id, kind, *causes),
        "occurred_at": at,
        "store_id": message.store_id,
        "message_id": message.message_id,
        "journey_id": message.journey_id,
        "campaign_id": message.campaign_id,
        "cart_id": message.cart_id,
        "episode_id": message.episode_id,
        "customer_id": message.customer_id,
        "channel": message.channel,
        "step": message.step,
        "attempt": message.attempt,
        "address_hash": message.address_hash,
    }

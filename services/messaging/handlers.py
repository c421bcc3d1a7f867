"""What each record of Kafka does to the gate's tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import TypeVar

from services.messaging.store import holds, projection, queue
from trolleybus import outbox
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.customers import CustomerUpdated, IdentitiesLinked
from trolleybus.contracts.identity import BadIdentity, IdentityHasher, normalise
from trolleybus.contracts.messages import MessageRequested, MessageWithdrawn
from trolleybus.contracts.orders import OrderChanged, OrderPlaced
from trolleybus.contracts.records import Record
from trolleybus.db import Connection
from trolleybus.deadletter import Parking, park
from trolleybus.envelope import Raw, Received
from trolleybus.topics import Topics

_KIND_OF_CHANNEL = {"email": "email", "sms": "phone", "whatsapp": "phone"}
T = TypeVar("T")


async def project(conn: Connection, batch: Sequence[Received[Record]]) -> None:
    """Orders, words and links, behind the barrier."""
    orders: list[OrderPlaced | OrderChanged] = []
    links: list[CustomerUpdated | IdentitiesLinked] = []
    words: list[Received[ConsentChanged]] = []
    for received in batch:
        match received.record:
            case OrderPlaced() | OrderChanged() as order:
                orders.append(storable(order))
            case CustomerUpdated() | IdentitiesLinked() as link:
                links.append(storable(link))
            case ConsentChanged() as word:
                words.append(
                    Received(
                        received.topic,
                        received.partition,
                        received.offset,
                        received.appended_at,
                        received.key,
                        received.headers,
                        storable(word),
                    )
                )
    if orders:
        await projection.add_orders(conn, orders)
    if words:
        await projection.add_words(conn, words)
    if links:
        await projection.add_links(conn, links)


class Holding:
    """Holds the store of a record behind the barrier that cannot be read, and parks a copy of it."""

    def __init__(self, service: str, topics: Topics) -> None:
        self._service = service
        self._topics = topics

    async def __call__(self, conn: Connection, raw: Raw, reason: str) -> None:
        topic = self._topics[raw.topic]
        await holds.hold(conn, store_of(raw), topic.full_name, raw.partition, raw.offset, reason)
        parking = Parking(
            reason="unreadable",
            detail=reason,
            topic=topic.full_name,
            partition=raw.partition,
            offset=raw.offset,
            parked_at=time.time_ns() // 1_000_000,
        )
        dead_letter = self._topics.dead_letter(self._service, raw.topic).full_name
        await outbox.put_outgoing(conn, [park(dead_letter, raw.key, raw.value, list(raw.headers.items()), parking)])


def store_of(raw: Raw) -> str:
    """The store that a record belongs to, by its header and its key; `*` where they do not agree or say nothing."""
    store, colon, _ = (raw.key or b"").partition(b":")
    told = {raw.store_id(), store.decode(errors="replace") if colon else ""} - {""}
    name = told.pop() if len(told) == 1 else holds.ALL
    return holds.ALL if "\ufffd" in name or "\x00" in name else name


class Requests:
    """Takes in what campaigns asks for and takes back."""

    def __init__(self, hasher: IdentityHasher) -> None:
        self._hasher = hasher

    async def __call__(self, conn: Connection, batch: Sequence[Received[Record]]) -> None:
        requests: list[tuple[MessageRequested, list[str]]] = []
        withdrawals: list[MessageWithdrawn] = []
        for received in batch:
            match received.record:
                case MessageRequested() as request:
                    _require(request, lambda r: r.message_id and r.store_id and r.journey_id and r.channel)
                    if not request.imported:  # Nothing imported is ever written to.
                        requests.append((request, self._address_hashes(request)))
                case MessageWithdrawn() as withdrawal:
                    _require(withdrawal, lambda r: r.message_id)
                    withdrawals.append(withdrawal)
        await queue.enqueue(conn, requests)
        for withdrawal in withdrawals:
            await queue.withdraw(conn, withdrawal)

    def _address_hashes(self, request: MessageRequested) -> list[str]:
        """The address under every version of the secret: a word given under an older one still holds."""
        hashes = {request.address_hash} - {""}
        kind = _KIND_OF_CHANNEL.get(request.channel)
        if kind and request.address:
            try:
                value = normalise(kind, request.address)
            except BadIdentity:
                return sorted(hashes)  # The transport will say what is wrong with the address.
            hashes.update(self._hasher.all_versions(request.store_id, kind, value))
        return sorted(hashes)


def storable(record: T) -> T:
    """The record without zero characters, which PostgreSQL cannot keep: an order must not be stopped by one."""
    changes: dict[str, object] = {}
    for field in fields(record):  # type: ignore[arg-type]  # every record is a dataclass
        value = getattr(record, field.name)
        if isinstance(value, str) and "\x00" in value:
            changes[field.name] = value.replace("\x00", "\ufffd")
        elif isinstance(value, tuple) and any(isinstance(item, str) and "\x00" in item for item in value):
            changes[field.name] = tuple(item.replace("\x00", "\ufffd") for item in value)
    return replace(record, **changes) if changes else record  # type: ignore[type-var]  # as above


def _require(record: T, has_all: Callable[[T], object]) -> None:
    if not has_all(record):
        raise ValueError(f"a {type(record).__name__} without its ids cannot be handled")

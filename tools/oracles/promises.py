"""Counts on the topics alone what must have happened and what must not (P3, P4). Shares no code with the services."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tools.oracles.reader import Seen

TOPICS = (
    "cart.activity.v1",
    "orders.v1",
    "consent.v1",
    "customer.updates.v1",
    "recovery.carts.v1",
    "messaging.requests.v1",
    "recovery.messages.v1",
)
BARRIER_TOPICS = ("orders.v1", "consent.v1", "customer.updates.v1")


@dataclass(slots=True)
class Tally:
    """What the topics say. `after_purchase` and `twice` name messages that must not be there."""

    abandoned: int = 0  # Carts abandoned at one level at least.
    delivered: int = 0  # Messages delivered.
    recovered: int = 0  # Carts ended by an order after a level had fired.
    sent: int = 0
    proven: int = 0  # Sent messages whose barrier covers every partition behind it.
    after_purchase: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)  # Sent without a request on the topic.
    repeats: int = 0  # The same fact (ce_id) written again, as after a crash.


def tally(log: Iterable[Seen], *, prefix: str = "", partitions: int = 12) -> Tally:
    """Counts over whole topics; imported records are left out."""
    result = Tally()
    by_kind = _first_of_each_id(log, result)
    result.abandoned = len({(one.values["store_id"], one.values["cart_id"]) for one in by_kind["CartAbandoned"]})
    result.delivered = len({one.values["message_id"] for one in by_kind["MessageDelivered"]})
    result.recovered = len({one.values["episode_id"] for one in by_kind["CartRecovered"]})
    requests = {one.values["message_id"]: one.values for one in by_kind["MessageRequested"]}
    people = _people(by_kind)
    wanted = {(prefix + topic, partition) for topic in BARRIER_TOPICS for partition in range(partitions)}
    steps: dict[tuple[str, int, str], set[str]] = defaultdict(set)
    providers: dict[str, int] = defaultdict(int)
    for sent in by_kind["MessageSent"]:
        result.sent += 1
        values = sent.values
        message_id = values["message_id"]
        providers[message_id] += 1
        steps[values["journey_id"], values["step"], values["channel"]].add(message_id)
        barrier = {_place(one, prefix): one["offset"] for one in values["barrier"]}
        result.proven += wanted <= barrier.keys()
        request = requests.get(message_id)
        if request is None:
            result.unasked.append(message_id)
        elif _bought(request, barrier, by_kind["OrderPlaced"], people):
            result.after_purchase.append(message_id)
    for delivered in by_kind["MessageDelivered"]:
        steps[delivered.values["journey_id"], delivered.values["step"], delivered.values["channel"]].add(
            delivered.values["message_id"]
        )
    result.twice = sorted(
        {message for messages in steps.values() if len(messages) > 1 for message in messages}
        | {message for message, count in providers.items() if count > 1}
    )
    return result


def _first_of_each_id(log: Iterable[Seen], result: Tally) -> dict[str, list[Seen]]:
    by_kind: dict[str, list[Seen]] = defaultdict(list)
    known: set[tuple[str, str, str]] = set()
    for seen in log:
        if seen.values.get("imported"):
            continue
        if (seen.kind, seen.values["id"], seen.key) in known:
            result.repeats += 1
            continue
        known.add((seen.kind, seen.values["id"], seen.key))
        by_kind[seen.kind].append(seen)
    return by_kind


def _place(position: dict[str, Any], prefix: str) -> tuple[str, int]:
    topic = position["topic"]
    if not topic.endswith(".v1"):
        topic = f"{prefix}{topic}.v1"
    return topic, position["partition"]


def _people(by_kind: dict[str, list[Seen]]) -> dict[tuple[str, str], set[str]]:
    """For each identity of a store, all that are linked with it, however far."""
    groups: dict[tuple[str, str], set[str]] = {}
    for link in by_kind["IdentitiesLinked"]:
        store = link.values["store_id"]
        together = set(link.values["identities"])
        for identity in link.values["identities"]:
            together |= groups.get((store, identity), set())
        for identity in together:
            groups[store, identity] = together
    return groups


def _bought(
    request: dict[str, Any],
    barrier: dict[tuple[str, int], int],
    orders: list[Seen],
    people: dict[tuple[str, str], set[str]],
) -> bool:
    """Whether an order of that cart or person since the cart was opened stood below the barrier's offsets."""
    store = request["store_id"]
    person = set(request["identities"])
    for identity in request["identities"]:
        person |= people.get((store, identity), set())
    return any(
        order.values["store_id"] == store
        and order.values["occurred_at"] >= request["purchase_since"]
        and (
            (order.values["cart_id"] and order.values["cart_id"] == request["cart_id"])
            or person & set(order.values["identities"])
        )
        and order.offset < barrier.get((order.topic, order.partition), 0)
        for order in orders
    )

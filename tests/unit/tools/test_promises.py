"""The separate count finds what it is there to find."""

from typing import Any

from tools.oracles.promises import BARRIER_TOPICS, Tally, tally
from tools.oracles.reader import Seen

REQUEST = {
    "id": "r", "store_id": "s", "message_id": "m1", "cart_id": "cart", "identities": ["email:v1:a"],
    "purchase_since": 1_000, "journey_id": "j", "step": 0, "channel": "email",
}  # fmt: skip


def seen(kind: str, offset: int = 0, topic: str = "t", partition: int = 0, **values: Any) -> Seen:
    return Seen(
        topic, partition, offset, 0, values.get("id", kind), {}, kind, {"store_id": "s", "imported": False, **values}
    )


def request(**changes: Any) -> Seen:
    return seen("MessageRequested", **{**REQUEST, **changes})


def sent(barrier_offset: int = 10, **changes: Any) -> Seen:
    barrier = [
        {"topic": topic, "partition": partition, "offset": barrier_offset}
        for topic in BARRIER_TOPICS
        for partition in range(12)
    ]
    values = {"id": "sent-m1", "message_id": "m1", "journey_id": "j", "step": 0, "channel": "email", "barrier": barrier}
    return seen("MessageSent", **{**values, **changes})


def order(offset: int = 5, **changes: Any) -> Seen:
    values = {"id": "o1", "occurred_at": 2_000, "cart_id": "", "identities": ["email:v1:a"]}
    return seen("OrderPlaced", offset, "orders.v1", 3, **{**values, **changes})


def count(*log: Seen) -> Tally:
    return tally(log)


def test_P3_an_order_below_the_barrier_makes_a_message_one_after_a_purchase() -> None:
    assert count(request(), order(), sent()).after_purchase == ["m1"]
    assert count(request(), order(cart_id="cart", identities=[]), sent()).after_purchase == ["m1"]


def test_P3_an_order_past_the_barrier_or_before_the_cart_or_of_another_person_does_not() -> None:
    for harmless in (
        order(offset=10),
        order(occurred_at=999),
        order(identities=["email:v1:b"]),
        order(store_id="other"),
    ):
        assert count(request(), harmless, sent()).after_purchase == []


def test_P3_an_order_under_a_linked_identity_counts() -> None:
    link = seen("IdentitiesLinked", id="l", identities=["email:v1:a", "customer:v1:c"])
    assert count(request(), link, order(identities=["customer:v1:c"]), sent()).after_purchase == ["m1"]


def test_a_barrier_that_misses_a_partition_proves_nothing() -> None:
    whole = sent()
    partial = sent(barrier=whole.values["barrier"][1:])
    assert (count(request(), whole).proven, count(request(), partial).proven) == (1, 0)


def test_P4_two_messages_of_one_step_and_one_message_sent_twice_are_found() -> None:
    second = sent(id="sent-m2", message_id="m2")
    assert count(request(), sent(), request(id="r2", message_id="m2"), second).twice == ["m1", "m2"]
    assert count(request(), sent(), sent(id="another-sent-m1")).twice == ["m1"]


def test_the_same_fact_written_again_is_a_repeat_and_no_second_message() -> None:
    counted = count(request(), sent(), sent())
    assert (counted.twice, counted.repeats) == ([], 1)


def test_a_message_that_nobody_asked_for_is_named() -> None:
    assert count(sent()).unasked == ["m1"]

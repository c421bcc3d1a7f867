"""Shopify's webhooks while Kafka, Valkey or PostgreSQL is away."""

import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.eventually import eventually
from tests.integration.ingest_harness import Ingest, running, world
from tests.integration.shopify_harness import ShopifyShop, connect
from tests.stack_fixtures import own_env as env  # noqa: F401 - a fixture: this module takes servers away
from tests.stack_fixtures import own_stack as stack  # noqa: F401
from tests.unit.ingest.shopify_given import body
from tools.stack.stack import Stack


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ingest(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ingest]:
    log: Path = tmp_path_factory.mktemp("ingest") / "log"
    patient = {
        "ACK_TIMEOUT_SECONDS": "20",
        "SLOW_ACK_SECONDS": "20",
    }  # So that the webhook's own bound is what is seen.
    async with (
        world(env, f"shopify-faults-{uuid.uuid4().hex[:6]}.") as around,
        running(around, log, **patient) as gateway,
    ):
        yield gateway


@pytest_asyncio.fixture(loop_scope="session")
async def shop(ingest: Ingest) -> ShopifyShop:
    return await connect(ingest)


async def test_P1_while_the_broker_stands_still_shopify_is_told_in_time_to_come_again(
    shop: ShopifyShop, stack: Stack
) -> None:
    event = {"x_shopify_event_id": "event-1"}
    stack.pause("kafka-1")
    try:
        began = time.monotonic()
        answer = await shop.send("orders/create", **event)
        assert time.monotonic() - began < 4.5
    finally:
        stack.resume("kafka-1")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1

    async def is_taken() -> bool:
        return (await shop.send("orders/create", **event)).status_code == 200

    await eventually(is_taken)
    orders, carts = await shop.records("orders"), await shop.records("cart.activity")
    assert len({one.id for one in orders}) == len({one.id for one in carts}) == 1
    assert {one.kind for one in carts} == {"order_placed"}


async def test_without_valkey_webhooks_are_taken_and_a_redelivery_makes_the_same_records(
    shop: ShopifyShop, stack: Stack
) -> None:
    event = {"x_shopify_event_id": "event-1"}
    await stack.kill("valkey")
    try:
        order = body("orders/create", cart_token=None)
        first, again = (
            await shop.send("orders/create", order, **event),
            await shop.send("orders/create", order, **event),
        )
    finally:
        await stack.start("valkey")
    assert first.json() == again.json()
    assert first.json()["status"] == "accepted"
    carts = await shop.records("cart.activity")
    assert len({one.id for one in carts}) == 1
    assert {one.cart_id for one in carts} == {order["checkout_token"]}  # Of the order's own, where no map answers.


async def test_without_postgresql_a_shop_that_is_known_is_served(shop: ShopifyShop, stack: Stack) -> None:
    await stack.kill("postgres")
    try:
        assert (await shop.send("carts/update")).json()["status"] == "accepted"
    finally:
        await stack.start("postgres")

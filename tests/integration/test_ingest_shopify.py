"""Shopify's webhooks over HTTP, on the real servers: answers, signatures, redeliveries, and what stands on the topics."""

import json
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from tests.eventually import eventually
from tests.integration.ingest_harness import Ingest, running, world
from tests.integration.shopify_harness import SECRET, ShopifyShop, connect
from tests.unit.ingest.shopify_given import SHOP, body, headers, signature
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.orders import OrderChanged, OrderPlaced
from trolleybus.contracts.privacy import PrivacyRequested
from trolleybus.contracts.products import Product

NEW = "shpss_fedcba9876543210"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ingest(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ingest]:
    log: Path = tmp_path_factory.mktemp("ingest") / "log"
    async with world(env, f"ingest-shopify-{uuid.uuid4().hex[:6]}.") as around, running(around, log) as gateway:
        yield gateway


@pytest_asyncio.fixture(loop_scope="session")
async def shop(ingest: Ingest) -> ShopifyShop:
    return await connect(ingest)


async def test_a_shoppers_way_from_cart_to_refund_stands_on_the_topics_of_one_cart(shop: ShopifyShop) -> None:
    for topic in (
        "carts/create",
        "carts/update",
        "checkouts/create",
        "checkouts/update",
        "orders/create",
        "orders/paid",
        "orders/cancelled",
        "refunds/create",
        "customers/update",
        "products/update",
    ):
        began = time.monotonic()
        answer = await shop.send(topic)
        assert (answer.status_code, answer.json()["status"]) == (200, "accepted"), (topic, answer.text)
        assert "warnings" not in answer.json(), answer.text
        assert time.monotonic() - began < 5
    carts = await shop.records("cart.activity")
    assert [one.kind for one in carts] == ["snapshot"] * 4 + ["order_placed"]
    assert {one.cart_id for one in carts} == {"hWN2bG9yZW1pcHN1bWRvbG9yc2l0"}
    orders = await shop.records("orders")
    assert [type(one) for one in orders] == [OrderPlaced, OrderChanged, OrderChanged, OrderChanged]
    assert [one.change for one in orders[1:]] == ["paid", "cancelled", "refunded"]
    assert {one.channel: one.by for one in await shop.records("consent")} == {"email": "sync", "sms": "person"}
    assert [type(one) for one in await shop.records("products")] == [Product]


async def test_P3_an_order_without_a_cart_token_ends_the_cart_of_its_checkout(shop: ShopifyShop) -> None:
    await shop.send("checkouts/update")
    order = body("orders/create", cart_token=None, email=None, contact_email=None, customer=None, note_attributes=[])
    assert (await shop.send("orders/create", order)).status_code == 200
    ended = [one for one in await shop.records("cart.activity") if one.kind == "order_placed"]
    assert [one.cart_id for one in ended] == ["hWN2bG9yZW1pcHN1bWRvbG9yc2l0"]
    (placed,) = await shop.records("orders")
    seen = (await shop.records("cart.activity"))[0].identities
    assert set(seen) <= set(
        placed.identities
    )  # Every identity known of the buyer, though the order named a checkout only.


async def test_P8_what_is_not_signed_is_refused_and_never_harms(shop: ShopifyShop) -> None:
    raw = json.dumps(body("carts/update")).encode()
    good = headers("carts/update", raw, SECRET.encode())
    name = "x-shopify-hmac-sha256"
    for sent, answer in (
        ({**good, name: signature(raw, b"another secret")}, 401),
        ({**good, name: ""}, 401),
        ({**good, name: "not base64!"}, 401),
        ({**good, name: good[name][:-1]}, 401),
        ({**good, "x-shopify-topic": ""}, 400),
        ({**good, "x-shopify-shop-domain": ""}, 400),
        ({**good, "x-shopify-shop-domain": "another.myshopify.com"}, 403),
        ({**good, "x-shopify-triggered-at": "soon", "x-shopify-event-id": "", "x-shopify-webhook-id": ""}, 200),
    ):
        assert (await shop.post(raw, sent)).status_code == answer, sent
    assert (await shop.post(raw + b" ", good)).status_code == 401
    for not_json in (b"", b"nothing", b"\xff\xfe", b'{"a": 1, "a": 2}', b"[" * 5000):
        assert (await shop.post(not_json, headers("carts/update", not_json, SECRET.encode()))).status_code == 400
    for unreadable in (b"[]", b"7", b"{}", b'{"token": {}}'):
        sent = headers("carts/update", unreadable, SECRET.encode(), x_shopify_event_id=str(uuid.uuid4()))
        refused = await shop.post(unreadable, sent)
        assert (refused.status_code, refused.json()["status"]) == (200, "refused")
    assert len(await shop.records("cart.activity")) == 1


async def test_headers_that_are_not_ascii_are_refused_and_never_harm(shop: ShopifyShop) -> None:
    raw = json.dumps(body("carts/update")).encode()
    good = headers("carts/update", raw, SECRET.encode())
    for name, answer in (("x-shopify-hmac-sha256", 401), ("x-shopify-topic", 400), ("x-shopify-shop-domain", 400)):
        sent = [(key.encode(), b"\xfc\xfe\xe9" if key == name else value.encode()) for key, value in good.items()]
        async with httpx2.AsyncClient(base_url=shop.ingest.url, timeout=10) as client:
            path = f"/api/v1/integrations/shopify/{shop.store_id}/webhooks"
            assert (await client.post(path, content=raw, headers=sent)).status_code == answer


async def test_a_redelivery_is_answered_without_being_written_again(shop: ShopifyShop) -> None:
    sent = {"x_shopify_event_id": "event-1"}
    assert (await shop.send("carts/update", **sent)).json()["status"] == "accepted"
    assert (await shop.send("carts/update", **sent)).json() == {"status": "duplicate"}
    assert (await shop.send("checkouts/update", **sent)).json()["status"] == "accepted"  # Another topic's.
    assert len(await shop.records("cart.activity")) == 2


async def test_a_redelivery_that_nobody_remembers_makes_the_same_records(shop: ShopifyShop) -> None:
    sent = {"x_shopify_event_id": "event-1"}
    first = await shop.send("orders/create", **sent)
    async with Redis.from_url(shop.ingest.env["REDIS_URL"]) as valkey:
        async for key in valkey.scan_iter("trolleybus:webhook:*"):
            await valkey.delete(key)
    again = await shop.send("orders/create", x_shopify_webhook_id="another-delivery", **sent)
    assert again.json()["id"] == first.json()["id"]
    for topic in ("orders", "cart.activity"):
        one, two = await shop.records(topic)
        assert (one.id, one.occurred_at) == (two.id, two.occurred_at)
        assert one.received_at < two.received_at


async def test_after_a_rotation_both_secrets_are_taken_until_the_old_one_ends(shop: ShopifyShop) -> None:
    path = f"integrations/{shop.integration_id}/rotate"
    assert (await shop.ingest.post(path, {"secrets": {"webhook_secret": NEW}}, shop.shop.secret_key)).status_code == 200

    async def is_taken(secret: str) -> bool:
        return (await shop.send("carts/update", secret=secret)).status_code == 200

    await eventually(lambda: is_taken(NEW), 5)
    assert await is_taken(SECRET)
    third = {"secrets": {"webhook_secret": "shpss_third_third_third"}, "overlap_seconds": 0}
    assert (await shop.ingest.post(path, third, shop.shop.secret_key)).status_code == 200
    await eventually(lambda: is_taken("shpss_third_third_third"), 5)
    assert not await is_taken(NEW)


async def test_an_unknown_topic_and_a_test_are_acknowledged_counted_and_not_written(shop: ShopifyShop) -> None:
    assert (await shop.send("carts/update", x_shopify_topic="fulfillments/create")).json() == {"status": "ignored"}
    assert (await shop.send("carts/update", x_shopify_test="true")).json() == {"status": "test"}
    assert (await shop.send("carts/update", x_shopify_topic="CARTS_UPDATE")).json()["status"] == "accepted"
    assert len(await shop.records("cart.activity")) == 1
    metrics = (await shop.ingest.get("/metrics")).text
    for topic, outcome in (("", "ignored"), ("carts/update", "test"), ("carts/update", "accepted")):
        line = f'trolleybus_ingest_webhooks_total{{outcome="{outcome}",source="shopify",topic="{topic}"}}'
        assert line in metrics


async def test_P7_a_webhook_reaches_the_store_of_its_secret_and_shop_alone(shop: ShopifyShop, ingest: Ingest) -> None:
    other = await connect(ingest, NEW)
    assert (await other.send("carts/update", secret=SECRET)).status_code == 401
    foreign = body("customers/redact", shop_domain="another.myshopify.com")
    assert (await shop.send("customers/redact", foreign)).status_code == 403
    assert await other.records("cart.activity") == []
    assert await shop.records("privacy.requests") == []
    for nobody in ("no-such-store", "%00", "ünknown"):
        answer = await ingest.post(f"integrations/shopify/{nobody}/webhooks", b"{}")
        assert answer.status_code == 404, answer.text


async def test_what_the_law_demands_is_kept_and_an_erasure_is_a_no(shop: ShopifyShop) -> None:
    for topic in ("customers/data_request", "customers/redact", "shop/redact"):
        assert (await shop.send(topic)).json()["status"] == "accepted"
    kept = await shop.records("privacy.requests")
    assert {(type(one), one.kind) for one in kept} == {
        (PrivacyRequested, "access"),
        (PrivacyRequested, "erasure"),
        (PrivacyRequested, "store_erasure"),
    }
    words = await shop.records("consent")
    assert {(type(one), one.channel, one.state) for one in words} == {
        (ConsentChanged, channel, "revoked") for channel in ("email", "sms", "whatsapp")
    }
    for topic in ("privacy.requests", "consent"):
        for _, message in await shop.ingest.stored(topic):
            assert b"shopper@example.com" not in message.value


async def test_an_uninstalled_app_is_told_of_and_its_last_webhook_still_verified(shop: ShopifyShop) -> None:
    assert (await shop.send("app/uninstalled", body("app/uninstalled", myshopify_domain=SHOP))).status_code == 200

    async def told() -> bool:
        path = f"/api/v1/integrations/{shop.integration_id}"
        async with httpx2.AsyncClient(base_url=shop.ingest.url) as client:
            answer = await client.get(path, headers={"authorization": f"Bearer {shop.shop.secret_key}"})
        return bool(answer.json()["state"] == "failing" and "uninstalled" in answer.json()["last_error"])

    await eventually(told, 15)
    assert (await shop.send("shop/redact")).json()["status"] == "accepted"


async def test_a_disconnected_shop_is_not_listened_to(shop: ShopifyShop) -> None:
    path = f"integrations/{shop.integration_id}/disconnect"
    assert (await shop.ingest.post(path, {}, shop.shop.secret_key)).status_code == 200

    async def is_gone() -> bool:
        return (await shop.send("carts/update")).status_code == 404

    await eventually(is_gone, 5)

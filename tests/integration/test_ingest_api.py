"""The gateway over HTTP, on the real servers: answers, keys, origins, limits, and what stands on the topics."""

import asyncio
import base64
import gzip
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import cramjam
import pytest
import pytest_asyncio

from services.ingest.api import examples
from tests.eventually import eventually
from tests.integration.ingest_harness import ORIGIN, Ingest, Shop, running, world
from tests.mmdb import write_countries
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.customers import CustomerUpdated, IdentitiesLinked
from trolleybus.contracts.orders import OrderChanged, OrderPlaced
from trolleybus.contracts.products import Product

CART = {
    "event": "cart_updated",
    "event_id": "e1",
    "cart_id": "c1",
    "anonymous_id": "a1",
    "lines": [{"product_id": "mug", "quantity": 2, "unit_price": "12.50"}],
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ingest(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ingest]:
    folder = tmp_path_factory.mktemp("ingest")
    settings = {
        "RATE_LIMIT_PER_SECOND": "5",
        "RATE_LIMIT_BURST": "750",
        "ADDRESS_HEADER": "X-Real-IP",
        "COUNTRY_DATABASE": str(write_countries(folder / "countries.mmdb", {"192.0.2.0/24": "PT"})),
        "BOT_EVENTS_PER_MINUTE_PER_ADDRESS": "300",
    }
    async with (
        world(env, f"ingest-api-{uuid.uuid4().hex[:6]}.") as around,
        running(around, folder / "log", **settings) as gateway,
    ):
        yield gateway


@pytest_asyncio.fixture(loop_scope="session")
async def shop(ingest: Ingest) -> Shop:
    return await ingest.open_shop(f"store-{uuid.uuid4().hex[:8]}")


async def test_an_accepted_event_stands_on_the_topic_in_a_cloudevents_envelope(ingest: Ingest, shop: Shop) -> None:
    answer = await ingest.post("carts/track", CART, shop.write_key)
    assert answer.status_code == 202
    (result,) = answer.json()["results"]
    assert result["status"] == "accepted"
    ((record, message),) = [
        (record, message)
        for record, message in await ingest.stored("cart.activity")
        if record.store_id == shop.store_id
    ]
    assert isinstance(record, CartActivity)
    assert (record.kind, record.cart_id, record.config_version) == ("snapshot", "c1", 1)
    headers = dict(message.headers)
    assert headers["ce_id"] == record.id.encode()
    assert headers["ce_storeid"] == shop.store_id.encode()
    assert message.key == f"{shop.store_id}:c1".encode()


async def test_every_example_of_the_document_is_accepted(ingest: Ingest, shop: Shop) -> None:
    for path, shown, count in (
        ("carts/track", examples.CART_EVENTS, 5),
        ("orders", examples.ORDERS, 2),
        ("customers", examples.CUSTOMERS, 1),
        ("products", examples.PRODUCTS, 1),
    ):
        results = []
        for example in shown.values():
            answer = await ingest.post(path, example, shop.secret_key)
            assert answer.status_code == 202, answer.text
            results += answer.json()["results"]
        assert [set(result) for result in results] == [{"status", "id"}] * count
    kinds = {
        type(one)
        for topic in ("orders", "customer.updates", "consent", "products")
        for one in await ingest.records(topic, shop.store_id)
    }
    assert kinds == {OrderPlaced, OrderChanged, CustomerUpdated, IdentitiesLinked, ConsentChanged, Product}


async def test_a_batch_has_a_result_for_each_event_and_keeps_the_good_ones(ingest: Ingest, shop: Shop) -> None:
    bad = {**CART, "event_id": "e2", "lines": [{"product_id": "mug", "quantity": -1}]}
    answer = await ingest.post("carts/track", {"events": [CART, bad, 7, {**CART, "event_id": "e3"}]}, shop.write_key)
    assert answer.status_code == 202
    results = answer.json()["results"]
    assert [result["status"] for result in results] == ["accepted", "refused", "refused", "accepted"]
    assert results[1]["errors"][0]["field"] == "/events/1/lines/0/quantity"
    assert results[2]["errors"][0]["field"] == "/events/2"
    assert len(await ingest.records("cart.activity", shop.store_id)) == 2


async def test_a_repeat_has_the_same_ids(ingest: Ingest, shop: Shop) -> None:
    timed = {**CART, "event_id": "", "occurred_at": "2026-03-01T18:30:00Z", "email": "shopper@example.com"}
    for headers in ({}, {"idempotency-key": "k1"}):
        answers = [await ingest.post("carts/track", timed, shop.write_key, headers) for _ in range(2)]
        assert answers[0].json() == answers[1].json()
    for topic in ("cart.activity", "customer.updates"):
        records = await ingest.records(topic, shop.store_id)
        assert len({record.id for record in records}) * 2 == len(records) > 0


async def test_an_order_goes_to_the_open_cart_of_its_shopper(ingest: Ingest, shop: Shop) -> None:
    await ingest.post("carts/track", {**CART, "customer_id": "u1"}, shop.write_key)
    answer = await ingest.post("orders", {"order_id": "o1", "customer_id": "u1", "total": 25}, shop.secret_key)
    assert answer.status_code == 202
    (placed,) = await ingest.records("orders", shop.store_id)
    activity = await ingest.records("cart.activity", shop.store_id)
    assert placed.cart_id == "c1"
    assert [one.kind for one in activity if one.cart_id == "c1"] == ["snapshot", "order_placed"]
    await ingest.post("carts/track", {"event": "cart_emptied", "event_id": "e9", "customer_id": "u1"}, shop.write_key)
    assert {one.cart_id for one in await ingest.records("cart.activity", shop.store_id)} == {"c1", "shopper:u1"}


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("carts/track", b"{", 400, ""),
        ("carts/track", b'{"event": "cart_emptied", "event": "x"}', 400, ""),
        ("carts/track", {**CART, "lines": [{"product_id": "p", "unit_price": -1}]}, 422, "/lines/0/unit_price"),
        ("carts/track", {**CART, "ocurred_at": "2026-03-01T18:30:00Z"}, 422, "/ocurred_at"),
        ("carts/track", {"events": []}, 422, "/events"),
        ("carts/track", {"events": [CART] * 501}, 422, "/events"),
        ("carts/track", {"events": [CART], "sent_at": "yesterday"}, 422, "/sent_at"),
        ("carts/track", [CART], 422, ""),
        ("orders", {"total": 5}, 422, "/order_id"),
        ("customers", {"event_id": "e"}, 422, "/customer_id"),
    ],
)
async def test_what_cannot_be_taken_is_refused_with_its_field(
    ingest: Ingest, shop: Shop, *, path: str, body: Any, status: int, field: str
) -> None:
    answer = await ingest.post(path, body, shop.secret_key)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"]
    if field:
        assert [error["field"] for error in problem["errors"]] == [field]


async def test_a_body_of_more_than_a_mebibyte_is_refused_before_it_is_sent(ingest: Ingest, shop: Shop) -> None:
    address = urlsplit(ingest.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        head = (
            "POST /api/v1/carts/track HTTP/1.1",
            "host: gateway",
            f"authorization: Bearer {shop.write_key}",
            "content-type: application/json",
            "content-length: 1048577",
        )
        writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
        async with asyncio.timeout(30):
            assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("declared", [True, False])
async def test_a_client_that_sends_too_much_before_it_reads_gets_the_answer_and_no_reset(
    ingest: Ingest, shop: Shop, declared: bool
) -> None:
    address = urlsplit(ingest.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    chunk = b"x" * 65_536
    chunks = 64  # More than sockets' buffers hold.
    try:
        head = [
            "POST /api/v1/carts/track HTTP/1.1",
            "host: gateway",
            f"authorization: Bearer {shop.write_key}",
            "content-type: application/json",
            f"content-length: {chunks * len(chunk)}" if declared else "transfer-encoding: chunked",
        ]
        writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
        async with asyncio.timeout(30):
            for _ in range(chunks):
                writer.write(chunk if declared else b"%x\r\n%b\r\n" % (len(chunk), chunk))
                await writer.drain()
            writer.write(b"" if declared else b"0\r\n\r\n")
            await writer.drain()
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"application/problem+json" in answer
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("br", cramjam.brotli.compress)])
async def test_a_compressed_batch_is_taken_and_a_bomb_is_not(
    ingest: Ingest, shop: Shop, encoding: str, compress: Any
) -> None:
    batch = {"events": [{**CART, "event_id": f"{encoding}{number}"} for number in range(3)]}
    headers = {"content-encoding": encoding}
    answer = await ingest.post("carts/track", bytes(compress(json.dumps(batch).encode())), shop.write_key, headers)
    assert [result["status"] for result in answer.json()["results"]] == ["accepted"] * 3
    bomb = await ingest.post("carts/track", bytes(compress(b" " * 50_000_000)), shop.write_key, headers)
    assert bomb.status_code == 413


async def test_bad_json_is_refused_with_its_place(ingest: Ingest, shop: Shop) -> None:
    answer = await ingest.post("carts/track", b'{"event": "cart_emptied",\n "cart_id": }', shop.write_key)
    assert "line 2, column 13" in answer.json()["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/html"},
        {"content-type": "application/json", "content-encoding": "deflate"},
    ],
)
async def test_what_is_not_sent_as_json_is_415(ingest: Ingest, shop: Shop, headers: dict[str, str]) -> None:
    assert (await ingest.post("carts/track", b"{}", shop.write_key, headers)).status_code == 415


def _basic(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


async def test_a_key_may_come_as_bearer_basic_or_header(ingest: Ingest, shop: Shop) -> None:
    key = shop.write_key
    for headers in (
        {"authorization": f"Bearer {key}"},
        {"authorization": f"bearer  {key}"},
        {"authorization": _basic(f"{key}:".encode())},
        {"authorization": _basic(f":{key}".encode())},
        {"x-api-key": key},
    ):
        assert (await ingest.post("carts/track", CART, "", headers)).status_code == 202, headers


async def test_a_beacon_has_its_key_in_the_address_and_calls_its_json_plain_text(ingest: Ingest, shop: Shop) -> None:
    beacon = {"content-type": "text/plain;charset=UTF-8", "origin": ORIGIN}
    answer = await ingest.post(f"carts/track?write_key={shop.write_key}", CART, "", beacon)
    assert answer.status_code == 202
    secret = await ingest.post(f"carts/track?write_key={shop.secret_key}", CART)
    assert secret.status_code == 403
    assert secret.json()["errors"][0]["field"] == "query/write_key"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer tbw_unknown"},
        {"authorization": "Basic ****"},
        {"authorization": _basic(b"\xff\xfe")},
        {"authorization": "Basic é"},
        {"authorization": "Digest x"},
        {"x-api-key": "é"},
    ],
)
async def test_without_a_key_that_a_store_has_it_is_401(ingest: Ingest, headers: dict[str, str]) -> None:
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = await ingest.post("carts/track", CART, "", raw)  # type: ignore[arg-type]  # bytes that are no ASCII
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_keys_of_closed_stores_and_expired_keys_are_unknown(ingest: Ingest) -> None:
    closed = await ingest.open_shop(f"closed-{uuid.uuid4().hex[:8]}", active=False)
    after = await ingest.open_shop(
        f"after-{uuid.uuid4().hex[:8]}"
    )  # Read after the one before it, on another partition maybe.
    assert (await ingest.post("carts/track", CART, after.write_key)).status_code == 202
    assert (await ingest.post("carts/track", CART, closed.write_key)).status_code == 401


async def test_a_write_key_may_not_place_orders(ingest: Ingest, shop: Shop) -> None:
    answer = await ingest.post("orders", {"order_id": "o1"}, shop.write_key)
    assert answer.status_code == 403
    assert "secret key" in answer.json()["detail"]
    assert await ingest.records("orders", shop.store_id) == []


async def test_the_catalogue_is_for_secret_keys_and_stands_by_product(ingest: Ingest, shop: Shop) -> None:
    mug = {"product_id": "mug-7", "event_id": "p1", "price": "12.50", "stock": 3}
    assert (await ingest.post("products", mug, shop.write_key)).status_code == 403
    assert (await ingest.post("products", mug, shop.secret_key)).status_code == 202
    ((record, message),) = [
        (record, message) for record, message in await ingest.stored("products") if record.store_id == shop.store_id
    ]
    assert isinstance(record, Product)
    assert record.price.minor == 1250
    assert message.key == f"{shop.store_id}:mug-7".encode()


async def test_bots_are_taken_and_marked_and_the_servers_own_agent_marks_nobody(ingest: Ingest, shop: Shop) -> None:
    bot = {"user-agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"}
    for number, headers in enumerate([{**bot, "origin": ORIGIN}, bot, {"user-agent": "curl/8.5.0"}]):
        told = {**CART, "event_id": f"e{number}", "cart_id": f"c{number}"}
        assert (await ingest.post("carts/track", told, shop.write_key, headers)).status_code == 202
    records = await ingest.records("cart.activity", shop.store_id)
    assert {record.cart_id: record.marks for record in records} == {"c0": ("bot",), "c1": (), "c2": ()}


async def test_who_does_more_than_a_person_can_is_marked_from_then_on(ingest: Ingest, shop: Shop) -> None:
    now = "2026-03-01T18:30:00Z"
    many = [{**CART, "event_id": f"e{number}", "occurred_at": now} for number in range(310)]
    assert (await ingest.post("carts/track", {"events": many}, shop.write_key)).status_code == 202
    records = await ingest.records("cart.activity", shop.store_id)
    assert sum(record.marks == ("bot",) for record in records) == 10


async def test_an_address_tells_the_country_and_what_no_people_send_and_stands_nowhere(
    ingest: Ingest, shop: Shop
) -> None:
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
    browser = {"origin": ORIGIN, "user-agent": firefox, "x-real-ip": "192.0.2.44"}
    for few in (range(10), range(10, 320)):
        many = [{**CART, "event_id": f"e{n}", "anonymous_id": f"a{n}", "cart_id": f"c{n}"} for n in few]
        assert (await ingest.post("carts/track", {"events": many}, shop.write_key, browser)).status_code == 202
    records = await ingest.records("cart.activity", shop.store_id)
    assert {record.country for record in records} == {"PT"}
    assert {record.marks for record in records if int(record.cart_id[1:]) < 10} == {()}
    assert {record.marks for record in records if int(record.cart_id[1:]) >= 10} == {("bot",)}
    for _, message in await ingest.stored("cart.activity"):
        assert b"192.0.2.44" not in message.value + b"".join(value for _, value in message.headers)


async def test_P7_a_stores_key_reaches_no_other_stores_data(ingest: Ingest, shop: Shop) -> None:
    other = await ingest.open_shop(f"other-{uuid.uuid4().hex[:8]}", origins=("https://other.example.com",))
    claimed = {**CART, "event_id": f"{shop.store_id}:c1", "cart_id": "c1", "customer_id": "u1"}
    await ingest.post("carts/track", {**CART, "customer_id": "u1"}, shop.write_key)
    await ingest.post("carts/track", claimed, other.write_key)
    refused = await ingest.post("carts/track", {**CART, "store_id": shop.store_id}, other.write_key)
    assert refused.status_code == 422
    order = {"order_id": "o1", "customer_id": "u1", "cart_id": ""}
    assert (await ingest.post("orders", order, other.secret_key)).status_code == 202
    from_other_page = await ingest.post("carts/track", CART, shop.write_key, {"origin": "https://other.example.com"})
    assert from_other_page.status_code == 403
    mine = await ingest.records("cart.activity", shop.store_id)
    theirs = await ingest.records("cart.activity", other.store_id)
    assert [one.kind for one in mine] == ["snapshot"]
    assert [one.kind for one in theirs] == ["snapshot", "order_placed"]
    assert not {one.id for one in mine} & {one.id for one in theirs}
    assert not {hash_ for one in mine for hash_ in one.identities} & {
        hash_ for one in theirs for hash_ in one.identities
    }
    assert all(
        dict(message.headers)["ce_storeid"] == record.store_id.encode()
        for record, message in await ingest.stored("orders")
    )


async def test_a_browser_may_send_from_the_stores_own_pages_only(ingest: Ingest, shop: Shop) -> None:
    own = await ingest.post("carts/track", CART, shop.write_key, {"origin": ORIGIN})
    assert own.status_code == 202
    assert own.headers["access-control-allow-origin"] == ORIGIN
    assert "Origin" in own.headers["vary"]
    foreign = await ingest.post("carts/track", CART, shop.write_key, {"origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert "access-control-allow-origin" not in foreign.headers
    secret = await ingest.post("carts/track", CART, shop.secret_key, {"origin": ORIGIN})
    assert secret.status_code == 403
    assert "browser" in secret.json()["title"]


async def test_a_browser_can_read_why_it_was_refused(ingest: Ingest, shop: Shop) -> None:
    answer = await ingest.post("carts/track", {"event": "?"}, shop.write_key, {"origin": ORIGIN})
    assert answer.status_code == 422
    assert answer.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize(("origin", "status"), [(ORIGIN, 204), ("https://evil.example", 403), ("null", 403)])
async def test_a_preflight_is_answered_for_origins_that_a_store_lists(
    ingest: Ingest, shop: Shop, origin: str, status: int
) -> None:
    import httpx2

    headers = {"origin": origin, "access-control-request-method": "POST"}

    async def answered() -> bool:
        async with httpx2.AsyncClient(base_url=ingest.url) as client:
            answer = await client.options("/api/v1/carts/track", headers=headers)
        listed = answer.headers.get("access-control-allow-origin")
        if status == 204:
            return (
                answer.status_code == 204
                and listed == origin
                and "authorization" in answer.headers["access-control-allow-headers"]
            )
        assert listed is None
        return answer.status_code == 403

    assert await eventually(answered, 5)


async def test_beyond_its_rate_a_store_is_told_when_to_come_again_and_others_are_not(
    ingest: Ingest, shop: Shop
) -> None:
    other = await ingest.open_shop(f"quiet-{uuid.uuid4().hex[:8]}")
    batch = {"events": [{**CART, "event_id": f"e{number}"} for number in range(500)]}
    assert (await ingest.post("carts/track", batch, shop.write_key)).status_code == 202
    answer = await ingest.post("carts/track", batch, shop.write_key)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["ratelimit"].startswith('"carts";r=')
    assert answer.headers["ratelimit-policy"] == '"carts";q=750;w=150'
    assert (await ingest.post("carts/track", CART, other.write_key)).status_code == 202
    assert (await ingest.post("orders", {"order_id": "o1"}, shop.secret_key)).status_code == 202


async def test_the_document_names_the_bodies_and_the_metrics_name_nobody(ingest: Ingest, shop: Shop) -> None:
    await ingest.post("carts/track", {**CART, "email": "shopper@example.com"}, shop.write_key)
    document = (await ingest.get("/openapi.json")).json()
    body = document["paths"]["/api/v1/carts/track"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["anyOf"][0] == {"$ref": "#/components/schemas/CartEvent"}
    assert {"CartEvent", "Order", "Customer", "Line", "Consent"} <= set(document["components"]["schemas"])
    assert (await ingest.get("/docs")).status_code == 200
    metrics = (await ingest.get("/metrics")).text
    assert 'trolleybus_ingest_events_total{kind="cart_updated",outcome="accepted",source="native"}' in metrics
    assert shop.store_id not in metrics

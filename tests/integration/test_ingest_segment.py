"""Segment's own libraries against the gateway, with only the host changed; and its API by hand."""

import asyncio
import base64
import gzip
import json
import os
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from tests.browser_fixtures import Watched
from tests.client_fixtures import node_clients, python_client
from tests.eventually import eventually
from tests.integration.ingest_harness import ORIGIN, Ingest, Shop, running, world
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.customers import CustomerUpdated
from trolleybus.contracts.orders import OrderPlaced

__all__ = ["node_clients", "python_client"]

CUP = {"product_id": "cup-1", "name": "A cup", "price": 12.5, "quantity": 2}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ingest(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ingest]:
    log: Path = tmp_path_factory.mktemp("segment") / "log"
    async with world(env, f"segment-{uuid.uuid4().hex[:6]}.") as around, running(around, log) as gateway:
        yield gateway


@pytest_asyncio.fixture(loop_scope="session")
async def shop(ingest: Ingest) -> Shop:
    return await ingest.open_shop(f"store-{uuid.uuid4().hex[:8]}")


# --- the libraries


async def test_segments_node_library_works_with_only_the_host_changed(
    ingest: Ingest, shop: Shop, node_clients: Path
) -> None:
    await tell(ingest, shop, "node", node_clients / "story.mjs")
    await check_story(ingest, shop, "node", "node@example.com")


async def test_segments_python_library_works_with_only_the_host_changed(
    ingest: Ingest, shop: Shop, python_client: Path
) -> None:
    script = Path(__file__).parents[1] / "clients" / "python" / "story.py"
    await tell(ingest, shop, str(python_client), script)
    await check_story(ingest, shop, "python", "python@example.com")


async def test_segments_browser_library_works_with_only_the_host_changed(
    ingest: Ingest, node_clients: Path, watched: Watched
) -> None:
    with serving(node_clients) as origin:
        shop = await ingest.open_shop(f"store-{uuid.uuid4().hex[:8]}", origins=(origin,), shop_url=origin)
        page = watched.page
        await page.goto(f"{origin}/page.html")
        await page.evaluate(
            """async ([writeKey, cdnURL, cup]) => {
                const analytics = AnalyticsNext.AnalyticsBrowser.load({ writeKey, cdnURL })
                await analytics.page()
                await analytics.track('Product Added', { cart_id: 'browser-cart', ...cup })
                await analytics.identify('browser-customer', { email: 'browser@example.com', firstName: 'Alex' })
                await analytics.alias('browser-customer', 'browser-former')
                await analytics.group('club')
                await analytics.track('Cart Viewed', { cart_id: 'browser-cart', products: [cup] })
                await analytics.track('Order Completed',
                    { cart_id: 'browser-cart', order_id: 'browser-order', total: 25, currency: 'EUR', products: [cup] })
            }""",
            [shop.write_key, ingest.url, CUP],
        )
        await check_story(ingest, shop, "browser", "browser@example.com")
        first = (await ingest.records("cart.activity", shop.store_id))[0]
        assert (first.marks, first.device, bool(first.locale), bool(first.time_zone)) == (
            ("bot",),
            "desktop",
            True,
            True,
        )


async def test_segments_browser_library_may_send_batches(ingest: Ingest, node_clients: Path, watched: Watched) -> None:
    with serving(node_clients) as origin:
        shop = await ingest.open_shop(f"store-{uuid.uuid4().hex[:8]}", origins=(origin,), shop_url=origin)
        await watched.page.goto(f"{origin}/page.html")
        await watched.page.evaluate(
            """async ([writeKey, cdnURL, cup]) => {
                const deliveryStrategy = { strategy: 'batching', config: { size: 2, timeout: 200 } }
                const analytics = AnalyticsNext.AnalyticsBrowser.load(
                    { writeKey, cdnURL }, { integrations: { 'Segment.io': { deliveryStrategy } } })
                await analytics.track('Product Viewed', cup)
                await analytics.track('Product Added', { cart_id: 'browser-cart', ...cup })
            }""",
            [shop.write_key, ingest.url, CUP],
        )

        async def kinds() -> bool:
            found = {record.kind for record in await ingest.records("cart.activity", shop.store_id)}
            return found == {"product_viewed", "lines_added"}

        await eventually(kinds)


# --- by hand


async def test_a_call_may_carry_its_key_in_the_body_and_be_called_plain_text(ingest: Ingest, shop: Shop) -> None:
    call = {"writeKey": shop.write_key, "anonymousId": "a", "event": "Product Added", "properties": CUP}
    answer = await send(ingest, "t", json.dumps(call).encode(), **{"content-type": "text/plain"})
    assert answer.status_code == 200
    assert answer.json()["success"] is True
    (result,) = answer.json()["results"]
    assert (result["status"], [one["field"] for one in result["warnings"]]) == ("accepted", ["/messageId"])
    (record,) = await ingest.records("cart.activity", shop.store_id)
    assert isinstance(record, CartActivity)
    assert record.cart_id == "shopper:a"


async def test_a_batch_answers_each_call_and_takes_those_that_are_sound(ingest: Ingest, shop: Shop) -> None:
    calls = [
        {"type": "track", "messageId": "1", "userId": "u", "event": "Product Viewed", "properties": CUP},
        {"type": "track", "messageId": "2", "userId": "u", "properties": CUP},
        {"type": "page", "messageId": "3", "userId": "u"},
        "not a call",
    ]
    answer = await send(ingest, "batch", gzip.compress(json.dumps({"batch": calls}).encode()), shop.write_key,
                        **{"content-encoding": "gzip"})  # fmt: skip
    assert answer.status_code == 200
    assert answer.json()["success"] is False
    results = answer.json()["results"]
    assert [result["status"] for result in results] == ["accepted", "refused", "accepted", "refused"]
    assert [one["field"] for one in results[1]["errors"]] == ["/batch/1/event"]
    assert len(await ingest.records("cart.activity", shop.store_id)) == 1


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("track", b"{", 400),
        ("track", b"[]", 400),
        ("track", b'{"event": "Product Added", "properties": {}}', 400),
        ("batch", b'{"batch": {}}', 400),
        ("batch", json.dumps({"batch": [{}] * 2501}).encode(), 400),
    ],
)
async def test_what_is_no_call_is_answered_400(ingest: Ingest, shop: Shop, path: str, body: bytes, status: int) -> None:
    assert (await send(ingest, path, body, shop.write_key)).status_code == status


async def test_a_key_that_nobody_has_is_answered_401(ingest: Ingest, shop: Shop) -> None:
    for body in (b"{}", b'{"writeKey": "tbw_unknown"}', b'{"writeKey": 7}'):
        assert (await send(ingest, "track", body)).status_code == 401
    assert (await send(ingest, "track", b"{}", "tbw_unknown")).status_code == 401


async def test_batches_of_segments_own_largest_size_are_taken(ingest: Ingest, shop: Shop) -> None:
    call = {"type": "track", "userId": "u", "event": "Product Viewed", "properties": {"product_id": "p"}}
    large = {**call, "messageId": "large", "properties": {"product_id": "p", "name": "x" * 31_000}}
    body = {"batch": [large, *({**call, "messageId": f"m-{number}"} for number in range(2499))]}
    answer = await send(ingest, "batch", json.dumps(body).encode(), shop.write_key)
    assert (answer.status_code, answer.json()["success"], len(answer.json()["results"])) == (200, True, 2500)


async def test_calls_of_the_past_need_a_secret_key_and_are_imported(ingest: Ingest, shop: Shop) -> None:
    call = {"type": "track", "messageId": "1", "userId": "u", "event": "Product Added", "properties": CUP}
    body = json.dumps({"batch": [{**call, "timestamp": "2024-05-01T10:00:00Z"}, call]}).encode()
    assert (await send(ingest, "import", body, shop.write_key)).status_code == 403
    answer = await send(ingest, "import", body, shop.secret_key)
    assert [result["status"] for result in answer.json()["results"]] == ["accepted", "refused"]
    (record,) = await ingest.records("cart.activity", shop.store_id)
    assert record.imported
    assert record.received_at == record.occurred_at == 1_714_557_600_000


async def test_a_page_of_another_origin_may_not_send(ingest: Ingest, shop: Shop) -> None:
    body = json.dumps({"anonymousId": "a", "event": "Product Viewed", "properties": CUP}).encode()
    own = await send(ingest, "t", body, shop.write_key, origin=ORIGIN)
    assert (own.status_code, own.headers["access-control-allow-origin"]) == (200, ORIGIN)
    assert (await send(ingest, "t", body, shop.write_key, origin="https://elsewhere.example.net")).status_code == 403


# --- helpers


async def send(ingest: Ingest, path: str, body: bytes, key: str = "", **headers: str) -> httpx2.Response:
    sent = {"content-type": "application/json", **headers}
    if key:
        sent["authorization"] = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
    async with httpx2.AsyncClient(base_url=ingest.url, timeout=30) as client:
        return await client.post(f"/v1/{path}", content=body, headers=sent)


async def tell(ingest: Ingest, shop: Shop, program: str, script: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        program,
        str(script),
        env={**os.environ, "HOST": ingest.url, "WRITE_KEY": shop.write_key},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, errors.decode()


async def check_story(ingest: Ingest, shop: Shop, name: str, email: str) -> None:
    async def orders() -> list[Any]:
        return await ingest.records("orders", shop.store_id)

    placed = await eventually(orders)
    assert {order.order_id for order in placed if isinstance(order, OrderPlaced)} == {f"{name}-order"}
    assert {(order.total.minor, order.total.currency) for order in placed} == {(2500, "EUR")}
    activities = await ingest.records("cart.activity", shop.store_id)
    assert {one.kind for one in activities} == {"lines_added", "snapshot", "order_placed"}
    assert {one.cart_id for one in activities} == {f"{name}-cart"}
    updates = await ingest.records("customer.updates", shop.store_id)
    told = [one for one in updates if isinstance(one, CustomerUpdated) and one.email]
    assert {(one.customer_id, one.email, one.first_name) for one in told if one.first_name} == {
        (f"{name}-customer", email, "Alex")
    }
    assert {"identify", "merge"} <= {one.reason for one in updates if not isinstance(one, CustomerUpdated)}


@contextmanager
def serving(node_clients: Path) -> Iterator[str]:
    """A shop's page beside the library's files, on an origin of its own."""
    root = node_clients / "site"
    root.mkdir(exist_ok=True)
    (root / "page.html").write_bytes((Path(__file__).parents[1] / "clients" / "page.html").read_bytes())
    if not (root / "umd").exists():
        (root / "umd").symlink_to(node_clients / "node_modules/@segment/analytics-next/dist/umd")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's signature
        pass

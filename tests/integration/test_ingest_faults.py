"""The gateway when Kafka or Valkey is away, when half of an order is refused, and when the input is hostile."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ingest.api import examples
from tests.eventually import eventually
from tests.integration.ingest_harness import Ingest, Shop, running, world
from tests.stack_fixtures import own_env as env  # noqa: F401 - a fixture: this module takes servers away
from tests.stack_fixtures import own_stack as stack  # noqa: F401
from tools.stack.stack import Stack

ORDER = {"order_id": "o1", "cart_id": "c1", "customer_id": "u1", "email": "shopper@example.com", "total": "10.00"}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ingest") / "log"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ingest(env: dict[str, str], log: Path) -> AsyncIterator[Ingest]:
    async with (
        world(env, f"ingest-faults-{uuid.uuid4().hex[:6]}.") as around,
        running(
            around,
            log,
            ACK_TIMEOUT_SECONDS="2",
            SLOW_ACK_SECONDS="0.5",
            RATE_LIMIT_PER_SECOND="100000",
            RATE_LIMIT_BURST="200000",
        ) as gateway,
    ):
        yield gateway


@pytest_asyncio.fixture(loop_scope="session")
async def shop(ingest: Ingest) -> Shop:
    return await ingest.open_shop(f"store-{uuid.uuid4().hex[:8]}")


def event(number: int) -> dict[str, Any]:
    return {"event": "cart_emptied", "event_id": f"e{number}", "cart_id": f"c{number}"}


async def test_P1_while_the_broker_is_dead_the_answer_is_503_and_every_202_is_on_the_topic(
    ingest: Ingest, shop: Shop, stack: Stack
) -> None:
    accepted: set[str] = set()
    statuses: list[int] = []
    seconds: list[float] = []
    stop = asyncio.Event()

    async def shopper(first: int) -> None:
        number = first
        while not stop.is_set():
            began = time.monotonic()
            answer = await ingest.post("carts/track", event(number), shop.write_key)
            seconds.append(time.monotonic() - began)
            statuses.append(answer.status_code)
            if answer.status_code == 202:
                accepted.add(f"c{number}")
                number += 4  # Else the same again, as a client would.
            else:
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["retry-after"]) >= 1
                await asyncio.sleep(0.1)

    async def has(status: int, more_than: int) -> bool:
        return statuses.count(status) > more_than

    shoppers = [asyncio.create_task(shopper(first)) for first in range(4)]
    try:
        await eventually(lambda: has(202, 50))
        await stack.kill("kafka-1")
        await eventually(lambda: has(503, 8))
        dead = statuses[-4:]
        assert set(dead) == {503}
        assert (await ingest.get("/livez")).status_code == 200
        await stack.start("kafka-1")
        taken = statuses.count(202)
        await eventually(lambda: has(202, taken + 50), 60)
    finally:
        stop.set()
        await asyncio.gather(*shoppers)
    stored = await ingest.records("cart.activity", shop.store_id)
    assert accepted <= {record.cart_id for record in stored}
    ids: dict[str, set[str]] = {}
    for record in stored:
        ids.setdefault(record.cart_id, set()).add(record.id)
    assert all(len(found) == 1 for found in ids.values())
    assert max(seconds) < 15
    (await ingest.get("/readyz")).raise_for_status()


async def test_P1_while_the_broker_stands_still_under_load_the_answer_is_an_early_503_and_memory_stays(
    ingest: Ingest, shop: Shop, stack: Stack
) -> None:
    accepted: set[str] = set()
    refused: list[float] = []
    stop = asyncio.Event()

    async def shopper(first: int) -> None:
        number = first
        while not stop.is_set():
            events = [{**event(number + index), "device": "x" * 400} for index in range(100)]
            began = time.monotonic()
            answer = await ingest.post("carts/track", {"events": events}, shop.write_key)
            if answer.status_code == 202:
                accepted.update(one["cart_id"] for one in events)
                number += 800
            else:
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["retry-after"]) >= 1
                refused.append(time.monotonic() - began)

    async def have_passed(more_than: int) -> bool:
        return len(accepted) > more_than

    async def were_refused(more_than: int) -> bool:
        return len(refused) > more_than

    assert ingest.process is not None
    gateway = psutil.Process(ingest.process.pid)
    shoppers = [asyncio.create_task(shopper(first)) for first in range(0, 800, 100)]
    try:
        await eventually(lambda: have_passed(3000))
        before = gateway.memory_info().rss
        stack.pause("kafka-1")
        await eventually(lambda: were_refused(150), 60)
        grown = gateway.memory_info().rss - before
        early = sorted(refused[50:])
    finally:
        stack.resume("kafka-1")
        passed = len(accepted)
        await eventually(lambda: have_passed(passed + 1000), 60)
        stop.set()
        await asyncio.gather(*shoppers)
    assert grown < 60 * 1024 * 1024
    assert early[len(early) // 2] < 2.5  # Half of ACK_TIMEOUT_SECONDS: before a record is given up.
    stored = {record.cart_id for record in await ingest.records("cart.activity", shop.store_id)}
    assert accepted <= stored


async def test_P1_half_an_order_is_no_202_and_its_retry_carries_the_same_ids(ingest: Ingest, shop: Shop) -> None:
    await _limit_messages(ingest, "cart.activity", "1")
    refused = await ingest.post("orders", ORDER, shop.secret_key)
    assert refused.status_code == 503
    assert await ingest.records("cart.activity", shop.store_id) == []
    (half,) = await ingest.records("orders", shop.store_id)
    await _limit_messages(ingest, "cart.activity", "1048588")

    async def retried() -> bool:
        return (await ingest.post("orders", ORDER, shop.secret_key)).status_code == 202

    assert await eventually(retried, 30)
    orders = await ingest.records("orders", shop.store_id)
    activity = await ingest.records("cart.activity", shop.store_id)
    assert {order.id for order in orders} == {half.id}
    assert len(orders) > 1
    assert {one.kind for one in activity} == {"order_placed"}
    assert len({one.id for one in activity}) == 1


async def _limit_messages(ingest: Ingest, topic: str, largest: str) -> None:
    name = ingest.topics[topic].full_name
    admin = AIOKafkaAdminClient(bootstrap_servers=ingest.env["KAFKA_BOOTSTRAP_SERVERS"])
    await admin.start()
    try:
        configs = {**ingest.topics[topic].config(), "max.message.bytes": largest}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs)])
    finally:
        await admin.close()


async def test_without_valkey_nobody_is_refused_and_orders_still_end_carts(
    ingest: Ingest, shop: Shop, stack: Stack
) -> None:
    await stack.kill("valkey")
    try:
        for number in range(20):
            unnamed = {"event": "cart_emptied", "event_id": f"e{number}", "customer_id": f"u{number}"}
            assert (await ingest.post("carts/track", unnamed, shop.write_key)).status_code == 202
        order = {"order_id": "o1", "customer_id": "u1"}
        assert (await ingest.post("orders", order, shop.secret_key)).status_code == 202
        assert (await ingest.get("/readyz")).status_code == 200
        metrics = (await ingest.get("/metrics")).text
        assert 'trolleybus_ingest_valkey_failures_total{purpose="limiter"}' in metrics
    finally:
        await stack.start("valkey")
    activity = await ingest.records("cart.activity", shop.store_id)
    assert [one.kind for one in activity if one.cart_id == "shopper:u1"] == ["cart_emptied", "order_placed"]


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False)
    | st.text(max_size=30)
    | st.sampled_from(["", "0", "-1", "1e400", "cart_updated", "granted", "a@b.example", "\0", "9999-99-99T00:00:00Z"])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
SOUND = [
    ("carts/track", list(examples.CART_EVENTS.values())),
    ("orders", list(examples.ORDERS.values())),
    ("customers", list(examples.CUSTOMERS.values())),
]


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, bytes]:
    """A sound body with a value somewhere replaced, or cut, or no JSON at all."""
    path, sound = draw(st.sampled_from(SOUND))
    if draw(st.booleans()):
        return path, draw(st.binary(max_size=100) | JSON.map(lambda value: json.dumps(value).encode()))
    body = json.loads(json.dumps(draw(st.sampled_from(sound))))
    for _ in range(draw(st.integers(1, 3))):
        place: Any = body
        while True:
            keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and draw(st.booleans()):
                place = place[key]
                continue
            place[key] = draw(JSON)
            break
    return path, json.dumps(body).encode()


async def test_P8_no_body_whatever_makes_the_gateway_fail(ingest: Ingest, shop: Shop) -> None:
    loop = asyncio.get_running_loop()
    seen: set[int] = set()

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(bodies())
    def attack(case: tuple[str, bytes]) -> None:
        path, body = case
        answer = asyncio.run_coroutine_threadsafe(ingest.post(path, body, shop.secret_key), loop).result(30)
        seen.add(answer.status_code)
        assert answer.status_code in {202, 400, 422}, answer.text
        if answer.status_code != 202:
            assert answer.json()["status"] == answer.status_code

    await asyncio.to_thread(attack)
    assert {202, 400, 422} <= seen
    await ingest.records("cart.activity", shop.store_id)  # Everything that was accepted can be read.


@pytest.mark.parametrize(
    "body",
    [
        b'{"event":"cart_updated","event_id":"\\ud800","cart_id":"c","lines":[]}',
        b'{"\\ud800":1,"event_id":"e"}',
        b'{"event":"item_added","event_id":"e","cart_id":"c","lines":[{"product_id":"p","unit_price":1e999}]}',
        b'{"event":"item_added","event_id":"e","cart_id":"c","lines":[{"product_id":"p","unit_price":NaN}]}',
        b'{"event":"item_added","event_id":"e","cart_id":"c","lines":[{"product_id":"p","quantity":1e30}]}',
        b'{"event":"item_added","event_id":"e","cart_id":"c","lines":[{"product_id":"p","name":"\\u0000"}]}',
        b'{"event":"item_added","event_id":"e","cart_id":"c","lines":' + b"[" * 1000 + b"]" * 1000 + b"}",
    ],
)
async def test_P8_hostile_values_are_refused(ingest: Ingest, shop: Shop, body: bytes) -> None:
    answer = await ingest.post("carts/track", body, shop.write_key)
    assert answer.status_code in {400, 422}, answer.text


@pytest.mark.parametrize("year", ["0001", "1970", "2019", "2999", "9999"])
async def test_P8_a_clock_that_is_years_wrong_is_no_reason_to_refuse(ingest: Ingest, shop: Shop, year: str) -> None:
    before = time.time_ns() // 1_000_000
    told = {**event(1), "occurred_at": f"{year}-01-01T00:00:00+14:00"}
    assert (await ingest.post("carts/track", told, shop.write_key)).status_code == 202
    (record,) = await ingest.records("cart.activity", shop.store_id)
    assert before <= record.occurred_at <= record.received_at


async def test_nothing_personal_and_no_key_stands_in_the_log(ingest: Ingest, shop: Shop, log: Path) -> None:
    personal = {**event(1), "email": "shopper.private@example.com", "phone": "+34600111222", "customer_id": "person-77"}
    await ingest.post("carts/track", personal, shop.write_key)
    await ingest.post("carts/track", {**personal, "ip": "192.0.2.7"}, shop.write_key)
    await ingest.post("orders", personal, shop.write_key)
    text = await asyncio.to_thread(log.read_text)
    for secret in ("shopper.private", "600111222", "person-77", "192.0.2.7", shop.write_key, shop.secret_key):
        assert secret not in text

"""Analytics on real servers: records in, figures out, live, and each store only its own."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.domain.buckets import DAY_MS, HOUR_MS
from tests.eventually import eventually
from tests.integration.analytics_harness import OPERATOR, Shop, World, running, world
from tests.unit.analytics.life import life
from trolleybus.contracts.cart import CartActivity, CartLine
from trolleybus.contracts.journeys import HeldOut, JourneyEntered
from trolleybus.contracts.messages import MessageRefused, MessageSent
from trolleybus.contracts.money import Money
from trolleybus.contracts.orders import OrderChanged, OrderPlaced
from trolleybus.contracts.records import Record
from trolleybus.contracts.recovery import CartAbandoned, CartRecovered
from trolleybus.envelope import Outgoing

START = 1_760_000_000_000
END = START + 3 * DAY_MS
API = "/api/v1/analytics"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def service(env: dict[str, str]) -> AsyncIterator[World]:
    async with world(env) as around:
        around.now.append(END)
        async with running(around):
            yield around


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def lived(service: World) -> tuple[Shop, Shop, list[Record]]:
    """Two stores with carts of the same ids; the records of the first."""
    one, other = await service.open_shop("store-one"), await service.open_shop("store-two")
    records = life("store-one", seed=5, carts=300, start=START)
    twice = records + records[::7]
    await service.send(twice)
    await service.send(life("store-two", seed=6, carts=80, start=START))
    await service.caught_up()
    return one, other, records


def ask(**more: str | int) -> dict[str, Any]:
    return {"from": START, "to": END} | more


async def test_the_figures_are_those_counted_by_hand(service: World, lived: tuple[Shop, Shop, list[Record]]) -> None:
    one, _, records = lived
    answer = await service.get(f"{API}/dashboard", store_id=one.store_id, **ask())
    assert answer.status_code == 200, answer.text
    board = answer.json()
    of: dict[type[Record], list[Any]] = defaultdict(list)
    for record in records:
        of[type(record)].append(record)
    alive = [r for r in of[CartActivity] if not r.marks]
    opened = {r.cart_id for r in alive if r.kind == "snapshot" and r.lines}
    assert board["carts"]["seen"] == len({r.cart_id for r in alive})
    assert board["carts"]["opened"] == len(opened)
    seen = {r.cart_id for r in alive}
    assert board["carts"]["bots"] == len({r.cart_id for r in of[CartActivity] if "bot" in r.marks} - seen) > 0
    marked = {r.cart_id for r in of[CartActivity] if r.marks == ("incomplete",)}
    assert board["carts"]["incomplete"] == len(marked - seen) > 0
    assert board["carts"]["abandoned"] == len({r.cart_id for r in of[CartAbandoned]})
    for level in board["levels"]:
        fired = [r for r in of[CartAbandoned] if r.level_seconds == level["level_seconds"]]
        assert level["abandoned"] == level["fired"] == len(fired) > 0
        assert level["eligible"] == len(opened)  # The period ended long after the last cart.
        assert {one["currency"]: one["minor"] for one in level["value"]} == sums(r.value for r in fired)
    cancelled = {r.order_id for r in of[OrderChanged]}
    recovered = [r for r in of[CartRecovered] if r.order_id not in cancelled]
    written = {r.cart_id for r in of[MessageSent]}
    assert board["recovered"]["carts"] == board["carts"]["recovered"] == len(recovered) > 0
    assert board["recovered"]["cancelled"] == len(of[CartRecovered]) - len(recovered) > 0
    assert board["recovered"]["assisted"] == len([r for r in recovered if r.cart_id in written]) > 0
    assert {one["currency"]: one["total"]["minor"] for one in board["recovered"]["revenue"]} == sums(
        r.order_total for r in recovered
    )
    assert len(board["recovered"]["revenue"]) == 2
    assert board["messages"]["sent"] == len(of[MessageSent])
    assert board["messages"]["refused_by_rule"] == [{"rule": "consent", "count": len(of[MessageRefused])}]
    for arm, kind in (("treated", JourneyEntered), ("held_out", HeldOut)):
        carts = {r.cart_id for r in of[kind]}
        bought = {r.cart_id for r in of[OrderPlaced] if r.order_id not in cancelled and r.cart_id} & carts
        assert board["experiment"][arm]["journeys"] == len(carts) > 0
        assert board["experiment"][arm]["converted"] == len(bought) > 0
    assert sum(board["series"]["opened"]) == sum(board["hours"]["opened"]) == len(opened)
    assert sum(board["series"]["recovered"]) == len(of[CartRecovered])
    assert board["period"]["bucket"] == "hour"


def sums(amounts: Iterable[Money]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for amount in amounts:
        found[amount.currency] += amount.minor
    return dict(found)


async def test_an_order_of_the_same_person_in_another_cart_converts_a_journey(service: World) -> None:
    shop = await service.open_shop("store-person")
    person = ("email:v1:person",)
    common: dict[str, Any] = {"store_id": shop.store_id, "identities": person, "occurred_at": START}
    value = Money(minor=1000, currency="EUR")
    await service.send(
        [
            JourneyEntered(id="p1", journey_id="p1", cart_id="phone", value=value, **common),
            HeldOut(id="p2", journey_id="p2", cart_id="other", value=value, store_id=shop.store_id, occurred_at=START),
            OrderPlaced(
                id="p3",
                store_id=shop.store_id,
                order_id="p3",
                occurred_at=START + HOUR_MS,
                cart_id="laptop",
                identities=("email:v1:person", "anonymous:v1:x"),
                total=Money(minor=900, currency="EUR"),
            ),
        ]
    )
    await service.caught_up()
    found = (await service.get(f"{API}/dashboard", store_id=shop.store_id, **ask())).json()["experiment"]
    assert (found["treated"]["converted"], found["held_out"]["converted"]) == (1, 0)
    assert found["revenue_per_journey"][0]["treated"] == 900
    assert found["verdict"] == "too_few"
    assert "Not yet enough to tell" in found["text"]


async def test_carts_are_paged_with_their_time_lines(service: World, lived: tuple[Shop, Shop, list[Record]]) -> None:
    one, _, records = lived
    seen: list[dict[str, Any]] = []
    after = ""
    while True:
        page = (await service.get(f"{API}/carts", store_id=one.store_id, limit=70, after=after)).json()
        seen += page["carts"]
        after = page["next"]
        if after is None:
            break
    ids = [cart["cart_id"] for cart in seen]
    assert len(ids) == len(set(ids))
    assert set(ids) == {r.cart_id for r in records if isinstance(r, CartActivity) and r.lines and not r.marks}
    recovered = {r.cart_id for r in records if isinstance(r, CartRecovered)}
    assert {cart["cart_id"] for cart in seen if cart["state"] == "recovered"} == recovered
    line = next(cart["time_line"] for cart in seen if cart["cart_id"] in recovered)
    kinds = [event["what"] for event in line]
    assert kinds[0] == "opened"
    assert kinds[-1] == "recovered"
    assert "abandoned" in kinds


async def test_P7_a_stores_key_reads_that_store_and_no_other(
    service: World, lived: tuple[Shop, Shop, list[Record]]
) -> None:
    one, other, _ = lived
    mine = await service.get(f"{API}/dashboard", one.headers, **ask())
    assert mine.json()["store"]["store_id"] == one.store_id
    named = await service.get(f"{API}/dashboard", one.headers, store_id=one.store_id, **ask())
    assert named.json()["carts"] == mine.json()["carts"]
    listed = (await service.get(f"{API}/stores", one.headers)).json()["stores"]
    assert [store["store_id"] for store in listed] == [one.store_id]
    for path in ("dashboard", "carts", "stream"):
        for stranger in (other.store_id, "no-such-store", one.store_id.upper(), f"{one.store_id} "):
            answer = await service.get(f"{API}/{path}", one.headers, store_id=stranger)
            assert answer.status_code == 403
            assert answer.json()["errors"][0]["field"] == "query/store_id"
            assert other.config.name not in answer.text
    assert (await service.get("/", one.headers, store_id=other.store_id)).status_code == 403
    assert (await service.get("/figures", one.headers, store_id=other.store_id)).status_code == 403


async def test_P7_whatever_a_key_asks_the_answer_tells_of_its_store_only(
    service: World, lived: tuple[Shop, Shop, list[Record]]
) -> None:
    one, other, _ = lived
    texts = st.sampled_from([other.store_id, "'", "*", "%", "", one.store_id]) | st.text(max_size=20)
    asked = st.fixed_dictionaries(
        {},
        optional={
            "store_id": texts,
            "from": st.sampled_from([str(START), "2025-01-01"]) | texts,
            "to": st.sampled_from([str(END), "2030-01-01"]) | texts,
            "after": texts,
            "bucket": texts,
            "range": texts,
            "limit": texts,
        },
    )
    cases: list[tuple[str, dict[str, Any]]] = []

    @given(st.sampled_from(["dashboard", "carts", "stores"]), asked)
    @settings(max_examples=60, database=None)
    def collect(path: str, params: dict[str, Any]) -> None:
        cases.append((path, params))

    collect()
    theirs = {"cart-6-", other.store_id, other.config.name}
    for path, params in cases:
        answer = await service.get(f"{API}/{path}", one.headers, **params)
        assert answer.status_code in (200, 403, 422), (path, params, answer.text)
        if answer.status_code == 200:
            assert not [text for text in theirs if text in answer.text], (path, params)


async def test_P7_the_same_cart_id_in_two_stores_is_two_carts(service: World) -> None:
    shops = [await service.open_shop(f"store-same-{name}") for name in ("a", "b")]
    line = CartLine(line_id="a", quantity=1)
    await service.send(
        [
            CartActivity(
                id=f"same-{n}",
                store_id=shop.store_id,
                cart_id="same",
                occurred_at=START + n,
                kind="snapshot",
                lines=(line,),
            )
            for n, shop in enumerate(shops)
        ]
    )
    await service.caught_up()
    for n, shop in enumerate(shops):
        [cart] = (await service.get(f"{API}/carts", shop.headers)).json()["carts"]
        assert cart["time_line"][0]["at_ms"] == START + n


@pytest.mark.parametrize(
    ("params", "status", "field"),
    [
        ({"store_id": "nobody"}, 404, None),
        ({}, 422, "query/store_id"),
        ({"store_id": "store-one", "from": "yesterday"}, 422, "query/from"),
        ({"store_id": "store-one", "from": "2026-02-02", "to": "2026-02-01"}, 422, "query/from"),
        ({"store_id": "store-one", "bucket": "week"}, 422, "query/bucket"),
        ({"store_id": "store-one", "range": "forever"}, 422, "query/range"),
    ],
)
async def test_a_question_that_cannot_be_answered_is_told_as_a_problem(
    service: World,
    lived: tuple[Shop, Shop, list[Record]],
    params: dict[str, Any],
    status: int,
    field: str | None,
) -> None:
    answer = await service.get(f"{API}/dashboard", **params)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    if field:
        assert answer.json()["errors"][0]["field"] == field


async def test_without_proof_nobody_reads_anything(service: World, lived: tuple[Shop, Shop, list[Record]]) -> None:
    one, _, _ = lived
    for path in (f"{API}/dashboard", f"{API}/stores", f"{API}/carts", f"{API}/stream", "/", "/figures"):
        for headers in ({}, {"Authorization": "Bearer tbs_unknown"}, {"Authorization": "Bearer nothing"}):
            answer = await service.get(path, headers, store_id=one.store_id)
            assert answer.status_code == 401, path
    write = {"Authorization": f"Bearer {one.write_key}"}
    assert (await service.get(f"{API}/dashboard", write)).status_code == 403


async def test_a_place_in_the_list_that_is_none_is_refused(service: World, lived: object) -> None:
    for after in ("x", "!!", "bm90YXBsYWNl", "A" * 500):
        answer = await service.get(f"{API}/carts", store_id="store-one", after=after)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "query/after"


async def test_a_new_store_is_shown_how_to_send_its_first_event(service: World) -> None:
    shop = await service.open_shop("store-empty")
    board = (await service.get(f"{API}/dashboard", shop.headers)).json()
    assert board["carts"] == {"seen": 0, "opened": 0, "abandoned": 0, "recovered": 0, "bots": 0, "incomplete": 0}
    assert board["experiment"]["verdict"] == "none"
    assert board["levels"][0]["rate"] is None
    page = await service.get("/", store_id=shop.store_id)
    assert page.status_code == 200
    assert "No carts yet: send the first event" in page.text
    assert f"{service.settings.ingest_url}/api/v1/carts/track" in page.text


async def test_the_page_shows_the_figures_without_inline_script_or_style(
    service: World, lived: tuple[Shop, Shop, list[Record]]
) -> None:
    one, _, _ = lived
    page = await service.get("/", store_id=one.store_id, range="last_7_days")
    assert page.status_code == 200
    assert one.config.name in page.text
    carts = (await service.get(f"{API}/dashboard", store_id=one.store_id, range="last_7_days")).json()["carts"]
    assert f"{carts['bots']} more by bots, {carts['incomplete']} more without a shopper" in page.text
    assert carts["bots"] > 0 < carts["incomplete"]
    assert "Not yet enough to tell" in page.text or "percentage points" in page.text
    assert " style=" not in page.text
    assert "<script>" not in page.text
    assert " on" not in "".join(part.split(">")[0] for part in page.text.split("<button"))
    assert (await service.get("/dashboard", store_id=one.store_id)).status_code == 200
    german = await service.get(
        "/figures",
        {"Authorization": f"Bearer {OPERATOR}", "Accept-Language": "de-DE,de;q=0.9"},
        store_id=one.store_id,
        range="last_7_days",
    )
    assert "\xa0€" in german.text
    for path in ("/static/analytics/dashboard.js", "/static/analytics/dashboard.css"):
        assert (await service.get(path)).status_code == 200


async def test_the_stream_tells_of_a_change_and_of_nobody_elses(service: World) -> None:
    mine, other = await service.open_shop("store-live"), await service.open_shop("store-quiet")
    heard: dict[str, int] = Counter()

    async def listen(shop: Shop) -> None:
        async with (
            httpx2.AsyncClient(base_url=service.url, timeout=60) as client,
            client.stream("GET", f"{API}/stream", headers=shop.headers) as answer,
        ):
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for line in answer.aiter_lines():
                if line == "event: moved":
                    heard[shop.store_id] += 1

    async def both_connected() -> bool:
        return heard[mine.store_id] >= 1 and heard[other.store_id] >= 1

    async def mine_heard() -> bool:
        return heard[mine.store_id] >= 2

    listeners = [asyncio.create_task(listen(shop)) for shop in (mine, other)]
    try:
        await eventually(both_connected)
        before = heard[other.store_id]
        line = CartLine(line_id="a", quantity=1)
        await service.send(
            [
                CartActivity(
                    id="live", store_id=mine.store_id, cart_id="c", occurred_at=START, kind="snapshot", lines=(line,)
                )
            ]
        )
        await eventually(mine_heard)
        assert heard[other.store_id] == before
    finally:
        for listener in listeners:
            listener.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)


async def test_P8_a_malformed_order_is_written_down_and_the_figures_go_on(service: World) -> None:
    shop = await service.open_shop("store-broken")
    topic = service.topics["orders"]
    good = OrderPlaced(
        id="g", store_id=shop.store_id, order_id="g", occurred_at=START, total=Money(minor=1, currency="EUR")
    )
    await service.writer.send_outgoing(
        [Outgoing(topic.full_name, topic.key_of(good), b"not avro", [("ce_storeid", shop.store_id.encode())])]
    )
    await service.send([good])
    await service.caught_up()
    assert await service.rows("SELECT 1 FROM facts.orders WHERE store_id = %s", shop.store_id)
    [row] = await service.rows("SELECT topic, reason FROM unreadable WHERE store_id = %s", shop.store_id)
    assert row["topic"] == "orders"


async def test_the_stream_ends_when_the_service_stops(env: dict[str, str]) -> None:
    async with world(env) as around:
        ended = asyncio.Event()
        connected = asyncio.Event()

        async def listen(url: str, headers: dict[str, str]) -> None:
            async with (
                httpx2.AsyncClient(base_url=url, timeout=60) as client,
                client.stream("GET", f"{API}/stream", headers=headers) as answer,
            ):
                async for line in answer.aiter_lines():
                    if line.startswith("data:"):
                        json.loads(line.removeprefix("data:"))
                        connected.set()
            ended.set()

        async with running(around):
            shop = await around.open_shop("store-end")
            listener = asyncio.create_task(listen(around.url, shop.headers))
            await asyncio.wait_for(connected.wait(), 30)
        await asyncio.wait_for(ended.wait(), 10)
        await listener

"""One shopper, one cart: the identity map on a real Valkey, emptied, slow and gone, and beside a second gateway."""

import asyncio
import os
import sys
import uuid
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from services.ingest.identity.alone import Alone
from services.ingest.identity.rebuild import ALONE
from services.ingest.identity.space import IN_USE
from services.ingest.metrics import IngestMetrics
from services.ingest.valkey import Valkey
from services.messaging.domain.people import merge
from tests.eventually import eventually
from tests.integration.ingest_harness import Ingest, Shop, running, world
from tests.stack_fixtures import own_env as env  # noqa: F401 - a fixture: this module takes servers away
from tests.stack_fixtures import own_stack as stack  # noqa: F401
from tools.stack.stack import Stack
from trolleybus.contracts.identity import IdentityHasher, installation_secrets


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ingest(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ingest]:
    log = tmp_path_factory.mktemp("identity") / "log"
    async with world(env, f"identity-{uuid.uuid4().hex[:6]}.") as around, running(around, log) as gateway:
        yield gateway


@pytest_asyncio.fixture(loop_scope="session")
async def shop(ingest: Ingest) -> Shop:
    return await ingest.open_shop(f"store-{uuid.uuid4().hex[:8]}")


@pytest_asyncio.fixture(loop_scope="session")
async def valkey(env: dict[str, str]) -> AsyncIterator[Redis]:
    """One for each test: some end the server that the connection of the one before went to."""
    client = Redis.from_url(env["REDIS_URL"], decode_responses=True)
    yield client
    await client.aclose()


BROWSER = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}


class Told:
    """Sends events of one shop, and reads what became of them."""

    def __init__(self, ingest: Ingest, shop: Shop) -> None:
        self.ingest = ingest
        self.shop = shop
        self.count = 0

    async def cart(self, *, through: Ingest | None = None, **who: str) -> None:
        self.count += 1
        event = {"event": "checkout_step", "step": "started", "event_id": f"e{self.count}", **who}
        answer = await (through or self.ingest).post("carts/track", event, self.shop.write_key, BROWSER)
        assert answer.status_code == 202, answer.text

    async def order(self, order_id: str, **who: str) -> None:
        answer = await self.ingest.post("orders", {"order_id": order_id, **who}, self.shop.secret_key)
        assert answer.status_code == 202, answer.text

    async def placed(self, order_id: str) -> Any:
        orders = await self.ingest.records("orders", self.shop.store_id)
        return next(order for order in orders if order.order_id == order_id)

    async def activity(self) -> list[Any]:
        found = await self.ingest.records("cart.activity", self.shop.store_id)
        return sorted(found, key=lambda one: one.received_at)

    def hashes(self, **values: str) -> set[str]:
        hasher = IdentityHasher(installation_secrets(self.ingest.env["INSTALLATION_SECRET"]))
        return {hasher.hash(self.shop.store_id, kind, value) for kind, value in values.items()}


@pytest.fixture
def told(ingest: Ingest, shop: Shop) -> Told:
    return Told(ingest, shop)


async def known(valkey: Redis, hashes: set[str]) -> None:
    async def written() -> bool:
        space = str(await valkey.get(IN_USE) or "0")
        return all([await valkey.exists(f"{IN_USE}:{space}:of:{one}") for one in hashes])

    await eventually(written)


async def test_a_guests_order_ends_the_cart_and_names_every_identity_known_of_the_buyer(told: Told) -> None:
    await told.cart(cart_id="c1", anonymous_id="a1")
    await told.cart(cart_id="c1", anonymous_id="a1", email="guest@example.com")
    await told.order("o1", email="guest@example.com", customer_id="u9")
    placed = await told.placed("o1")
    assert set(placed.identities) == told.hashes(email="guest@example.com", anonymous="a1", customer="u9")
    assert placed.cart_id == "c1"
    assert [one.cart_id for one in await told.activity() if one.kind == "order_placed"] == ["c1"]


async def test_a_new_login_on_a_shared_device_parts_and_no_fact_makes_one_person_of_two(told: Told) -> None:
    await told.cart(cart_id="c1", anonymous_id="a1", customer_id="first")
    await told.cart(cart_id="c2", anonymous_id="a1", customer_id="second")
    await told.cart(anonymous_id="a1")
    later = [one for one in await told.activity() if one.cart_id == "c2"]
    assert len(later) == 2
    for one in later:
        assert (one.customer_id, set(one.identities)) == ("second", told.hashes(customer="second"))
    second = told.hashes(customer="second")
    for fact in await told.ingest.records("customer.updates", told.shop.store_id):
        assert set(fact.identities) == second or second.isdisjoint(fact.identities)


async def test_what_one_gateway_learned_another_knows(
    told: Told, ingest: Ingest, valkey: Redis, tmp_path: Path
) -> None:
    async with running(ingest, tmp_path / "second.log") as second:
        await told.cart(through=second, anonymous_id="a1")  # Remembered as a stranger there.
        await told.cart(cart_id="c1", anonymous_id="a1", customer_id="u1")
        await known(valkey, told.hashes(customer="u1"))
        await told.cart(through=second, anonymous_id="a1")
    assert [one.cart_id for one in await told.activity()] == ["shopper:a1", "c1", "c1"]


async def test_an_emptied_map_refuses_nothing_and_learns_again(told: Told, valkey: Redis) -> None:
    await told.cart(cart_id="c1", anonymous_id="a1", customer_id="u1")
    await known(valkey, told.hashes(customer="u1"))
    await valkey.flushall()
    await told.cart(cart_id="c2", anonymous_id="a1", customer_id="u1")
    await told.cart(anonymous_id="a1", email="shopper@example.com")
    await known(valkey, told.hashes(email="shopper@example.com"))
    await told.order("o1", email="shopper@example.com")
    assert (await told.placed("o1")).cart_id in {"c2", "shopper:a1"}


async def test_a_person_that_cannot_be_read_is_a_stranger_and_ends_nothing(
    told: Told, ingest: Ingest, valkey: Redis
) -> None:
    await told.cart(cart_id="c1", anonymous_id="a1", customer_id="u1")
    (one,) = customer = told.hashes(customer="u1")
    await known(valkey, customer)
    space = f"{IN_USE}:{await valkey.get(IN_USE) or 0!s}"
    name = str(await valkey.get(f"{space}:of:{one}"))
    for damage in ("of another release", "1|{}", "x|[{},{},{},{}]", "1|[]"):
        await valkey.set(f"{space}:person:{name}", damage)
        await told.order("o1", customer_id="u1", event_id=damage)
    await told.order("o2", customer_id="u2", anonymous_id="a2")
    await known(valkey, told.hashes(customer="u2"))
    assert ingest.process is not None
    assert ingest.process.returncode is None


async def test_only_hashes_and_the_shops_own_ids_stand_in_valkey_and_all_of_it_expires(
    told: Told, valkey: Redis
) -> None:
    await valkey.flushall()
    await told.cart(cart_id="c1", anonymous_id="a1", email="shopper.private@example.com", phone="+34600111222")
    await known(valkey, told.hashes(anonymous="a1"))
    keys = [key async for key in valkey.scan_iter("trolleybus:identity:*:*")]
    assert keys
    text = "".join(keys) + "".join([str(await valkey.get(key)) for key in keys])
    assert "private" not in text
    assert "600111222" not in text
    assert all([0 < await valkey.ttl(key) < 40 * 86_400 for key in keys])


async def test_a_map_that_was_lost_is_rebuilt_from_the_log_while_the_gateway_goes_on(
    told: Told, valkey: Redis, ingest: Ingest
) -> None:
    await told.cart(cart_id="c1", anonymous_id="a1", customer_id="first", email="first@example.com")
    await told.cart(cart_id="c2", anonymous_id="a1", customer_id="second")
    await told.cart(cart_id="c3", anonymous_id="a3", customer_id="third")
    await told.order("o3", customer_id="third", cart_id="c3")
    await known(valkey, told.hashes(customer="third"))
    await valkey.flushall()
    await valkey.set(f"{IN_USE}:1:of:left-by-one-that-was-broken-off", "x")
    shown = await rebuilt(ingest)
    assert "The new map is in use" in shown
    assert await valkey.get(IN_USE) == "1"
    await valkey.set(f"{IN_USE}:1:of:stays", "x", ex=60)
    assert not [key async for key in valkey.scan_iter(f"{IN_USE}:1:of:left*")]
    await told.cart(anonymous_id="a1")  # The second's device, as it was.
    await told.order("o1", email="first@example.com")
    await told.order("o4", customer_id="third")
    activity = await told.activity()
    assert [(one.cart_id, one.customer_id) for one in activity if one.cart_id == "c2"] == [("c2", "second")] * 2
    ends = {one.order_id: one.cart_id for one in activity if one.kind == "order_placed"}
    assert ends == {"o3": "c3", "o1": "c1", "o4": "shopper:third"}
    assert told.hashes(customer="first", anonymous="a1") <= set((await told.placed("o1")).identities)
    assert "The new map is in use" in await rebuilt(ingest)
    assert await valkey.get(IN_USE) == "2"
    assert not [key async for key in valkey.scan_iter(f"{IN_USE}:1:*")]


async def test_a_rebuild_beside_another_ends_and_says_so(ingest: Ingest, valkey: Redis) -> None:
    other = Alone(ALONE, 60)
    assert await other.hold(valkey)
    try:
        assert "another rebuild is at work" in await rebuilt(ingest, 1)
    finally:
        await other.leave(valkey)
    assert "The new map is in use" in await rebuilt(ingest)


async def test_one_holds_what_is_held_alone_until_it_leaves_and_may_ask_twice(valkey: Redis) -> None:
    key = f"test:{uuid.uuid4().hex}"
    first, second = Alone(key, 60), Alone(key, 60)
    assert await first.hold(valkey)
    assert await first.hold(valkey)  # Its first answer may have been lost.
    assert not await second.hold(valkey)
    await second.leave(valkey)
    assert not await second.hold(valkey)
    await first.leave(valkey)
    assert await second.hold(valkey)
    assert not await first.hold(valkey)  # It stood still for too long.
    assert 0 < await valkey.ttl(key) <= 60


async def rebuilt(ingest: Ingest, ends_with: int = 0) -> str:
    code = "from services.ingest.identity.command import identities; identities()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env={**os.environ, **ingest.env}, stdout=PIPE, stderr=STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == ends_with, output.decode()
    return " ".join(output.decode().split())


async def test_a_valkey_that_hangs_refuses_nobody_and_a_dead_one_costs_no_order(
    told: Told, valkey: Redis, stack: Stack
) -> None:
    await told.cart(cart_id="c1", anonymous_id="a1", customer_id="u1")
    stack.pause("valkey")
    try:
        async with asyncio.timeout(30):
            await asyncio.gather(*(told.cart(anonymous_id=f"s{number}") for number in range(40)))
    finally:
        stack.resume("valkey")
    await stack.kill("valkey")
    try:
        await told.cart(cart_id="c3", customer_id="u3", email="shopper3@example.com")
        await told.order("o3", email="shopper3@example.com")
        metrics = (await told.ingest.get("/metrics")).text
        assert 'trolleybus_ingest_identity_lookups_total{answer="unasked"}' in metrics
    finally:
        await stack.start("valkey")
    await valkey.connection_pool.disconnect()
    await known(valkey, told.hashes(email="shopper3@example.com"))  # What was learned meanwhile was kept.
    links = await told.ingest.records("customer.updates", told.shop.store_id)
    order = set((await told.placed("o3")).identities)
    assert any(order & set(link.identities) and told.hashes(customer="u3") <= set(link.identities) for link in links)


async def test_a_connection_that_valkeys_restart_cut_is_not_taken_for_its_absence(
    env: dict[str, str], stack: Stack
) -> None:
    client = Valkey(env["REDIS_URL"], 5, IngestMetrics(CollectorRegistry()))
    try:
        assert await client.ask("test", lambda redis: redis.ping())
        await stack.kill("valkey")
        await stack.start("valkey")
        assert await client.ask("test", lambda redis: redis.ping())
    finally:
        await client.aclose()


async def test_P3_with_valkey_killed_and_emptied_under_load_nobody_is_refused_and_no_order_stays_unmatched(
    told: Told, valkey: Redis, stack: Stack
) -> None:
    stop = asyncio.Event()
    ordered: list[str] = []

    async def shoppers(lane: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            who = f"{lane}-{number}"
            await told.cart(cart_id=f"c{who}", anonymous_id=f"a{who}")
            await told.cart(anonymous_id=f"a{who}", email=f"shopper{who}@example.com")
            await told.order(f"o{who}", email=f"shopper{who}@example.com")
            ordered.append(who)

    async def more(count: int) -> None:
        wanted = len(ordered) + count

        async def are_there() -> bool:
            return len(ordered) >= wanted or any(lane.done() for lane in lanes)

        await eventually(are_there, 60)

    lanes = [asyncio.create_task(shoppers(lane)) for lane in range(4)]
    try:
        await more(8)
        await valkey.flushall()
        await more(8)
        await stack.kill("valkey")
        await more(8)
        await stack.start("valkey")
        await more(8)
    finally:
        stop.set()
        await asyncio.gather(*lanes)
    activity = await told.activity()
    orders = {one.order_id: one for one in await told.ingest.records("orders", told.shop.store_id)}
    person_of: dict[str, str] = {}
    for fact in await told.ingest.records("customer.updates", told.shop.store_id):
        merged = merge([fact.identities], person_of)
        person_of = {one: merged.relabelled.get(label, label) for one, label in person_of.items()} | merged.labels
    ended = {one.cart_id for one in activity if one.kind == "order_placed"}
    for who in ordered:
        (device,) = told.hashes(anonymous=f"a{who}")
        buyer = {person_of[one] for one in orders[f"o{who}"].identities}
        assert f"c{who}" in ended or person_of[device] in buyer
    assert any(f"c{who}" in ended for who in ordered)

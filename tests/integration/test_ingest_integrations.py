"""Integrations in a real PostgreSQL: rotation, stores apart, changes told, outages, and other encryption keys."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from services.ingest.integrations import rewrapping, store
from services.ingest.integrations.activity import Activity
from services.ingest.integrations.directory import Integrations, Link, NotKnown
from services.ingest.integrations.domain.integration import Integration
from services.ingest.integrations.rewrapping import rewrap_all
from services.ingest.integrations.sealing import KeyRing
from services.ingest.integrations.service import (
    AlreadyConnected,
    IntegrationService,
    NoSuchIntegration,
    NotConnected,
    Refused,
)
from tests.fixtures_library import NewDatabase
from trolleybus.db import Pool, connect, open_pool

OLD, NEW = b"o" * 32, b"n" * 32
FIRST, SECOND, THIRD = "first-webhook-secret-1111", "second-webhook-secret-2222", "third-webhook-secret-3333"
SETTINGS = {"shop_domain": "my-shop.myshopify.com"}
DAY = 86_400_000


@dataclass
class Clock:
    now: int = 1_750_000_000_000

    def __call__(self) -> int:
        return self.now


@dataclass
class World:
    """A database of the test's own, and what works on it."""

    url: str
    pool: Pool
    clock: Clock = field(default_factory=Clock)
    keys: KeyRing = field(default_factory=lambda: KeyRing({1: OLD}))

    def service(self) -> IntegrationService:
        return IntegrationService(self.pool, self.keys, self.directory(), self.clock)

    def directory(self) -> Integrations:
        return Integrations(self.url, self.keys)

    async def shop(self, store_id: str = "store-1", secret: str = FIRST) -> Integration:
        return await self.service().connect(store_id, "shopify", SETTINGS, {"webhook_secret": secret})


@pytest_asyncio.fixture(loop_scope="session")
async def world(database: NewDatabase) -> AsyncIterator[World]:
    url = await database("ingest")
    async with open_pool(url, name="test") as pool:
        yield World(url, pool)


@asynccontextmanager
async def followed(directory: Integrations) -> AsyncIterator[Integrations]:
    """With its loop running."""
    task = asyncio.create_task(directory.run())
    try:
        yield directory
    finally:
        task.cancel()
        await asyncio.wait({task})


async def eventually(condition: Callable[[], Awaitable[bool] | bool], within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while True:
        answer = condition()
        if answer if isinstance(answer, bool) else await answer:
            return
        assert time.monotonic() < deadline, f"not so within {within_s:g} s"
        await asyncio.sleep(0.01)


def secrets_of(directory: Integrations, store_id: str, now: int) -> tuple[bytes, ...]:
    """() too where nothing is known."""
    try:
        link = directory.shopify(store_id)
    except NotKnown:
        return ()
    return link.secrets(now) if link else ()


# --- secrets ----------------------------------------------------------------------------------------------------------


async def test_after_a_rotation_the_secret_before_works_for_a_day_more(world: World) -> None:
    shop = await world.shop()
    world.clock.now += DAY
    rotated_at = world.clock.now
    await world.service().rotate("store-1", shop.integration_id, {"webhook_secret": SECOND}, DAY)
    async with followed(world.directory()) as directory:
        await eventually(lambda: secrets_of(directory, "store-1", rotated_at) == (SECOND.encode(), FIRST.encode()))
    assert secrets_of(directory, "store-1", rotated_at + DAY - 1) == (SECOND.encode(), FIRST.encode())
    assert secrets_of(directory, "store-1", rotated_at + DAY) == (SECOND.encode(),)


async def test_a_second_rotation_does_not_prolong_the_first_and_what_ended_is_deleted(world: World) -> None:
    service = world.service()
    shop = await world.shop()
    await service.rotate("store-1", shop.integration_id, {"webhook_secret": SECOND}, DAY)
    first_ends = world.clock.now + DAY
    world.clock.now += DAY // 2
    both = await service.rotate("store-1", shop.integration_id, {"webhook_secret": THIRD}, DAY)
    assert [(one.last4, one.valid_until) for one in both.secrets] == [
        ("3333", 0),
        ("2222", world.clock.now + DAY),
        ("1111", first_ends),
    ]
    world.clock.now = first_ends
    after = await service.rotate("store-1", shop.integration_id, {"webhook_secret": FIRST + "x"}, DAY)
    assert [one.last4 for one in after.secrets] == ["111x", "3333", "2222"]


async def test_a_secret_that_leaked_ends_at_once(world: World) -> None:
    shop = await world.shop()
    rotated = await world.service().rotate("store-1", shop.integration_id, {"webhook_secret": SECOND}, 0)
    assert [one.last4 for one in rotated.secrets] == ["2222"]


async def test_no_secret_stands_in_the_database_in_clear(world: World) -> None:
    await world.shop()
    async with world.pool.connection() as conn:
        cursor = await conn.execute("SELECT i::text AS i, s::text AS s FROM integrations i, integration_secrets s")
        (row,) = await cursor.fetchall()
    told = row["i"] + row["s"]
    assert FIRST not in told
    assert FIRST.encode().hex() not in told


async def test_a_secrets_bytes_moved_to_another_store_open_nothing_there(world: World) -> None:
    await world.shop("store-1", FIRST)
    await world.shop("store-2", SECOND)
    async with world.pool.connection() as conn:
        await conn.execute(
            "UPDATE integration_secrets AS a SET box = b.box, wrapped_key = b.wrapped_key FROM integration_secrets AS b"
            " WHERE a.store_id = 'store-2' AND b.store_id = 'store-1'"
        )
    async with followed(world.directory()) as directory:
        await eventually(lambda: directory.is_loaded)
        with pytest.raises(NotKnown, match="moved"):
            directory.shopify("store-2")
        assert secrets_of(directory, "store-1", 0) == (FIRST.encode(),)


# --- stores apart -----------------------------------------------------------------------------------------------------


async def test_P7_a_store_neither_sees_nor_changes_anothers_integration(world: World) -> None:
    service = world.service()
    theirs = await world.shop("store-1")
    await world.shop("store-2")
    with pytest.raises(NoSuchIntegration):
        await service.find("store-2", theirs.integration_id)
    with pytest.raises(NoSuchIntegration):
        await service.rotate("store-2", theirs.integration_id, {"webhook_secret": SECOND}, 0)
    with pytest.raises(NoSuchIntegration):
        await service.disconnect("store-2", theirs.integration_id, "by the store")
    with pytest.raises(NoSuchIntegration):
        await service.test("store-2", theirs.integration_id, has_write_key=True)
    assert await service.find("store-1", theirs.integration_id) == theirs
    listed = await service.page("store-2", kind="", before=None, limit=10)
    assert [one.store_id for one in listed] == ["store-2"]


async def test_pages_follow_each_other_without_gap_or_repetition(world: World) -> None:
    service = world.service()
    made = []
    for number in range(5):
        world.clock.now += number % 2  # Some at the same time.
        made.append((await world.shop(f"store-{number}")).integration_id)
    found: list[Integration] = []
    before = None
    while page := await service.page_of_all(kind="shopify", before=before, limit=2):
        found += page
        before = (page[-1].connected_at, page[-1].integration_id)
    assert sorted(one.integration_id for one in found) == sorted(made)
    assert [one.connected_at for one in found] == sorted((one.connected_at for one in found), reverse=True)


# --- connecting and disconnecting ----------------------------------------------------------------------------------------


async def test_a_store_has_one_of_a_kind_until_it_is_disconnected(world: World) -> None:
    service = world.service()
    shop = await world.shop()
    with pytest.raises(AlreadyConnected):
        await world.shop()
    gone = await service.disconnect("store-1", shop.integration_id, "by the store")
    assert (gone.state, gone.disconnected_because, gone.secrets) == ("disconnected", "by the store", ())
    world.clock.now += 1
    assert await service.disconnect("store-1", shop.integration_id, "again") == gone
    with pytest.raises(NotConnected):
        await service.rotate("store-1", shop.integration_id, {"webhook_secret": SECOND}, 0)
    again = await world.shop()
    assert again.integration_id != shop.integration_id
    listed = await service.page("store-1", kind="", before=None, limit=10)
    assert [one.state for one in listed] == ["connected", "disconnected"]


async def test_a_kind_without_secrets_has_nothing_to_rotate(world: World) -> None:
    service = world.service()
    segment = await service.connect("store-1", "segment", {}, {})
    with pytest.raises(Refused, match="write key"):
        await service.rotate("store-1", segment.integration_id, {}, 0)


# --- in every process ---------------------------------------------------------------------------------------------------


async def test_every_process_is_told_of_a_change(world: World) -> None:
    async with AsyncExitStack() as stack:
        never = 3600.0
        processes = [
            await stack.enter_async_context(followed(Integrations(world.url, world.keys, poll_s=never)))
            for _ in range(2)
        ]

        async def all_have(*secrets: str) -> None:
            wanted = tuple(secret.encode() for secret in secrets)
            await eventually(lambda: all(secrets_of(one, "store-1", world.clock.now) == wanted for one in processes))

        await eventually(lambda: all(one.is_loaded for one in processes))
        shop = await world.shop()
        await all_have(FIRST)
        await world.service().rotate("store-1", shop.integration_id, {"webhook_secret": SECOND}, DAY)
        await all_have(SECOND, FIRST)
        await world.service().disconnect("store-1", shop.integration_id, "by the store")
        await all_have()


async def test_a_change_of_which_nobody_was_told_is_met_at_the_next_look(world: World) -> None:
    shop = await world.shop()
    async with followed(Integrations(world.url, world.keys, poll_s=0.05)) as directory:
        await eventually(lambda: secrets_of(directory, "store-1", 0) == (FIRST.encode(),))
        async with world.pool.connection() as conn:
            await conn.execute(
                "UPDATE integrations SET disconnected_at = 1 WHERE store_id = 'store-1' AND integration_id = %s",
                [shop.integration_id],
            )
        await eventually(lambda: secrets_of(directory, "store-1", 0) == ())


async def test_a_process_goes_on_with_what_it_knows_while_the_database_is_away(world: World) -> None:
    shop = await world.shop()
    async with followed(world.directory()) as directory:
        await eventually(lambda: secrets_of(directory, "store-1", 0) == (FIRST.encode(),))
        await _close(world.url, closed=True)
        await eventually(lambda: "stale" in directory.status().detail)
        assert directory.status().ok
        assert secrets_of(directory, "store-1", 0) == (FIRST.encode(),)
        await _close(world.url, closed=False)
        await eventually(lambda: "stale" not in directory.status().detail)
        await world.service().rotate("store-1", shop.integration_id, {"webhook_secret": SECOND}, 0)
        await eventually(lambda: secrets_of(directory, "store-1", 0) == (SECOND.encode(),))


async def test_started_without_the_database_a_process_says_that_it_does_not_know(
    empty_database: Callable[[], str],
) -> None:
    directory = Integrations("postgresql://trolleybus@127.0.0.1:1/nowhere", KeyRing({1: OLD}))
    async with followed(directory):
        await eventually(lambda: "refused" in directory.status().detail)
        assert directory.status().ok
        assert "not known yet" in directory.status().detail
        with pytest.raises(NotKnown):
            directory.shopify("store-1")
    # One that is merely missing is made.
    async with followed(Integrations(empty_database(), KeyRing({1: OLD}))) as fresh:
        await eventually(lambda: fresh.is_loaded)
        assert fresh.shopify("store-1") is None


async def test_a_secret_that_cannot_be_opened_harms_no_other_integration(world: World) -> None:
    await world.shop("store-1")
    world.keys = KeyRing({2: NEW})
    await world.shop("store-2", SECOND)
    async with followed(world.directory()) as directory:
        await eventually(lambda: secrets_of(directory, "store-2", 0) == (SECOND.encode(),))
        with pytest.raises(NotKnown, match="key 1"):
            directory.shopify("store-1")
        assert "1 whose secrets cannot be opened" in directory.status().detail


# --- what was heard -----------------------------------------------------------------------------------------------------


def link_to(integration: Integration) -> Link:
    return Link(
        integration.store_id, integration.integration_id, integration.kind, {}, integration.connected_at, 1, opened=()
    )


async def test_what_was_heard_is_written_at_once_for_all_and_never_moves_back(world: World) -> None:
    one, other = await world.shop("store-1"), await world.shop("store-2")
    activity = Activity(world.pool)
    activity.note_event(link_to(one), 5_000)
    activity.note_event(link_to(one), 4_000)
    activity.note_error(link_to(one), 6_000, "the signature does not fit")
    activity.note_event(link_to(other), 7_000)
    await activity.flush()
    activity.note_event(link_to(other), 3_000)
    activity.note_error(link_to(one), 2_000, "an older one")
    await activity.flush()
    found = await world.service().find("store-1", one.integration_id)
    assert (found.last_event_at, found.last_error, found.last_error_at) == (5_000, "the signature does not fit", 6_000)
    assert found.state == "failing"
    assert (await world.service().find("store-2", other.integration_id)).last_event_at == 7_000


async def test_what_was_heard_waits_for_the_database(world: World) -> None:
    shop = await world.shop()
    activity = Activity(world.pool)
    activity.note_event(link_to(shop), 5_000)
    await _close(world.url, closed=True)
    await activity.flush()
    activity.note_error(link_to(shop), 4_000, "before")
    await _close(world.url, closed=False)

    async def is_written() -> bool:
        await activity.flush()
        async with world.pool.connection(timeout=20) as conn:
            found = await store.find(conn, "store-1", shop.integration_id)
        return found is not None and (found.last_event_at, found.last_error_at) == (5_000, 4_000)

    await eventually(is_written)


# --- another encryption key -----------------------------------------------------------------------------------------------


async def test_rewrapping_goes_on_where_it_was_broken_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewrapping, "BATCH", 2)
    for number in range(5):
        await world.shop(f"store-{number}", f"the secret of store {number}")
    both, new = KeyRing({2: NEW, 1: OLD}), KeyRing({2: NEW})
    conn = await connect(world.url, name="test")
    try:

        def broken_off(_: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await rewrap_all(conn, both, broken_off)
        assert await store.count_not_under(conn, 2) == 3
        told: list[int] = []
        assert await rewrap_all(conn, both, told.append) == []
        assert told == [2, 1]
        assert await store.count_not_under(conn, 2) == 0
    finally:
        await conn.close()
    world.keys = new
    async with followed(world.directory()) as directory:
        await eventually(lambda: directory.is_loaded)
        opened = [secrets_of(directory, f"store-{number}", 0) for number in range(5)]
    assert opened == [(f"the secret of store {number}".encode(),) for number in range(5)]


async def test_rewrapping_passes_what_it_cannot_open_and_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewrapping, "BATCH", 1)
    world.keys = KeyRing({7: b"g" * 32})
    lost = await world.shop("store-1")
    world.keys = KeyRing({1: OLD})
    await world.shop("store-2")
    conn = await connect(world.url, name="test")
    try:
        left = await rewrap_all(conn, KeyRing({2: NEW, 1: OLD}), lambda _: None)
        assert [(one.place.integration_id, "key 7" in one.why) for one in left] == [(lost.integration_id, True)]
        assert await store.count_not_under(conn, 2) == 1
    finally:
        await conn.close()


async def _close(url: str, *, closed: bool) -> None:
    """Whether the database takes connections; closing ends those there are."""
    name = str(conninfo_to_dict(url)["dbname"])
    server = await connect(url.replace(f"dbname={name}", "dbname=postgres"), name="test")
    try:
        await server.execute(
            sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}").format(
                sql.Identifier(name), sql.SQL(str(not closed))
            )
        )
        if closed:
            await server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
    finally:
        await server.close()

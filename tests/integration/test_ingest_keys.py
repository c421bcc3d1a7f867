"""When keys were last used: known to the gateway, seen by the operator and by the store itself."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest_asyncio

from services.ingest.keys.uses import MINUTE_MS, KeyUses
from tests.fixtures_library import NewDatabase
from tests.integration.ingest_harness import Ingest, running, world
from trolleybus.db import Pool, open_pool


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database: NewDatabase) -> AsyncIterator[Pool]:
    async with open_pool(await database("ingest")) as pool:
        yield pool


async def test_the_latest_use_of_each_key_of_a_store_is_kept_to_the_minute(pool: Pool) -> None:
    first, second = KeyUses(pool), KeyUses(pool)
    first.note("s1", "a", 5 * MINUTE_MS + 17)
    first.note("s1", "b", 2 * MINUTE_MS)
    first.note("s2", "a", 9 * MINUTE_MS)
    second.note("s1", "a", 3 * MINUTE_MS)
    await first.flush()
    await second.flush()
    assert await first.of_store("s1") == [("a", 5 * MINUTE_MS), ("b", 2 * MINUTE_MS)]
    first.note("s1", "b", 7 * MINUTE_MS)
    await first.flush()
    assert await second.of_store("s1") == [("b", 7 * MINUTE_MS), ("a", 5 * MINUTE_MS)]


async def test_while_postgresql_is_away_uses_wait(pool: Pool) -> None:
    away = open_pool("postgresql://nobody@127.0.0.1:1/none", min_size=0)
    uses = KeyUses(away)
    async with away:
        uses.note("s1", "a", MINUTE_MS)
        await uses.flush()
        uses.note("s1", "a", 3 * MINUTE_MS)
        uses.note("s1", "b", 3 * MINUTE_MS)
        uses._pool = pool
        await uses.flush()
    assert await uses.of_store("s1") == [("a", 3 * MINUTE_MS), ("b", 3 * MINUTE_MS)]


async def test_P7_a_store_and_the_operator_see_which_keys_are_in_use(env: dict[str, str], tmp_path: Path) -> None:
    async with world(env, f"ingest-keys-{uuid.uuid4().hex[:6]}.") as around:
        stores = [f"keys-{uuid.uuid4().hex[:8]}" for _ in range(2)]
        async with running(around, tmp_path / "first") as gateway:
            shops = [await gateway.open_shop(store_id) for store_id in stores]
        async with running(around, tmp_path / "second") as gateway:  # The first has written what it knew at its end.
            shop = shops[0]
            seen = await _uses(gateway, {"authorization": f"Bearer {shop.secret_key}"})
            assert [one["key_id"] for one in seen.json()["items"]] == ["w"]
            operator = {"authorization": f"Bearer {env['OPERATOR_TOKEN']}"}
            assert (await _uses(gateway, operator, store_id=shop.store_id)).json() == seen.json()
            assert (await _uses(gateway, operator)).status_code == 422
            other = {"authorization": f"Bearer {shops[1].secret_key}"}
            assert (await _uses(gateway, other, store_id=shop.store_id)).status_code == 403
            assert (await _uses(gateway, {"authorization": f"Bearer {shop.write_key}"})).status_code == 403
            assert (await _uses(gateway, {})).status_code == 401


async def _uses(gateway: Ingest, headers: dict[str, str], **query: Any) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=gateway.url, timeout=10) as client:
        return await client.get("/api/v1/key-uses", headers=headers, params=query)

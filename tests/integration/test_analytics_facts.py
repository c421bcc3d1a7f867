"""The SQL joins as the pure fold does, on the real database."""

from random import Random

import pytest
from psycopg import sql

from services.analytics.app import MIGRATIONS
from services.analytics.domain.facts import TABLES, Facts
from services.analytics.domain.projection import facts_of
from services.analytics.store.facts import LIVE, FactTables
from tests.unit.analytics.life import life
from trolleybus.db import Connection, connect, create_database, migrate

START = 1_700_000_000_000


async def fresh(env: dict[str, str], name: str) -> Connection:
    url = env["POSTGRES_URL"].replace("/postgres", f"/{name}")
    server = await connect(env["POSTGRES_URL"], name="test")
    await server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    await server.close()
    await create_database(url)
    await migrate(url, MIGRATIONS)
    return await connect(url, name="test")


async def tables(conn: Connection) -> dict[str, list[dict[str, object]]]:
    found = {}
    for table in TABLES:
        keys = sql.SQL(", ").join(map(sql.Identifier, table.key))
        query = sql.SQL("SELECT * FROM {} ORDER BY {}").format(sql.Identifier(LIVE, table.name), keys)
        found[table.name] = await (await conn.execute(query)).fetchall()
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_P6_any_order_of_batches_gives_the_tables_of_the_pure_fold(env: dict[str, str], seed: int) -> None:
    random = Random(seed)
    log = [(record, record.occurred_at + 5) for record in life("store-1", seed=seed, carts=60, start=START)]
    expected = Facts()
    for record, appended_at in log:
        expected.add(facts_of(record, appended_at, appended_at))
    shuffled = log + random.sample(log, 50)
    random.shuffle(shuffled)
    conn = await fresh(env, f"facts_{seed}")
    try:
        joins = FactTables()
        while shuffled:
            size = random.randint(1, 40)
            batch = Facts()
            for record, appended_at in shuffled[:size]:
                batch.add(facts_of(record, appended_at, appended_at))
            await joins.join(conn, batch)
            shuffled = shuffled[size:]
        found = await tables(conn)
        assert {name: rows for name, rows in found.items() if rows} == {table.name: rows for table, rows in expected}
        assert all(found.values()), "the life of a store fills every table"
    finally:
        await conn.close()


async def test_the_tables_have_the_columns_that_are_declared(env: dict[str, str]) -> None:
    conn = await fresh(env, "facts_columns")
    try:
        for table in TABLES:
            cursor = await conn.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s",
                [LIVE, table.name],
            )
            assert {row["column_name"] for row in await cursor.fetchall()} == set(table.columns)
    finally:
        await conn.close()

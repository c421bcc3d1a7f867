"""The migration runner on a real PostgreSQL."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from trolleybus.db import LIBRARY_MIGRATIONS, MigrationError, connect, fetch_one, migrate

NameDatabase = Callable[[], str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    directory = tmp_path / "shop" / "migrations"
    directory.mkdir(parents=True)
    (directory / "0001_things.sql").write_text("CREATE TABLE things (id int); INSERT INTO things VALUES (1);\n")
    return directory


async def count(url: str, table: str = "things") -> int:
    conn = await connect(url, name="test")
    try:
        return int((await fetch_one(conn, f"SELECT count(*) AS n FROM {table}"))["n"])
    finally:
        await conn.close()


async def test_a_missing_database_is_created_and_brought_up_to_date(empty_database: NameDatabase, folder: Path) -> None:
    url = empty_database()
    applied: list[str] = []
    await migrate(url, LIBRARY_MIGRATIONS, folder, report=applied.append)
    await migrate(url, LIBRARY_MIGRATIONS, folder, report=applied.append)
    assert applied == ["applied trolleybus/0001_positions_and_outbox.sql", "applied shop/0001_things.sql"]
    assert await count(url) == 1


async def test_an_edited_file_that_was_applied_is_named(empty_database: NameDatabase, folder: Path) -> None:
    url = empty_database()
    await migrate(url, folder)
    (folder / "0001_things.sql").write_text("CREATE TABLE things (id bigint);\n")
    with pytest.raises(MigrationError, match=r"0001_things\.sql was edited"):
        await migrate(url, folder)


async def test_starts_at_the_same_time_apply_each_file_once(empty_database: NameDatabase, folder: Path) -> None:
    url = empty_database()
    applied: list[str] = []
    await asyncio.gather(*(migrate(url, folder, report=applied.append) for _ in range(5)))
    assert applied == ["applied shop/0001_things.sql"]
    assert await count(url) == 1


async def test_a_file_that_fails_leaves_nothing_behind_and_those_before_it_stay(
    empty_database: NameDatabase, folder: Path
) -> None:
    url = empty_database()
    (folder / "0002_broken.sql").write_text("INSERT INTO things VALUES (2); SELECT nonsense;\n")
    with pytest.raises(MigrationError, match=r"0002_broken\.sql failed"):
        await migrate(url, folder)
    assert await count(url) == 1
    assert await count(url, "schema_migrations") == 1


async def test_an_index_is_built_concurrently_while_other_instances_wait_to_start(
    empty_database: NameDatabase, folder: Path
) -> None:
    url = empty_database()
    (folder / "0002_index.sql").write_text("-- no transaction\nCREATE INDEX CONCURRENTLY by_id ON things (id);\n")
    applied: list[str] = []
    await asyncio.gather(*(migrate(url, folder, report=applied.append) for _ in range(4)))
    assert applied == ["applied shop/0001_things.sql", "applied shop/0002_index.sql"]


@pytest.mark.parametrize(("name", "complaint"), [("2_Bad.sql", "is not named like"), ("1_again.sql", "same number")])
async def test_files_that_cannot_be_put_in_order_are_refused(
    empty_database: NameDatabase, folder: Path, name: str, complaint: str
) -> None:
    (folder / name).write_text("SELECT 1;\n")
    with pytest.raises(MigrationError, match=complaint):
        await migrate(empty_database(), folder)

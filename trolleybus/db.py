"""PostgreSQL: the pool, the migrations, and which of its errors are no fault of the work at hand."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString, TypeAlias

import psycopg
from psycopg import AsyncConnection, errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

Connection: TypeAlias = AsyncConnection[DictRow]
Pool: TypeAlias = AsyncConnectionPool[Connection]

LIBRARY_MIGRATIONS = Path(__file__).parent / "migrations"

# A database that hangs is noticed within seconds, as one that is gone.
_CONNECTION: dict[str, Any] = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
}
_MIGRATION_LOCK = 0x54424D47  # "TBMG"
_FILE_NAME = re.compile(r"(\d+)_([a-z0-9_]+)\.sql")
_NO_TRANSACTION = "-- no transaction"

# SQLSTATE classes that tell of the server or of other transactions: lost connections (08), rollbacks for concurrency (40),
# no resources (53), objects in use (55), an operator's intervention (57), system errors (58).
_PASSING_CLASSES = frozenset({"08", "40", "53", "55", "57", "58"})
_QUERY_CANCELED = "57014"  # A statement's own time limit: that is the statement's doing.
_READ_ONLY = "25006"  # Connected to what became a standby.


class MigrationError(Exception):
    """The files and the database disagree; the text names the file and says what to do."""


def open_pool(url: str, *, name: str = "database", min_size: int = 1, max_size: int = 8, timeout: float = 5.0) -> Pool:
    """A pool to be entered with `async with`; rows are dicts. Entering does not need the database to be there.

    `pool.connection()` commits at the end of its block and rolls back on an error; it raises PoolTimeout after `timeout` s.
    """
    return AsyncConnectionPool(
        url,
        connection_class=AsyncConnection[DictRow],
        kwargs={"row_factory": dict_row, "options": "-c timezone=UTC", "application_name": f"trolleybus {name}"}
        | _CONNECTION,
        min_size=min_size,
        max_size=max_size,
        timeout=timeout,
        name=name,
        open=False,
        check=AsyncConnectionPool.check_connection,
        reconnect_timeout=5.0,  # Attempts back off up to this, so that a database that is back is found soon.
    )


async def connect(url: str, *, name: str, autocommit: bool = True) -> Connection:
    """One connection outside the pool, for what needs a session of its own."""
    return await AsyncConnection.connect(
        url,
        autocommit=autocommit,
        row_factory=dict_row,
        options="-c timezone=UTC",
        application_name=f"trolleybus {name}",
        **_CONNECTION,
    )


async def fetch_one(conn: Connection, query: LiteralString, parameters: Sequence[Any] = ()) -> DictRow:
    """The first row of a query that always has one."""
    cursor = await conn.execute(query, parameters)
    row = await cursor.fetchone()
    if row is None:
        raise LookupError(f"no row from: {query}")
    return row


def is_outage(error: BaseException) -> bool:
    """Whether an error tells of the database rather than of the work: to be tried again as it is, without counting."""
    if not isinstance(error, psycopg.Error):
        return False
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError)
    return state == _READ_ONLY or (state[:2] in _PASSING_CLASSES and state != _QUERY_CANCELED)


async def create_database(url: str) -> bool:
    """Create the database that `url` names, if it is missing; True if it was created."""
    name = conninfo_to_dict(url).get("dbname")
    if not name:
        raise MigrationError("the database's URL names no database")
    server = await connect(make_conninfo(url, dbname="postgres"), name="create database")
    try:
        await server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(str(name))))
    except (errors.DuplicateDatabase, errors.UniqueViolation):  # Someone else was faster; both are met in practice.
        return False
    except errors.InsufficientPrivilege as error:
        raise MigrationError(
            f'database "{name}" does not exist and this user may not create it: CREATE DATABASE "{name}"'
        ) from error
    finally:
        await server.close()
    return True


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file of a module; the module is the name of the folder above `migrations`."""

    module: str
    number: int
    name: str
    path: Path
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def in_transaction(self) -> bool:
        """False for files that begin with `-- no transaction`: one statement such as CREATE INDEX CONCURRENTLY."""
        return not self.text.startswith(_NO_TRANSACTION)


def read_migrations(directory: Path) -> list[Migration]:
    """The files of one folder by number; raises MigrationError for a name that does not fit or a number used twice."""
    module = directory.parent.name
    found: dict[int, Migration] = {}
    for path in sorted(directory.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path} is not named like 0001_what_it_does.sql")
        number = int(match[1])
        if number in found:
            raise MigrationError(f"{path} and {found[number].path} have the same number")
        found[number] = Migration(module, number, match[2], path, path.read_text().replace("\r\n", "\n"))
    return [found[number] for number in sorted(found)]


async def migrate(url: str, *directories: Path, report: Callable[[str], None] = lambda _: None) -> None:
    """Bring a database up to the files of `directories`, creating it if it is missing.

    Each file runs in a transaction of its own, in order of number within its folder. Starts at the same time are safe: one
    works, the others wait. A file that was applied must never be edited (MigrationError names it); add a new one.

    CREATE INDEX CONCURRENTLY: a file of that one statement whose first line is `-- no transaction`. If it fails, drop the
    invalid index that it leaves before starting again. Behind a pooler migrate over a direct connection: the lock is the session's.
    """
    modules: dict[str, Path] = {}
    for directory in directories:
        other = modules.setdefault(directory.parent.name, directory)
        if other != directory:
            raise MigrationError(f"{directory} and {other} would share the module name {directory.parent.name!r}")
    migrations = [migration for directory in modules.values() for migration in read_migrations(directory)]
    try:
        connection = await connect(url, name="migrate")
    except psycopg.OperationalError as error:
        if "does not exist" not in str(error):  # libpq gives no SQLSTATE for a refused connection.
            raise
        await create_database(url)
        connection = await connect(url, name="migrate")
    try:
        await _lock(connection)
        await _apply(connection, migrations, report)
    finally:
        await connection.close()  # Frees the lock too.


async def _lock(connection: Connection) -> None:
    # Polled, not waited for: a session waiting inside a statement holds a snapshot, which CREATE INDEX CONCURRENTLY waits for.
    while True:
        row = await fetch_one(connection, "SELECT pg_try_advisory_lock(%s) AS held", [_MIGRATION_LOCK])
        if row["held"]:
            return
        await asyncio.sleep(0.1)


async def _apply(connection: Connection, migrations: Iterable[Migration], report: Callable[[str], None]) -> None:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations ("
        " module text, number integer, name text NOT NULL, checksum text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (module, number))"
    )
    cursor = await connection.execute("SELECT module, number, checksum FROM schema_migrations")
    applied = {(row["module"], row["number"]): row["checksum"] for row in await cursor.fetchall()}
    for migration in migrations:
        checksum = applied.get((migration.module, migration.number))
        if checksum is None:
            await _run(connection, migration)
            report(f"applied {migration.module}/{migration.path.name}")
        elif checksum != migration.checksum:
            raise MigrationError(
                f"{migration.path} was edited after it was applied to this database: restore it and add a new file instead"
            )


async def _run(connection: Connection, migration: Migration) -> None:
    try:
        if migration.in_transaction:
            async with connection.transaction():
                await connection.execute(migration.text.encode())
                await _record(connection, migration)
        else:
            await connection.execute(migration.text.encode())
            await _record(connection, migration)
    except psycopg.Error as error:
        if is_outage(error):
            raise
        raise MigrationError(f"{migration.path} failed: {error}") from error


async def _record(connection: Connection, migration: Migration) -> None:
    await connection.execute(
        "INSERT INTO schema_migrations (module, number, name, checksum) VALUES (%s, %s, %s, %s)",
        [migration.module, migration.number, migration.name, migration.checksum],
    )

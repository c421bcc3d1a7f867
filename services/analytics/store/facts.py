"""Joins rows into the fact tables; the SQL is made from the declarations in domain/facts.py."""

from __future__ import annotations

import json

from psycopg import sql

from services.analytics.domain.facts import TABLES, Facts, Join, Table
from trolleybus.db import Connection

LIVE = "facts"
"""The schema that the service writes and reads. A rebuild fills another one and takes its name."""

_SET = {
    Join.FIRST: "{c} = LEAST(held.{c}, excluded.{c})",
    Join.LAST: "{c} = GREATEST(held.{c}, excluded.{c})",
    Join.ANY: "{c} = held.{c} OR excluded.{c}",
    Join.UNION: "{c} = ARRAY(SELECT DISTINCT unnest(held.{c} || excluded.{c}) ORDER BY 1)",
    Join.TOLD: "{c} = CASE WHEN COALESCE(excluded.told, '') > COALESCE(held.told, '') THEN excluded.{c} ELSE held.{c} END",
}


class FactTables:
    """The fact tables of one schema."""

    def __init__(self, schema: str = LIVE) -> None:
        self.schema = schema
        self._join_rows = {table.name: _join_into(schema, table, _FROM_JSON) for table in TABLES}

    async def join(self, conn: Connection, facts: Facts) -> None:
        """Join rows into the tables, within the caller's transaction."""
        for table, rows in facts:
            await conn.execute(self._join_rows[table.name], [json.dumps(rows, ensure_ascii=False)])

    async def join_older(self, conn: Connection, source: str, appended_before: int) -> int:
        """Join the rows of another schema that began before a time (ms); how many there were."""
        joined = 0
        for table in TABLES:
            cursor = await conn.execute(_join_into(self.schema, table, _FROM_SCHEMA, source), [appended_before])
            joined += cursor.rowcount
        return joined


_FROM_JSON = "jsonb_populate_recordset(NULL::{target}, %s::jsonb)"
_FROM_SCHEMA = "(SELECT * FROM {source} WHERE appended_at < %s) AS older"


def _join_into(schema: str, table: Table, rows: str, source: str = "") -> sql.Composed:
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    keys = sql.SQL(", ").join(map(sql.Identifier, table.key))
    changes = sql.SQL(", ").join(
        sql.SQL(_SET[join]).format(c=sql.Identifier(name)) for name, join in table.joins.items()
    )
    target = sql.Identifier(schema, table.name)
    # The rows are locked in the order of their keys, so that no two transactions wait for each other.
    return sql.SQL(
        "INSERT INTO {target} AS held ({columns}) SELECT {columns} FROM {rows} ORDER BY {keys}"
        " ON CONFLICT ({keys}) DO UPDATE SET {changes}"
    ).format(
        target=target,
        columns=columns,
        keys=keys,
        changes=changes,
        rows=sql.SQL(rows).format(target=target, source=sql.Identifier(source, table.name)),
    )


async def share(conn: Connection) -> None:
    """Keep a rebuild from swapping the tables until the transaction of `conn` ends. Its first statement.

    A lock on a table, not an advisory one: taking it takes no snapshot, so what is read next is as new as the lock.
    """
    await conn.execute("LOCK TABLE facts_gate IN ACCESS SHARE MODE")


async def take_alone(conn: Connection) -> None:
    """Wait until nobody reads or writes the facts, and keep all out until the transaction of `conn` ends."""
    await conn.execute("LOCK TABLE facts_gate IN ACCESS EXCLUSIVE MODE")

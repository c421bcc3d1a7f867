"""Stores in PostgreSQL: the newest version of each; all versions stand on the topic."""

from psycopg.types.json import Jsonb

from trolleybus.codec import from_dict, to_dict
from trolleybus.contracts.stores import StoreConfig
from trolleybus.db import Connection


async def insert(conn: Connection, config: StoreConfig) -> None:
    await conn.execute(
        "INSERT INTO stores (store_id, version, config, created_at, updated_at) VALUES (%s, %s, %s, %s, %s)",
        [config.store_id, config.version, Jsonb(to_dict(config)), config.occurred_at, config.occurred_at],
    )


async def replace(conn: Connection, config: StoreConfig) -> None:
    await conn.execute(
        "UPDATE stores SET version = %s, config = %s, updated_at = %s WHERE store_id = %s",
        [config.version, Jsonb(to_dict(config)), config.occurred_at, config.store_id],
    )


async def find(conn: Connection, store_id: str) -> StoreConfig | None:
    cursor = await conn.execute("SELECT config FROM stores WHERE store_id = %s", [store_id])
    row = await cursor.fetchone()
    return from_dict(StoreConfig, row["config"]) if row else None


async def of_campaign(conn: Connection, store_id: str) -> StoreConfig:
    """A store with campaigns is never deleted."""
    config = await find(conn, store_id)
    if config is None:
        raise LookupError(f"store {store_id} is gone, though it has campaigns")
    return config


async def find_to_change(conn: Connection, store_id: str) -> StoreConfig | None:
    """As find, with the row locked until the transaction ends: versions are counted one by one."""
    cursor = await conn.execute("SELECT config FROM stores WHERE store_id = %s FOR UPDATE", [store_id])
    row = await cursor.fetchone()
    return from_dict(StoreConfig, row["config"]) if row else None


async def everyone(conn: Connection) -> list[StoreConfig]:
    """Every store, for operators."""
    cursor = await conn.execute("SELECT config FROM stores ORDER BY created_at, store_id")
    return [from_dict(StoreConfig, row["config"]) for row in await cursor.fetchall()]

"""Campaigns."""

from typing import Any

from psycopg.types.json import Jsonb

from services.campaigns.journeys.domain.campaign import Campaign, Step
from trolleybus.codec import from_dict, to_dict
from trolleybus.db import Connection

_COLUMNS = "store_id, campaign_id, name, status, entry_level, definition, version, created_at, updated_at"


async def insert(conn: Connection, campaign: Campaign) -> None:
    await conn.execute(
        f"INSERT INTO campaigns ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",  # noqa: S608 - our own text
        [
            campaign.store_id,
            campaign.campaign_id,
            campaign.name,
            campaign.status,
            campaign.entry_level,
            _definition(campaign),
            campaign.version,
            campaign.created_at,
            campaign.updated_at,
        ],
    )


async def replace(conn: Connection, campaign: Campaign) -> None:
    await conn.execute(
        "UPDATE campaigns SET name = %s, status = %s, entry_level = %s, definition = %s, version = %s, updated_at = %s"
        " WHERE store_id = %s AND campaign_id = %s",
        [
            campaign.name,
            campaign.status,
            campaign.entry_level,
            _definition(campaign),
            campaign.version,
            campaign.updated_at,
            campaign.store_id,
            campaign.campaign_id,
        ],
    )


async def delete(conn: Connection, store_id: str, campaign_id: str) -> None:
    await conn.execute("DELETE FROM campaigns WHERE store_id = %s AND campaign_id = %s", [store_id, campaign_id])


async def find(conn: Connection, store_id: str, campaign_id: str) -> Campaign | None:
    cursor = await conn.execute(
        f"SELECT {_COLUMNS} FROM campaigns WHERE store_id = %s AND campaign_id = %s",  # noqa: S608 - our own text
        [store_id, campaign_id],
    )
    row = await cursor.fetchone()
    return _campaign(row) if row else None


async def of_journey(conn: Connection, store_id: str, campaign_id: str) -> Campaign:
    """A campaign with journeys is never deleted."""
    campaign = await find(conn, store_id, campaign_id)
    if campaign is None:
        raise LookupError(f"campaign {campaign_id} of store {store_id} is gone, though it has journeys")
    return campaign


async def find_to_change(conn: Connection, store_id: str, campaign_id: str) -> Campaign | None:
    cursor = await conn.execute(
        f"SELECT {_COLUMNS} FROM campaigns WHERE store_id = %s AND campaign_id = %s FOR UPDATE",  # noqa: S608 - our own text
        [store_id, campaign_id],
    )
    row = await cursor.fetchone()
    return _campaign(row) if row else None


async def of_store(conn: Connection, store_id: str) -> list[Campaign]:
    cursor = await conn.execute(
        f"SELECT {_COLUMNS} FROM campaigns WHERE store_id = %s ORDER BY created_at, campaign_id",  # noqa: S608 - our own text
        [store_id],
    )
    return [_campaign(row) for row in await cursor.fetchall()]


async def entered_at(conn: Connection, store_id: str, level_seconds: int) -> list[Campaign]:
    """The active campaigns that take carts at a level."""
    cursor = await conn.execute(
        f"SELECT {_COLUMNS} FROM campaigns WHERE store_id = %s AND entry_level = %s AND status = 'active'"  # noqa: S608 - our own text
        " ORDER BY created_at, campaign_id",
        [store_id, level_seconds],
    )
    return [_campaign(row) for row in await cursor.fetchall()]


def _definition(campaign: Campaign) -> Jsonb:
    return Jsonb(
        {
            "reentry_seconds": campaign.reentry_seconds,
            "holdout_share": campaign.holdout_share,
            "steps": [to_dict(step) for step in campaign.steps],
        }
    )


def _campaign(row: dict[str, Any]) -> Campaign:
    definition = row.pop("definition")
    return Campaign(
        **row,
        reentry_seconds=definition["reentry_seconds"],
        holdout_share=definition["holdout_share"],
        steps=tuple(from_dict(Step, step) for step in definition["steps"]),
    )

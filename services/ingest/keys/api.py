"""/api/v1/key-uses: when a store's keys were last used."""

from collections.abc import Callable
from typing import Annotated, Any

import psycopg
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from services.ingest.integrations.api.access import Manager
from services.ingest.keys.uses import KeyUses
from trolleybus.db import is_outage
from trolleybus.envelope import rfc3339
from trolleybus.http import Problem

_PROBLEM: dict[str, Any] = {"content": {"application/problem+json": {}}}


class KeyUse(BaseModel):
    """One key; its kind and scopes stand in the store's settings."""

    key_id: str
    last_used_at: str = Field(description="To the minute; known a few seconds after the use")


class KeyUsesView(BaseModel):
    """The latest first; a key that is missing was not used."""

    items: list[KeyUse]


def key_uses_router(uses: KeyUses, manager: Callable[[Request], Manager]) -> APIRouter:
    router = APIRouter(prefix="/api/v1/key-uses", tags=["Keys"])

    @router.get(
        "",
        summary="When a store's keys were last used",
        responses={
            401: {**_PROBLEM, "description": "Neither the operator's token nor a store's secret key."},
            403: {**_PROBLEM, "description": "The key may not do this, or not for this store."},
            422: {**_PROBLEM, "description": "No store is named."},
            503: {**_PROBLEM, "description": "PostgreSQL is away; Retry-After says when to come again."},
        },
        openapi_extra={"security": [{"operator": []}, {"bearer": []}, {"basic": []}, {"key": []}]},
    )
    async def of_store(
        caller: Annotated[Manager, Depends(manager)],
        store_id: Annotated[
            str, Query(max_length=200, pattern=r"^[^\x00-\x1f]*$", description="A key's own store where absent")
        ] = "",
    ) -> KeyUsesView:
        if caller.store_id is not None and store_id not in ("", caller.store_id):
            raise Problem(403, "Not this key's store", "a store's key sees that store only", field="query/store_id")
        wanted = caller.store_id or store_id
        if not wanted:
            raise Problem(422, "Which store?", "name the store", field="query/store_id")
        try:
            found = await uses.of_store(wanted)
        except psycopg.Error as error:
            if not is_outage(error):
                raise
            raise Problem(503, "PostgreSQL is away", "try again", headers={"Retry-After": "2"}) from None
        return KeyUsesView(items=[KeyUse(key_id=key_id, last_used_at=rfc3339(at)) for key_id, at in found])

    return router

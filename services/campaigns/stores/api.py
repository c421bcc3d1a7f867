"""/api/v1/stores."""

from collections.abc import Callable

from fastapi import APIRouter, Depends, Request

from services.campaigns.journeys.campaigns import Campaigns
from services.campaigns.stores.forms import (
    CreatedView,
    IssuedKeyView,
    NewKey,
    NewStore,
    Rotation,
    StoreChange,
    StoreList,
    StoreView,
    view,
)
from services.campaigns.stores.service import NoSuchKey, NoSuchStore, Refused, Stores
from trolleybus.contracts.stores import StoreConfig
from trolleybus.db import Connection
from trolleybus.http import FieldError, Problem, json_body_required
from trolleybus.security import Operator


def store_not_found(store_id: str) -> Problem:
    return Problem(404, "No such store", f"there is no store {store_id[:80]!r}")


def key_not_found(key_id: str) -> Problem:
    return Problem(404, "No such key", f"the store has no key {key_id[:80]!r}")


def as_problem(error: Refused) -> Problem:
    return Problem(
        422,
        "Some settings are not valid",
        str(error),
        errors=[FieldError(f"/{fault.field}", fault.detail) for fault in error.faults],
    )


def stores_router(stores: Stores, campaigns: Campaigns, operator: Callable[[Request], Operator]) -> APIRouter:
    router = APIRouter(prefix="/api/v1/stores", tags=["stores"], dependencies=[Depends(operator)])

    @router.post("", status_code=201, dependencies=[Depends(json_body_required)])
    async def create(form: NewStore) -> CreatedView:
        campaign_id: str | None = None

        async def also(conn: Connection, config: StoreConfig) -> None:
            nonlocal campaign_id
            if form.campaign:
                campaign_id = await campaigns.create_default(conn, config)

        try:
            made = await stores.create(form.apply(StoreConfig()), also)
        except Refused as error:
            raise as_problem(error) from error
        return CreatedView(
            store_id=made.config.store_id,
            write_key=made.write.key,
            secret_key=made.secret.key,
            campaign_id=campaign_id,
            store=view(made.config),
        )

    @router.get("")
    async def everyone() -> StoreList:
        return StoreList(items=[view(config) for config in await stores.everyone()])

    @router.get("/{store_id}")
    async def one(store_id: str) -> StoreView:
        try:
            return view(await stores.find(store_id))
        except NoSuchStore:
            raise store_not_found(store_id) from None

    @router.patch("/{store_id}", dependencies=[Depends(json_body_required)])
    async def change(store_id: str, form: StoreChange) -> StoreView:
        try:
            return view(await stores.change(store_id, form.apply))
        except NoSuchStore:
            raise store_not_found(store_id) from None
        except Refused as error:
            raise as_problem(error) from error

    @router.post("/{store_id}/keys", status_code=201, dependencies=[Depends(json_body_required)])
    async def add_key(store_id: str, form: NewKey) -> IssuedKeyView:
        try:
            issued = await stores.add_key(store_id, form.kind, form.scopes)
        except NoSuchStore:
            raise store_not_found(store_id) from None
        except Refused as error:
            raise as_problem(error) from error
        return IssuedKeyView(key_id=issued.key_id, kind=issued.kind, key=issued.key)

    @router.post("/{store_id}/keys/{key_id}/rotate", status_code=201, dependencies=[Depends(json_body_required)])
    async def rotate_key(store_id: str, key_id: str, form: Rotation) -> IssuedKeyView:
        try:
            issued = await stores.rotate_key(store_id, key_id, form.grace * 1000)
        except NoSuchStore:
            raise store_not_found(store_id) from None
        except NoSuchKey:
            raise key_not_found(key_id) from None
        except Refused as error:
            raise as_problem(error) from error
        return IssuedKeyView(key_id=issued.key_id, kind=issued.kind, key=issued.key)

    @router.delete("/{store_id}/keys/{key_id}", status_code=204)
    async def revoke_key(store_id: str, key_id: str) -> None:
        try:
            await stores.revoke_key(store_id, key_id)
        except NoSuchStore:
            raise store_not_found(store_id) from None
        except NoSuchKey:
            raise key_not_found(key_id) from None

    return router

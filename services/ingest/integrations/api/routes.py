"""Connect, list, test, rotate and disconnect."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Protocol

import psycopg
from fastapi import APIRouter, Depends, Path, Query, Request

from services.ingest.integrations.api.access import Manager
from services.ingest.integrations.api.forms import (
    IntegrationPage,
    IntegrationView,
    NewIntegration,
    Rotation,
    Tested,
    clear,
    tested,
    view,
)
from services.ingest.integrations.domain.integration import Integration
from services.ingest.integrations.service import (
    AlreadyConnected,
    IntegrationService,
    NoSuchIntegration,
    NotConnected,
    Refused,
)
from trolleybus.contracts.stores import StoreConfig
from trolleybus.db import is_outage
from trolleybus.http import FieldError, Problem, json_body_required

_PROBLEM: dict[str, Any] = {"content": {"application/problem+json": {}}}
_READING: dict[int | str, dict[str, Any]] = {
    401: {**_PROBLEM, "description": "Neither the operator's token nor a store's secret key."},
    403: {**_PROBLEM, "description": "The key may not do this, or not for this store."},
    422: {**_PROBLEM, "description": "Some fields are not valid; names them."},
    503: {**_PROBLEM, "description": "PostgreSQL is away; Retry-After says when to come again."},
}
_ONE: dict[int | str, dict[str, Any]] = {**_READING, 404: {**_PROBLEM, "description": "The store has none of that id."}}
_CHANGING: dict[int | str, dict[str, Any]] = {
    **_ONE,
    400: {**_PROBLEM, "description": "Not JSON."},
    409: {**_PROBLEM, "description": "Not in a state for this."},
    413: {**_PROBLEM, "description": "More than 1 MiB."},
    415: {**_PROBLEM, "description": "Not application/json."},
}
_SECURED: dict[str, Any] = {"security": [{"operator": []}, {"bearer": []}, {"basic": []}, {"key": []}]}
_LONGEST_ID = 64
_TEXT = r"^[^\x00-\x1f]*$"


class Stores(Protocol):
    """The part of trolleybus.store_directory.StoreDirectory that is used here."""

    def latest(self, store_id: str) -> StoreConfig | None: ...


IntegrationId = Annotated[str, Path(pattern="^int_[0-9a-f]{16}$", examples=["int_0f1e2d3c4b5a6978"])]


def integrations_router(
    service: IntegrationService, stores: Stores, manager: Callable[[Request], Manager], gateway_url: str
) -> APIRouter:
    """`gateway_url` is where the public reaches this service."""
    router = APIRouter(prefix="/api/v1/integrations", tags=["Integrations"])
    Caller = Annotated[Manager, Depends(manager)]  # noqa: N806 - a type

    def shown(integration: Integration) -> IntegrationView:
        return view(integration, gateway_url)

    async def owner(caller: Manager, integration_id: str) -> str:
        """As whom the caller works on it."""
        return await service.store_of(integration_id) if caller.store_id is None else caller.store_id

    @router.post(
        "",
        status_code=201,
        summary="Connect a shop's system",
        description="One of a kind a store. Secrets are kept encrypted and never shown again, but for their last four characters.",
        dependencies=[Depends(json_body_required)],
        responses={**_CHANGING, 404: {**_PROBLEM, "description": "There is no such store."}},
        openapi_extra=_SECURED,
    )
    async def connect(form: NewIntegration, caller: Caller) -> IntegrationView:
        store_id = _own_or_named(caller, form.store_id)
        if stores.latest(store_id) is None:
            raise Problem(404, "No such store", f"there is no store {store_id[:80]!r}", field="/store_id")
        with _told():
            return shown(await service.connect(store_id, form.kind, form.settings, clear(form.secrets)))

    @router.get("", summary="Integrations, newest first", responses=_READING, openapi_extra=_SECURED)
    async def everyone(
        caller: Caller,
        store_id: Annotated[
            str, Query(max_length=200, pattern=_TEXT, description="Of this store; else of all that the caller may see")
        ] = "",
        kind: Annotated[str, Query(max_length=100, pattern=_TEXT)] = "",
        after: Annotated[str, Query(max_length=100, pattern=_TEXT, description="`next` of the page before")] = "",
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> IntegrationPage:
        of_store = store_id if caller.store_id is None else _own_or_named(caller, store_id or None)
        before = _cursor(after)
        with _told():
            if of_store:
                found = await service.page(of_store, kind=kind, before=before, limit=limit + 1)
            else:
                found = await service.page_of_all(kind=kind, before=before, limit=limit + 1)
        items = found[:limit]
        more = f"{items[-1].connected_at}.{items[-1].integration_id}" if len(found) > limit else None
        return IntegrationPage(items=[shown(one) for one in items], next=more)

    @router.get("/{integration_id}", summary="One integration", responses=_ONE, openapi_extra=_SECURED)
    async def one(integration_id: IntegrationId, caller: Caller) -> IntegrationView:
        with _told():
            return shown(await service.find(await owner(caller, integration_id), integration_id))

    @router.post(
        "/{integration_id}/test",
        summary="See whether it works",
        description="Looks at what is stored, at what this process uses, and at what came. It calls nobody.",
        responses=_ONE,
        openapi_extra=_SECURED,
    )
    async def test(integration_id: IntegrationId, caller: Caller) -> Tested:
        with _told():
            store_id = await owner(caller, integration_id)
            config = stores.latest(store_id)
            has_write_key = config is not None and config.active and any(key.kind == "write" for key in config.keys)
            return tested(await service.test(store_id, integration_id, has_write_key=has_write_key))

    @router.post(
        "/{integration_id}/rotate",
        summary="Give it new secrets",
        description="The secrets before go on working for `overlap_seconds`, a day unless told otherwise.",
        dependencies=[Depends(json_body_required)],
        responses=_CHANGING,
        openapi_extra=_SECURED,
    )
    async def rotate(integration_id: IntegrationId, form: Rotation, caller: Caller) -> IntegrationView:
        with _told():
            store_id = await owner(caller, integration_id)
            overlap_ms = form.overlap_seconds * 1000
            return shown(await service.rotate(store_id, integration_id, clear(form.secrets), overlap_ms))

    @router.post(
        "/{integration_id}/disconnect",
        summary="Disconnect it",
        description="Nothing of it is taken from then on, and its secrets are deleted. Connecting again makes a new one.",
        responses=_ONE,
        openapi_extra=_SECURED,
    )
    async def disconnect(integration_id: IntegrationId, caller: Caller) -> IntegrationView:
        because = "by the operator" if caller.store_id is None else "by the store"
        with _told():
            return shown(await service.disconnect(await owner(caller, integration_id), integration_id, because))

    return router


def _own_or_named(caller: Manager, named: str | None) -> str:
    if caller.store_id is not None:
        if named not in (None, caller.store_id):
            raise Problem(403, "Not this key's store", "a store's key manages that store only", field="/store_id")
        return caller.store_id
    if not named:
        raise Problem(422, "Which store?", "name the store", field="/store_id")
    return named


def _cursor(after: str) -> tuple[int, str] | None:
    if not after:
        return None
    at, dot, integration_id = after.partition(".")
    if not dot or not at.isascii() or not at.isdecimal() or len(at) > 15 or len(integration_id) > _LONGEST_ID:
        raise Problem(422, "Some fields are not valid", "`after` is the `next` of another page", field="query/after")
    return int(at), integration_id


@contextmanager
def _told() -> Iterator[None]:
    """What the service raises, as problems."""
    try:
        yield
    except Refused as refused:
        errors = [FieldError(fault.field, fault.detail) for fault in refused.faults]
        raise Problem(422, "Some fields are not valid", f"{len(errors)} not valid", errors=errors) from None
    except NoSuchIntegration:
        raise Problem(404, "No such integration", "see /api/v1/integrations for those there are") from None
    except AlreadyConnected as error:
        raise Problem(
            409,
            "Connected already",
            f"the store has an integration of kind {error}: rotate its secrets or disconnect it",
        ) from None
    except NotConnected:
        raise Problem(409, "Disconnected", "it was disconnected: connect it again") from None
    except psycopg.Error as error:
        if not is_outage(error):
            raise
        raise Problem(
            503, "Integrations cannot be managed now", "PostgreSQL is away; events go on", headers={"Retry-After": "5"}
        ) from None

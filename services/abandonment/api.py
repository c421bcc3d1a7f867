"""One cart as the detector knows it, for whoever operates it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends
from fastapi.responses import RedirectResponse
from msgspec.structs import replace
from starlette.responses import Response

from services.abandonment.domain.effects import value_of
from services.abandonment.domain.levels import expiry_at, leaves_at, next_level
from services.abandonment.domain.setting import Setting
from services.abandonment.domain.state import HELD, CartState, Fired
from trolleybus.http import Problem
from trolleybus.security import operator_required
from trolleybus.settings import ServiceSettings


@dataclass(frozen=True, slots=True)
class CartView:
    """A cart of a partition that this worker has; `clock` is the time (ms) up to which the partition's silence is told."""

    state: CartState
    setting: Setting
    clock: int


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another worker has the cart's partition; `url` is that worker's own, "" where it is not known."""

    url: str


@dataclass(frozen=True, slots=True)
class Restoring:
    """The cart's partition is not ready; `detail` says how far it is."""

    detail: str


Lookup = Callable[[str, str], CartView | Elsewhere | Restoring | None]
"""What is known of a store's cart here; None for nothing."""


def carts_router(settings: ServiceSettings, lookup: Lookup) -> APIRouter:
    """GET /api/v1/carts/{store_id}/{cart_id}, for operators."""
    router = APIRouter(prefix="/api/v1", tags=["Carts"], dependencies=[Depends(operator_required(settings))])

    @router.get(
        "/carts/{store_id}/{cart_id:path}",
        summary="A cart and its timers",
        response_model=None,
        responses={307: {"description": "Another worker has it"}, 503: {"description": "Its partition is restored"}},
    )
    async def get_cart(store_id: str, cart_id: str) -> dict[str, Any] | Response:
        match lookup(store_id, cart_id):
            case CartView() as view:
                return shown(view)
            case Elsewhere(url) if url:
                place = f"{url.rstrip('/')}/api/v1/carts/{quote(store_id, safe='')}/{quote(cart_id, safe='')}"
                return RedirectResponse(place, 307)
            case Elsewhere():
                raise Problem(
                    503,
                    "Another worker has it",
                    "the cart's partition is with a worker whose address is not known here (yet)",
                    headers={"Retry-After": "1"},
                )
            case Restoring(detail):
                raise Problem(503, "The cart's partition is not ready", detail, headers={"Retry-After": "1"})
        raise Problem(
            404,
            "No such cart",
            f"nothing is remembered of cart {cart_id!r} of store {store_id!r}: it was never seen, or it was forgotten",
        )

    return router


def shown(view: CartView) -> dict[str, Any]:
    """As JSON; times in ms, 0 and "" mean absent. Addresses are not known here, only which channels there are."""
    state, setting = view.state, view.setting
    value = value_of(state, setting)
    return {
        "store_id": state.store_id,
        "cart_id": state.cart_id,
        "status": state.status,
        "waits_for_import_end": state.origin == HELD,
        "episode_id": state.episode_id,
        "opened_at": state.opened_at,
        "first_activity_at": state.first_activity_at,
        "last_activity_at": state.last_activity_at,
        "closed_at": 0 if state.is_open else state.closed_at,
        "config_version": state.config_version,
        "levels": list(setting.levels),
        "fired": [_fired(level) for level in state.fired],
        "fired_before": [_fired(level) for level in state.earlier],
        "timers": [] if state.origin == HELD else list(_timers(state, setting)),
        "value": {"minor": value.minor, "currency": value.currency},
        "lines": [
            {
                "line_id": line.line_id,
                "product_id": line.product_id,
                "variant_id": line.variant_id,
                "name": line.name,
                "quantity": line.quantity,
                "unit_price": {"minor": line.price, "currency": line.price_currency},
            }
            for line in state.contents.lines()
        ],
        "step": state.step,
        "customer_id": state.customer_id or state.anonymous_id,
        "contact_channels": list(state.channels),
        "clock": view.clock,
        "last_record": {"partition": state.partition, "offset": state.offset, "arrival": state.arrival},
    }


def _fired(level: Fired) -> dict[str, Any]:
    return {"level_seconds": level.seconds, "due_at": level.due_at, "episode_id": level.episode_id}


def _timers(state: CartState, setting: Setting) -> Iterator[dict[str, Any]]:
    """What silence will make due, if nothing else comes."""
    if not state.is_open:
        yield {"what": "forgotten", "at": leaves_at(state, setting)}
        return
    while seconds := next_level(state, setting):
        due_at = state.last_activity_at + seconds * 1000
        yield {"what": "level", "level_seconds": seconds, "at": due_at}
        state = replace(state, fired=(*state.fired, Fired(seconds, due_at, state.episode_id)))
    yield {"what": "expiry", "at": expiry_at(state, setting)}

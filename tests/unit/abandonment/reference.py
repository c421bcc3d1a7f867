"""What the engine and the reference of tools/oracles tell, in the same words, so that tests can hold them together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from services.abandonment.domain.effects import Effect
from tools.oracles.abandonment import detect
from trolleybus.contracts import ids
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.recovery import CartAbandoned, CartCleared, CartExpired, CartRecovered, CartResumed
from trolleybus.contracts.stores import StoreConfig

Log = list[tuple[int, CartActivity]]
Told = dict[tuple[str, str], list[tuple[Any, ...]]]
"""By store and cart, in order."""


def told_by_the_reference(log: Log, configs: Mapping[int, StoreConfig], until: int) -> Told:
    """Of one store's log or, where its stores have the same settings, of several."""
    settings = {
        version: {"levels": config.levels, "expiry": config.expiry_seconds, "detection_from": config.detection_from}
        for version, config in configs.items()
    }
    facts = detect([(arrival, {**_plain(record), "appended": arrival}) for arrival, record in log], settings, until)
    return _by_cart(((fact["store"], fact["cart"]), _essence_of_fact(fact)) for fact in facts)


def told_by_the_engine(effects: Iterable[Effect]) -> Told:
    """Only what the reference knows of them."""
    return _by_cart(((effect.store_id, effect.cart_id), _essence(effect)) for effect in effects)


def _by_cart(facts: Iterable[tuple[tuple[str, str], tuple[Any, ...]]]) -> Told:
    carts: Told = {}
    for cart, fact in facts:
        carts.setdefault(cart, []).append(fact)
    return carts


def _plain(record: CartActivity) -> dict[str, Any]:
    names = ("id", "store_id", "cart_id", "occurred_at", "config_version", "kind", "order_id", "marks", "imported")
    pairs = [(item.line_id, item.quantity) for item in record.lines]
    return {**{name: getattr(record, name) for name in names}, "lines": pairs}


def _expected_id(fact: dict[str, Any]) -> str:
    episode = ids.episode(fact["store"], fact["cart"], fact["episode"])
    if fact["kind"] == "CartAbandoned":
        return ids.abandonment(episode, fact["level"])
    return ids.episode_end(episode, fact["kind"].removeprefix("Cart").lower(), fact.get("by", ""))


def _essence(effect: Effect) -> tuple[Any, ...]:
    common = (type(effect).__name__, effect.id, effect.opened_at)
    match effect:
        case CartAbandoned():
            held = {item.line_id: item.quantity for item in effect.lines}
            return (*common, effect.level_seconds, effect.due_at, effect.last_activity_at, held)
        case CartRecovered():
            return (*common, list(effect.levels_fired), effect.abandoned_at)
        case CartCleared():
            return (*common, list(effect.levels_fired))
        case CartExpired():
            return (*common, list(effect.levels_fired), effect.occurred_at)
        case CartResumed():
            return common


def _essence_of_fact(fact: dict[str, Any]) -> tuple[Any, ...]:
    common = (fact["kind"], _expected_id(fact), fact["opened_at"])
    names = {
        "CartAbandoned": ("level", "due_at", "last", "lines"),
        "CartRecovered": ("levels", "since"),
        "CartCleared": ("levels",),
        "CartExpired": ("levels", "at"),
        "CartResumed": (),
    }
    return (*common, *(fact[name] for name in names[fact["kind"]]))

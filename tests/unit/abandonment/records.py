"""Short ways to make records, settings and carts for the detector's tests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from services.abandonment.domain.activity import activity_of
from services.abandonment.domain.effects import Effect
from services.abandonment.domain.engine import Step, advance, take
from services.abandonment.domain.setting import Setting
from services.abandonment.domain.state import CartState, Position
from trolleybus.contracts.cart import CartActivity, CartLine
from trolleybus.contracts.money import Money
from trolleybus.contracts.stores import StoreConfig

STORE, CART = "store-1", "cart-1"
START = 1_800_000_000_000
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def euros(minor: int) -> Money:
    return Money(minor=minor, currency="EUR")


def line(line_id: str, quantity: int = 1, price: int = 1000) -> CartLine:
    return CartLine(
        line_id=line_id, product_id=f"p-{line_id}", name=line_id, quantity=quantity, unit_price=euros(price)
    )


def setting(version: int = 1, levels: tuple[int, ...] = (900, 3600, 86400), **more: Any) -> Setting:
    return Setting.of(StoreConfig(store_id=STORE, version=version, currency="EUR", levels=levels, **more))


def activity(kind: str, at: int, *lines: CartLine, id: str = "", **more: Any) -> CartActivity:  # noqa: A002 - the field's own name
    values: dict[str, Any] = {
        "id": id or f"{kind}@{at}",
        "store_id": STORE,
        "cart_id": CART,
        "occurred_at": START + at,
        "config_version": 1,
        "kind": kind,
        "lines": lines,
        "currency": "EUR",
    }
    return CartActivity(**{**values, **more})


@dataclass
class Cart:
    """One cart played by a test; times are milliseconds after START."""

    settings: dict[int, Setting] = field(default_factory=lambda: {1: setting()})
    state: CartState | None = None
    offset: int = 0
    steps: list[Step] = field(default_factory=list)

    def hear(self, record: CartActivity, arrival: int | None = None) -> list[Effect]:
        at = record.occurred_at if arrival is None else START + arrival
        in_force = self.settings[self.state.config_version if self.state else record.config_version]
        self.offset += 1
        step = take(
            self.state,
            activity_of(record),
            at,
            Position(0, self.offset),
            in_force=in_force,
            setting=self.settings[record.config_version],
        )
        return self._kept(step)

    def silence(self, until: int) -> list[Effect]:
        if self.state is None:
            return []
        return self._kept(advance(self.state, START + until, self.settings[self.state.config_version]))

    def _kept(self, step: Step) -> list[Effect]:
        # Through the row each time: what is lost on the way to the changelog shows in every test.
        self.state = kept(step.state) if step.state else None
        self.steps.append(step)
        return list(step.effects)


def kept(state: CartState) -> CartState:
    """The state as it comes back from its row."""
    return CartState.from_row(state.to_row())


def told(effects: Iterable[Effect]) -> list[tuple[Any, ...]]:
    """The kinds of effects, with the level of those that have one."""
    return [
        (type(effect).__name__, getattr(effect, "level_seconds", 0))
        if hasattr(effect, "level_seconds")
        else (type(effect).__name__,)
        for effect in effects
    ]

"""What a rehearsal found, counted by store, fact and level."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from services.abandonment.domain.effects import Effect
from trolleybus.contracts.money import Money
from trolleybus.contracts.recovery import CartAbandoned, CartCleared, CartExpired, CartRecovered, CartResumed

KINDS = (CartAbandoned, CartResumed, CartRecovered, CartCleared, CartExpired)


@dataclass(slots=True)
class Row:
    """Facts of one kind, of one level where they have one; `value` in minor units by currency."""

    store_id: str
    fact: str
    level_seconds: int = 0
    count: int = 0
    value: dict[str, int] = field(default_factory=dict)


class Summary:
    """Values are the cart's; a recovered cart's is the order's total. Nothing is summed across currencies."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, type[Effect], int], Row] = {}

    def add(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            kind = type(effect)
            level = effect.level_seconds if isinstance(effect, CartAbandoned) else 0
            row = self._rows.get((effect.store_id, kind, level))
            if row is None:
                row = Row(effect.store_id, kind.__name__, level)
                self._rows[effect.store_id, kind, level] = row
            row.count += 1
            amount = _amount(effect)
            if amount.currency:
                row.value[amount.currency] = row.value.get(amount.currency, 0) + amount.minor

    def rows(self) -> Iterator[Row]:
        """By store, in the order of a cart's life."""
        for _, row in sorted(self._rows.items(), key=lambda item: (item[0][0], KINDS.index(item[0][1]), item[0][2])):
            yield row


def _amount(effect: Effect) -> Money:
    match effect:
        case CartRecovered():
            return effect.order_total
        case CartAbandoned() | CartExpired():
            return effect.value
        case _:
            return Money()

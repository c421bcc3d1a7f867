"""What the shoppers really did, written down as it happened."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True, kw_only=True)
class Deed:
    """One request that the gateway acknowledged; times in ms since the epoch, by the simulator's clock."""

    what: str  # product_viewed, item_added, ... or order_placed, customer.
    event_id: str
    happened_at: int
    sent_at: int
    acked_at: int
    times: int
    body: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Done:
    """One shopper's doing with one cart, as far as it went."""

    habit: str
    shopper: str
    cart_id: str
    email: str
    deeds: list[Deed] = field(default_factory=list)
    finished: bool = False
    reminded: bool = False  # Came back by a reminder's link.
    failed: str = ""

    def ordered(self) -> bool:
        """Whether an order was acknowledged."""
        return any(deed.what == "order_placed" for deed in self.deeds)


def save(done: list[Done], path: Path) -> None:
    """One JSON line a shopper."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(asdict(one)) + "\n" for one in done))

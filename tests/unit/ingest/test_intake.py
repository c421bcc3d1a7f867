"""What is done to events of any source on their way to Kafka."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.ingest.api.callers import Caller
from services.ingest.api.intake import Intake
from services.ingest.domain import marks
from services.ingest.domain.pace import Pace
from services.ingest.domain.sealed import Sealed
from services.ingest.domain.translation import Translation
from services.ingest.visitors import Visitors
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.identity import IdentityHasher, installation_secrets
from trolleybus.contracts.stores import StoreConfig, StoreKey
from trolleybus.envelope import Outgoing


class Taken:
    """A gateway that takes everything."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    async def take(self, _store_id: str, _source: str, events: Sequence[Any]) -> list[Any]:
        self.events += events
        return []


async def test_events_beyond_a_persons_pace_are_marked_though_their_records_were_bytes_already() -> None:
    activity = CartActivity(id="r", store_id="s", cart_id="c", customer_id="a", occurred_at=1)
    long = Translation(event_id="e", kind="cart_updated", records=(activity,))
    sealed = Sealed("e", "cart_updated", (), "", "a", "c", 1, Outgoing("t", b"", b"", ()), lambda: long)
    gateway = Taken()
    nowhere = Visitors(country_header="", address_header="", countries=None, pace=Pace(most_a_minute=1))
    hasher = IdentityHasher(installation_secrets("a" * 32))
    intake = Intake(
        hasher=hasher,
        gateway=gateway,  # type: ignore[arg-type]
        pace=Pace(most_a_minute=1),
        visitors=nowhere,
    )
    key = StoreKey(key_id="k", kind="write", hash="")
    for unmarked in ((), (marks.BOT,)):
        store = StoreConfig(store_id=f"s{len(unmarked)}", version=1, unmarked=unmarked)
        await intake.take(Caller(store, key, is_public=True), "native", [sealed, sealed])
    first, second, *others = gateway.events
    assert first is sealed
    assert second == replace(long, records=(replace(activity, marks=(marks.BOT,)),))
    assert others == [sealed, sealed]

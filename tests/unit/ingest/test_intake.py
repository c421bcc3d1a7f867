"""What the intake reads of a request besides its body, and how it refuses."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.ingest.api.callers import Caller
from services.ingest.api.intake import Intake, country_in
from services.ingest.domain import marks
from services.ingest.domain.buckets import Limit
from services.ingest.domain.pace import Pace
from services.ingest.domain.sealed import Sealed
from services.ingest.domain.translation import Translation
from services.ingest.limiter import Verdict
from services.ingest.metrics import IngestMetrics
from services.ingest.turns import Turns
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.stores import StoreConfig, StoreKey
from trolleybus.envelope import Outgoing
from trolleybus.http import Problem
from trolleybus.security import hash_key, new_key
from trolleybus.store_directory import StoreIndex

ORIGIN = {"origin": "https://shop.example.com"}


@pytest.mark.parametrize(
    ("headers", "country"),
    [
        ({**ORIGIN, "cf-ipcountry": "ES"}, "ES"),
        ({"cf-ipcountry": "ES"}, ""),  # A server's: where it stands says nothing of the shopper.
        (ORIGIN, ""),
        ({**ORIGIN, "cf-ipcountry": "XX"}, ""),
        ({**ORIGIN, "cf-ipcountry": "T1"}, ""),
        ({**ORIGIN, "cf-ipcountry": "es"}, ""),
        ({**ORIGIN, "cf-ipcountry": "ÄÖ"}, ""),
        ({**ORIGIN, "cf-ipcountry": "ESP"}, ""),
    ],
)
def test_a_proxys_country_is_that_of_a_shoppers_browser(headers: Mapping[str, str], country: str) -> None:
    assert country_in(SimpleNamespace(headers=headers), "cf-ipcountry") == country


async def test_a_flood_of_refusals_is_told_at_500_a_second() -> None:
    key = new_key("secret")
    directory = StoreIndex()
    directory.add(StoreConfig(store_id="s", version=1, keys=(StoreKey(key_id="k", kind="secret", hash=hash_key(key)),)))
    rest: dict[str, Any] = dict.fromkeys(("hasher", "publisher", "gateway", "pace"))
    intake = Intake(
        directory=directory,
        limiter=SimpleNamespace(refusal=lambda *_: Verdict(False, Limit(1, 1), retry_after_s=1)),  # type: ignore[arg-type]
        turns=Turns(each_pass=4, most_waiting=100),
        metrics=IngestMetrics(CollectorRegistry()),
        max_events=1,
        max_bytes=1,
        uses=SimpleNamespace(note=lambda *_: None),
        country_header="",
        now=lambda: 1,
        **rest,
    )
    request: Any = SimpleNamespace(headers={"authorization": f"Bearer {key}"}, query_params={})
    loop = asyncio.get_running_loop()
    began = loop.time()
    told = await asyncio.gather(*[intake.caller(request, "carts") for _ in range(26)], return_exceptions=True)
    assert loop.time() - began >= 25 / 500
    assert [error.status_code for error in told if isinstance(error, Problem)] == [429] * 26


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
    sealed = Sealed("e", "cart_updated", (), "a", "c", 1, Outgoing("t", b"", b"", ()), lambda: long)
    gateway = Taken()
    rest: dict[str, Any] = dict.fromkeys(("directory", "hasher", "limiter", "turns", "publisher", "metrics", "uses"))
    intake = Intake(
        gateway=gateway,  # type: ignore[arg-type]
        pace=Pace(most_a_minute=1),
        max_events=1,
        max_bytes=1,
        country_header="",
        now=lambda: 1,
        **rest,
    )
    key = StoreKey(key_id="k", kind="write", hash="")
    for unmarked in ((), (marks.BOT,)):
        store = StoreConfig(store_id=f"s{len(unmarked)}", version=1, unmarked=unmarked)
        await intake.take(Caller(store, key, is_public=True), "native", [sealed, sealed])
    first, second, *others = gateway.events
    assert first is sealed
    assert second == replace(long, records=(replace(activity, marks=(marks.BOT,)),))
    assert others == [sealed, sealed]

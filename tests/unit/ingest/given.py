"""A store and arrivals for the gateway's tests."""

from typing import Any

from services.ingest.adapters.seam import Arrival
from trolleybus.contracts.identity import IdentityHasher, InstallationSecret
from trolleybus.contracts.stores import StoreConfig

NOW = 1_780_000_000_000
HASHER = IdentityHasher([InstallationSecret(1, b"a secret of the tests, long enough")])
STORE = StoreConfig(
    id="store-record",
    store_id="store-1",
    version=3,
    currency="EUR",
    country="ES",
    origins=("https://shop.example.com",),
    shop_url="https://www.shop.example.com",
)


def arrival(**changes: Any) -> Arrival:
    values: dict[str, Any] = {"store": STORE, "hasher": HASHER, "received_at": NOW, "raw_hash": "the-raw-event"}
    values.update(changes)
    raw_hash = values.pop("raw_hash")
    return Arrival(**values, raw_hash=lambda: raw_hash)


def hashed(kind: str, value: str) -> str:
    return HASHER.hash(STORE.store_id, kind, value)

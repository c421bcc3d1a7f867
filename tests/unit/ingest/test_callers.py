"""Who called a moment ago is known by the same headers, until anything about them changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from services.ingest.api.callers import Callers
from trolleybus.contracts.stores import StoreConfig, StoreKey
from trolleybus.http import Problem
from trolleybus.security import hash_key, new_key
from trolleybus.store_directory import StoreIndex

WRITE, SECRET = new_key("write"), new_key("secret")
KEYS = (
    StoreKey(key_id="w", kind="write", hash=hash_key(WRITE), expires_at=1_000),
    StoreKey(key_id="s", kind="secret", hash=hash_key(SECRET)),
)
STORE = StoreConfig(store_id="shop", version=1, keys=KEYS, origins=("https://shop.example",))


@dataclass
class Request:
    headers: Mapping[str, str]
    query_params: Mapping[str, str] = field(default_factory=dict)

    async def body(self) -> bytes:
        raise AssertionError("nothing here reads a body")


def bearer(key: str, **more: str) -> Request:
    return Request({"authorization": f"Bearer {key}", **more})


@pytest.fixture
def index() -> StoreIndex:
    index = StoreIndex()
    index.add(STORE)
    return index


def refused(callers: Callers, request: Request, scope: str = "carts", now: int = 5) -> int:
    with pytest.raises(Problem) as problem:
        callers.of(request, scope, now)
    return problem.value.status_code


def test_a_key_that_ran_out_since_its_last_use_is_refused(index: StoreIndex) -> None:
    callers = Callers(index)
    assert callers.of(bearer(WRITE), "carts", 999).key.key_id == "w"
    assert refused(callers, bearer(WRITE), now=1_000) == 401


def test_a_key_that_was_taken_away_since_its_last_use_is_refused(index: StoreIndex) -> None:
    callers = Callers(index)
    callers.of(bearer(SECRET), "orders", 5)
    index.add(replace(STORE, version=2, keys=KEYS[:1]))
    assert refused(callers, bearer(SECRET), "orders") == 401


def test_new_settings_are_in_force_at_once(index: StoreIndex) -> None:
    callers = Callers(index)
    assert callers.of(bearer(SECRET), "carts", 5).store.version == 1
    index.add(replace(STORE, version=2))
    assert callers.of(bearer(SECRET), "carts", 5).store.version == 2


def test_what_is_allowed_in_one_place_is_not_thereby_in_another(index: StoreIndex) -> None:
    callers = Callers(index)
    callers.of(bearer(WRITE), "carts", 5)
    callers.of(bearer(WRITE, origin="https://shop.example"), "carts", 5)
    callers.of(bearer(SECRET), "carts", 5)
    assert refused(callers, bearer(WRITE), "orders") == 403
    assert refused(callers, bearer(WRITE, origin="https://other.example")) == 403
    assert refused(callers, bearer(SECRET, origin="https://shop.example")) == 403
    assert refused(callers, Request(bearer(SECRET).headers, {"write_key": SECRET})) == 403


def test_a_key_in_the_body_is_the_one_that_counts(index: StoreIndex) -> None:
    callers = Callers(index)
    callers.of(bearer(SECRET), "carts", 5)
    assert callers.of(bearer(SECRET), "carts", 5, WRITE).key.key_id == "w"
    assert callers.of(bearer(SECRET), "carts", 5).key.key_id == "s"

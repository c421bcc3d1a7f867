"""Stores by id, version and key, whatever the order in which their versions come."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from trolleybus.contracts.stores import StoreConfig, StoreKey
from trolleybus.security import hash_key, new_key
from trolleybus.store_directory import StoreIndex

OLD, NEW = new_key("write"), new_key("secret")


def config(version: int, *keys: str, active: bool = True, expires_at: int = 0, store_id: str = "a") -> StoreConfig:
    entries = tuple(StoreKey(key_id=key[:6], hash=hash_key(key), expires_at=expires_at) for key in keys)
    return StoreConfig(store_id=store_id, version=version, keys=entries, active=active)


@given(st.permutations([config(1, OLD), config(2, OLD, NEW), config(3, NEW)]), st.integers(0, 2))
def test_the_latest_version_holds_in_whatever_order_and_however_often_versions_come(
    order: list[StoreConfig], twice: int
) -> None:
    index = StoreIndex()
    for one in [*order, order[twice]]:
        index.add(one)
    latest = index.latest("a")
    assert latest is not None
    assert latest.version == 3
    assert [one.version for one in index.all()] == [3]
    found = index.by_key(NEW)
    assert found is not None
    assert found[0].version == 3
    assert index.by_key(OLD) is None
    for version in (1, 2, 3):
        known = index.version("a", version)
        assert known is not None
        assert known.version == version
    assert index.version("a", 4) is None
    assert index.version("b", 1) is None


def test_a_key_opens_until_it_expires() -> None:
    index = StoreIndex()
    index.add(config(1, OLD, expires_at=1_000))
    assert index.by_key(OLD, now=999) is not None
    assert index.by_key(OLD, now=1_000) is None


def test_no_key_opens_a_store_that_is_not_active() -> None:
    index = StoreIndex()
    index.add(config(1, OLD))
    index.add(config(2, OLD, active=False))
    assert index.by_key(OLD) is None


def test_P7_a_key_opens_its_own_store_only() -> None:
    index = StoreIndex()
    keys = {store: new_key("secret") for store in "abc"}
    for (store, key), version in itertools.product(keys.items(), (1, 2)):
        index.add(config(version, key, store_id=store))
    for store, key in keys.items():
        found = index.by_key(key)
        assert found is not None
        assert found[0].store_id == store
    assert index.by_key("tbs_unknown") is None
    assert index.by_key("") is None

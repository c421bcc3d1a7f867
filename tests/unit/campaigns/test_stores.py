"""Stores: what their settings may be."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.campaigns.stores.domain import durations
from services.campaigns.stores.domain.keys import added, revoked, rotated
from services.campaigns.stores.domain.rules import faults
from services.campaigns.stores.forms import StoreChange
from trolleybus.contracts.stores import StoreConfig, StoreKey

GOOD = StoreConfig(name="Shop", currency="EUR", time_zone="Europe/Madrid", levels=(900, 3600))


def test_good_settings_have_no_fault() -> None:
    assert list(faults(GOOD)) == []


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("name", {"name": " "}),
        ("currency", {"currency": "euro"}),
        ("time_zone", {"time_zone": "Europe/Nowhere"}),
        ("time_zone", {"time_zone": "../../etc/passwd"}),
        ("country", {"country": "es"}),
        ("levels", {"levels": ()}),
        ("levels", {"levels": (1, 2, 3, 4, 5, 6)}),
        ("levels", {"levels": (0,)}),
        ("levels", {"levels": (3600, 900)}),
        ("levels", {"levels": (900, 900)}),
        ("levels", {"levels": (90 * 86_400 + 1,), "expiry_seconds": 91 * 86_400}),
        ("levels", {"levels": (900,), "expiry_seconds": 900}),
        ("expiry", {"expiry_seconds": 92 * 86_400}),
        ("origins/1", {"origins": ("https://a.example.com", "https://b.example.com/")}),
        ("origins/0", {"origins": ("*",)}),
        ("origins/0", {"origins": ("https://Shop.example.com",)}),
        ("shop_url", {"shop_url": "javascript:alert(1)"}),
        ("restore_url", {"restore_url": "shop.example.com/{cart_id}"}),
        ("email_consent_basis", {"email_consent_basis": "none"}),
    ],
)
def test_each_mistake_names_its_field(field: str, changes: dict[str, Any]) -> None:
    assert [fault.field for fault in faults(replace(GOOD, **changes))] == [field]


@given(st.integers(1, 90 * 86_400))
def test_a_duration_reads_as_it_was_written(seconds: int) -> None:
    assert durations.seconds(durations.text(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "15", "1w", "-1h", "1.5h", "h", "15 m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(durations.BadDuration):
        durations.seconds(text)


def test_quiet_hours_and_caps_read() -> None:
    assert durations.hours("21:00-09:00") == (1260, 540)
    assert durations.hours("") == (0, 0)
    assert durations.cap("3/7d") == (3, 604_800)
    for bad in ("9-21", "25:00-09:00", "09:00-09:00"):
        with pytest.raises(durations.BadDuration):
            durations.hours(bad)
    for bad in ("0/7d", "3", "x/7d", "3/0s"):
        with pytest.raises(durations.BadDuration):
            durations.cap(bad)


def test_a_change_leaves_what_it_does_not_name() -> None:
    changed = StoreChange.model_validate({"levels": ["1h"], "quiet_hours": "21:00-09:00"}).apply(GOOD)
    assert changed == replace(GOOD, levels=(3600,), quiet_from_minute=1260, quiet_to_minute=540)


def test_a_new_key_stands_beside_the_others_and_those_that_have_ended_go() -> None:
    ended = StoreKey(key_id="ended", kind="write", expires_at=99)
    old = StoreKey(key_id="old", kind="write", expires_at=101)
    keys = added(replace(GOOD, keys=(ended, old)), StoreKey(key_id="new", kind="write", created_at=100)).keys
    assert [key.key_id for key in keys] == ["old", "new"]


def test_a_key_that_takes_anothers_place_may_the_same_and_the_old_one_ends_after_the_grace() -> None:
    old = StoreKey(key_id="old", kind="secret", scopes=("orders",), created_at=1)
    other = StoreKey(key_id="other", kind="secret", created_at=1)
    config = replace(GOOD, keys=(old, other))
    new = StoreKey(key_id="new", created_at=100)
    after = rotated(config, "old", new, 500)
    assert after is not None
    assert {key.key_id: key.expires_at for key in after.keys} == {"old": 500, "other": 0, "new": 0}
    assert after.keys[-1].kind == "secret"
    assert after.keys[-1].scopes == ("orders",)
    again = rotated(after, "old", replace(new, key_id="newer"), 9000)
    assert again is not None
    assert again.keys[0].expires_at == 500
    assert rotated(config, "nobody", new, 500) is None


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        (StoreKey(kind="write", scopes=("carts", "segment")), []),
        (StoreKey(kind="secret", scopes=("orders", "products")), []),
        (StoreKey(kind="write", scopes=("orders",)), ["scopes"]),
        (StoreKey(kind="secret", scopes=("everything",)), ["scopes"]),
    ],
)
def test_a_keys_scopes_are_among_what_its_kind_may(key: StoreKey, fields: list[str]) -> None:
    assert [fault.field for fault in faults(replace(GOOD, keys=(key,)))] == fields


def test_a_revoked_key_is_gone() -> None:
    config = replace(GOOD, keys=(StoreKey(key_id="a"), StoreKey(key_id="b")))
    after = revoked(config, "a")
    assert after is not None
    assert [key.key_id for key in after.keys] == ["b"]
    assert revoked(config, "c") is None

"""What an integration is, what a test of it says, and the index that the event path asks."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.integrations.directory import IntegrationIndex, NotKnown, OpenSecret
from services.ingest.integrations.domain.checks import Seen, checks
from services.ingest.integrations.domain.integration import Integration
from services.ingest.integrations.domain.kinds import KINDS, secret_faults, settings_of

SHOP = Integration(
    store_id="store-1",
    integration_id="int_1",
    kind="shopify",
    settings={"shop_domain": "my-shop.myshopify.com"},
    connected_at=1_000,
)
GOOD = Seen(closed="", is_in_use=True, has_write_key=True)
HOUR = 3_600_000


# --- kinds --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["my-shop.myshopify.com", " HTTPS://My-Shop.myshopify.com/ ", "MY-SHOP.MYSHOPIFY.COM"])
def test_a_shops_domain_is_read_however_it_is_written(text: str) -> None:
    assert settings_of(KINDS["shopify"], {"shop_domain": text}) == ({"shop_domain": "my-shop.myshopify.com"}, [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "shop.example.com",
        "my-shop.myshopify.com.evil.example",
        "evil.example/my-shop.myshopify.com",
        "-.myshopify.com",
        "a.b.myshopify.com",
        "ſhop.myshopify.com",
        "my-shop.myshopify.com/\n/x",
    ],
)
def test_what_is_no_shops_domain_is_refused_by_its_field(text: str) -> None:
    _, (fault,) = settings_of(KINDS["shopify"], {"shop_domain": text})
    assert fault.field == "/settings/shop_domain"


def test_a_setting_that_a_kind_does_not_have_is_refused() -> None:
    _, (fault,) = settings_of(KINDS["segment"], {"shop_domain": "x"})
    assert fault.field == "/settings/shop_domain"


@pytest.mark.parametrize(
    ("secrets", "fields"),
    [
        ({"webhook_secret": "s" * 16}, []),
        ({}, ["/secrets/webhook_secret"]),
        ({"webhook_secret": "short"}, ["/secrets/webhook_secret"]),
        ({"webhook_secret": "s" * 501}, ["/secrets/webhook_secret"]),
        ({"webhook_secret": "é" * 20}, ["/secrets/webhook_secret"]),
        ({"webhook_secret": "s" * 20 + "\n"}, ["/secrets/webhook_secret"]),
        ({"webhook_secret": "s" * 16, "other": "s" * 16}, ["/secrets/other"]),
    ],
)
def test_secrets_are_checked_and_never_quoted(secrets: dict[str, str], fields: list[str]) -> None:
    faults = secret_faults(KINDS["shopify"], secrets, all_of_them=True)
    assert [fault.field for fault in faults] == fields
    assert not any(text in fault.detail for fault in faults for text in secrets.values())


# --- state and tests ------------------------------------------------------------------------------------------------------


@given(event=st.integers(0, 9), error=st.integers(0, 9))
def test_an_integration_fails_while_the_newest_heard_of_it_is_an_error(event: int, error: int) -> None:
    state = replace(SHOP, last_event_at=event, last_error_at=error).state
    assert state == ("failing" if error > event else "connected")
    assert replace(SHOP, last_error_at=error, disconnected_at=5).state == "disconnected"


def test_all_is_well_where_an_event_came_within_a_day() -> None:
    found = checks(replace(SHOP, last_event_at=10 * HOUR), GOOD, 33 * HOUR)
    assert [(check.name, check.ok) for check in found] == [
        ("connected", True),
        ("secret", True),
        ("in_use", True),
        ("event", True),
        ("error", True),
    ]
    assert found[3].detail == "the last came 23 h ago"


@pytest.mark.parametrize(
    ("integration", "seen", "wrong", "said"),
    [
        (SHOP, GOOD, "event", "nothing has come since"),
        (replace(SHOP, last_event_at=HOUR), GOOD, "event", "nothing within 24 h: the last came 39 h ago"),
        (replace(SHOP, last_event_at=39 * HOUR), replace(GOOD, closed="key 1 is gone"), "secret", "key 1 is gone"),
        (replace(SHOP, last_event_at=39 * HOUR), replace(GOOD, is_in_use=False), "in_use", "/readyz"),
        (
            replace(SHOP, last_event_at=39 * HOUR, last_error_at=40 * HOUR, last_error="the signature does not fit"),
            GOOD,
            "error",
            "the signature does not fit",
        ),
        (
            replace(SHOP, kind="segment", settings={}, last_event_at=39 * HOUR),
            replace(GOOD, has_write_key=False),
            "write_key",
            "make one",
        ),
    ],
)
def test_a_test_names_the_one_thing_that_is_wrong(integration: Integration, seen: Seen, wrong: str, said: str) -> None:
    bad = [check for check in checks(integration, seen, 40 * HOUR) if not check.ok]
    assert [check.name for check in bad] == [wrong]
    assert said in bad[0].detail


def test_of_a_disconnected_one_only_that_is_said() -> None:
    (check,) = checks(replace(SHOP, disconnected_at=5, disconnected_because="by the store"), GOOD, 9)
    assert not check.ok
    assert "by the store" in check.detail


# --- the index --------------------------------------------------------------------------------------------------------------


def secret(value: bytes, until: int = 0) -> OpenSecret:
    return OpenSecret("webhook_secret", value, until)


def test_before_the_first_load_nothing_is_known() -> None:
    with pytest.raises(NotKnown, match="not known yet"):
        IntegrationIndex().shopify("store-1")


def test_a_store_without_a_shop_has_none_once_all_are_known() -> None:
    index = IntegrationIndex()
    index.keep({})
    assert index.shopify("store-1") is None


def test_secrets_are_valid_until_their_time_and_the_newest_comes_first() -> None:
    index = IntegrationIndex()
    index.put(SHOP, [secret(b"new"), secret(b"old", until=5_000)])
    link = index.shopify("store-1")
    assert link is not None
    assert link.shop_domain == "my-shop.myshopify.com"
    assert link.secrets(4_999) == (b"new", b"old")
    assert link.secrets(5_000) == (b"new",)
    assert link.secrets(0) == (b"new", b"old"), "a clock that is behind refuses nothing"


def test_secrets_stand_in_no_representation() -> None:
    index = IntegrationIndex()
    index.put(SHOP, [secret(b"very-secret")])
    assert "very-secret" not in repr(index.shopify("store-1"))


def test_P7_a_link_is_found_under_its_store_and_kind_alone() -> None:
    index = IntegrationIndex()
    index.put(SHOP, [secret(b"s")])
    index.keep({"int_1": 1})
    assert index.shopify("store-2") is None
    assert index.connected("store-1", "segment") is None


def test_one_whose_secrets_cannot_be_opened_is_not_known_until_it_changes() -> None:
    index = IntegrationIndex()
    index.put(SHOP, [secret(b"s")])
    index.put_closed(replace(SHOP, version=2), "key 7 is gone")
    index.keep({"int_1": 2})
    with pytest.raises(NotKnown, match="key 7 is gone"):
        index.shopify("store-1")
    assert index.counts == (0, 1)
    index.put(replace(SHOP, version=3), [secret(b"s")])
    assert index.shopify("store-1") is not None
    assert index.counts == (1, 0)


def test_only_what_differs_is_loaded() -> None:
    index = IntegrationIndex()
    index.put(SHOP, [])
    assert index.differing({"int_1": 1, "int_2": 1}) == ["int_2"]
    assert index.differing({"int_1": 2}) == ["int_1"]


@pytest.mark.parametrize("is_closed", [False, True])
def test_what_is_gone_is_forgotten_and_what_took_its_place_stays(is_closed: bool) -> None:
    index = IntegrationIndex()
    if is_closed:
        index.put_closed(SHOP, "key 7 is gone")
    else:
        index.put(SHOP, [])
    index.put(replace(SHOP, integration_id="int_2"), [secret(b"s")])
    index.keep({"int_2": 1})
    link = index.shopify("store-1")
    assert link is not None
    assert link.link.integration_id == "int_2"
    index.keep({})
    assert index.shopify("store-1") is None

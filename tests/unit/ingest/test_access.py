"""Keys, scopes, origins."""

import pytest

from services.ingest.domain.access import is_listed, normalise_origin
from trolleybus.contracts.stores import StoreKey, scopes_of


@pytest.mark.parametrize(
    ("kind", "scopes", "may"),
    [
        ("write", (), {"carts", "customers", "segment"}),
        ("write", ("orders", "carts"), {"carts"}),
        ("secret", (), {"carts", "customers", "orders", "products", "integrations", "segment", "imports", "analytics"}),
        ("secret", ("orders",), {"orders"}),
        ("unheard-of", (), set()),
    ],
)
def test_a_key_may_what_its_kind_may_narrowed_by_its_scopes(kind: str, scopes: tuple[str, ...], may: set[str]) -> None:
    assert scopes_of(StoreKey(kind=kind, scopes=scopes)) == may


@pytest.mark.parametrize(
    ("origin", "listed"),
    [
        ("https://shop.example.com", True),
        ("https://SHOP.example.com:443", True),
        ("http://shop.example.com", False),
        ("https://shop.example.com.evil.example", False),
        ("https://evil.example", False),
        ("null", False),
        ("https://[::1", False),
        ("https://shop.example.com:99999", False),
        ("https://shop.example.com:8443", False),
    ],
)
def test_an_origin_is_listed_only_as_itself(origin: str, listed: bool) -> None:
    assert is_listed(origin, ["https://shop.example.com/"]) is listed


def test_what_is_no_origin_matches_nothing_not_even_itself() -> None:
    assert normalise_origin("null") == ""
    assert not is_listed("null", ["null", ""])

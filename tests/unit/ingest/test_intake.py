"""What the intake reads of a request besides its body."""

from collections.abc import Mapping
from types import SimpleNamespace

import pytest

from services.ingest.api.intake import country_in

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

"""Where a shopper's browser is, and whether more comes from there than people send."""

import os
from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple, Protocol

from services.ingest.domain.addresses import Address, household, last_address
from services.ingest.domain.pace import Pace


class Countries(Protocol):
    """In which country an address is (ISO 3166 alpha-2; "" for unknown)."""

    def of(self, address: Address) -> str: ...


class _Touch(NamedTuple):
    customer_id: str
    occurred_at: int


class Visitors:
    """By headers that a proxy before the gateway sets; where no header is named, nothing is read.

    An address is looked up and counted, then dropped: counts go by its hash under a key that this process makes and tells
    nobody, until newer ones need the room.
    """

    def __init__(self, *, country_header: str, address_header: str, countries: Countries | None, pace: Pace) -> None:
        self._country_header = country_header.lower()
        self._address_header = address_header.lower()
        self._countries = countries
        self._pace = pace
        self._key = os.urandom(16)

    def country(self, headers: Mapping[str, str]) -> str:
        """As the proxy says it, else as the address tells; "" where neither does, or a server sends: it is not the shopper's."""
        if not (self._country_header or self._countries) or "origin" not in headers:
            return ""
        told = _country_code(headers.get(self._country_header, "")) if self._country_header else ""
        if told or self._countries is None:
            return told
        address = self._address(headers)
        return _country_code(self._countries.of(address)) if address is not None else ""

    def is_crowd(self, headers: Mapping[str, str], store_id: str, events: int, now: int) -> bool:
        """Counts a store's events (`now` in ms since the epoch); whether some are more than people at one address send."""
        address = self._address(headers) if "origin" in headers else None
        if address is None:
            return False
        name = blake2b(household(address), key=self._key, digest_size=8).hexdigest()
        return bool(self._pace.beyond(store_id, [_Touch(name, now)] * events))

    def _address(self, headers: Mapping[str, str]) -> Address | None:
        return last_address(headers.get(self._address_header, "")) if self._address_header else None


def _country_code(text: str) -> str:
    return text if len(text) == 2 and text.isascii() and text.isalpha() and text.isupper() and text != "XX" else ""

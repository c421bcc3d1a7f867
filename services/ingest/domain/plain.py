"""Small values in their one form: amounts, places, languages, web addresses. Each raises BadValue with what is wrong."""

import re
from decimal import Decimal, InvalidOperation
from functools import cache
from urllib.parse import urlsplit
from zoneinfo import available_timezones

LONGEST_URL = 2048
LARGEST_AMOUNT = 10**11
_LOCALE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,4}", re.ASCII)
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)


class BadValue(ValueError):
    """The value is not of its kind."""


def amount(value: object) -> Decimal:
    """Major units, as a number or a text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise BadValue("an amount is a number or a text such as 19.90")
    if isinstance(value, str) and len(value) > 40:
        raise BadValue("an amount has at most 40 characters")
    try:
        found = Decimal(str(value).strip())
    except (InvalidOperation, ValueError):  # ValueError: a whole number of more digits than Python writes
        raise BadValue("an amount is written in major units with a point, such as 19.90") from None
    if not found.is_finite():
        raise BadValue("an amount is a finite number")
    if found < 0:
        raise BadValue("an amount is not negative")
    if found > LARGEST_AMOUNT:
        raise BadValue(f"an amount is at most {LARGEST_AMOUNT}")
    return found


def currency(value: object) -> str:
    """ISO 4217, upper case; "" for none."""
    text = value.strip().upper() if isinstance(value, str) else None
    if text is None or (text and not (len(text) == 3 and text.isascii() and text.isalpha())):
        raise BadValue("a currency is three letters, such as EUR")
    return text


def country(text: str) -> str:
    """ISO 3166 alpha-2, upper case."""
    value = text.strip().upper()
    if value and not _COUNTRY.fullmatch(value):
        raise BadValue("a country is two letters, such as ES")
    return value


def locale(text: str) -> str:
    """BCP 47; an underscore is read as its hyphen."""
    value = text.strip().replace("_", "-")
    if value and not _LOCALE.fullmatch(value):
        raise BadValue("a language is written as BCP 47, such as es-ES")
    return value


def time_zone(text: str) -> str:
    """A zone of the IANA database."""
    value = text.strip()
    if value and value not in _zones():
        raise BadValue("no such zone in the IANA database; one is Europe/Madrid")
    return value


def web_address(text: str) -> str:
    """An http or https address."""
    value = text.strip()
    if not value:
        return ""
    if len(value) > LONGEST_URL:
        raise BadValue(f"an address has at most {LONGEST_URL} characters")
    if " " in value or not value.isprintable():  # No other white space is printable.
        raise BadValue("an address has no spaces or control characters")
    host_of(value)
    return value


def shop_address(text: str, hosts: tuple[str, ...]) -> str:
    """An address on one of the shop's own hosts; anywhere where none is named."""
    address = web_address(text)
    if hosts and not is_of_shop(address, hosts):
        raise BadValue("from a write key, a link must lie on the shop's own host")
    return address


def host_of(address: str) -> str:
    """The host of an http or https address, lower case."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme.lower() not in {"http", "https"}:
        raise BadValue("an address begins with https:// or http:// and a host")
    return host.lower()


def is_of_shop(address: str, shop_addresses: tuple[str, ...]) -> bool:
    """Whether an address lies on one of the shop's hosts, or below one."""
    host = host_of(address)
    for own in shop_addresses:
        try:
            shop = host_of(own).removeprefix("www.")
        except BadValue:
            continue
        if host == shop or host.endswith(f".{shop}"):
            return True
    return False


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())

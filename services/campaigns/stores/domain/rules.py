"""What a store's settings must satisfy, as a whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from services.campaigns.stores.domain.durations import text
from trolleybus.contracts.money import is_currency
from trolleybus.contracts.permission import BASIS_GRANT, BASIS_SOFT_OPT_IN
from trolleybus.contracts.stores import SCOPES_OF_KIND, StoreConfig

MOST_LEVELS = 5
MOST_KEYS = 50
LONGEST_LEVEL_S = 90 * 86_400
LONGEST_EXPIRY_S = 91 * 86_400
_LONGEST_NAME = 120


@dataclass(frozen=True, slots=True)
class Fault:
    field: str
    detail: str


def faults(config: StoreConfig) -> Iterator[Fault]:
    if not config.name.strip() or len(config.name) > _LONGEST_NAME:
        yield Fault("name", f"a store has a name of at most {_LONGEST_NAME} characters")
    if not is_currency(config.currency):
        yield Fault("currency", "a currency is three capital letters (ISO 4217), such as EUR")
    if config.time_zone not in available_timezones():
        yield Fault("time_zone", "a time zone is an IANA name, such as Europe/Madrid")
    if config.country and not (len(config.country) == 2 and config.country.isascii() and config.country.isupper()):
        yield Fault("country", "a country is two capital letters (ISO 3166), such as ES")
    if config.email_consent_basis not in (BASIS_GRANT, BASIS_SOFT_OPT_IN):
        yield Fault("email_consent_basis", f"the basis is {BASIS_GRANT} or {BASIS_SOFT_OPT_IN}")
    yield from _levels(config)
    yield from _addresses(config)
    yield from _keys(config)


def _keys(config: StoreConfig) -> Iterator[Fault]:
    if len(config.keys) > MOST_KEYS:
        yield Fault("keys", f"a store has at most {MOST_KEYS} keys: revoke one that is not used")
    for key in config.keys:
        wrong = set(key.scopes) - SCOPES_OF_KIND.get(key.kind, frozenset())
        if wrong:
            allowed = ", ".join(sorted(SCOPES_OF_KIND.get(key.kind, ())))
            yield Fault("scopes", f"a {key.kind} key may: {allowed}; not {', '.join(sorted(wrong))[:200]}")


def _levels(config: StoreConfig) -> Iterator[Fault]:
    levels = config.levels
    if not 1 <= len(levels) <= MOST_LEVELS:
        yield Fault("levels", f"a store has 1 to {MOST_LEVELS} levels")
    elif any(level < 1 for level in levels) or list(levels) != sorted(set(levels)):
        yield Fault("levels", "levels are longer than nothing and ascend, such as 15m,1h,24h")
    elif levels[-1] > LONGEST_LEVEL_S:
        yield Fault("levels", f"a level is at most {text(LONGEST_LEVEL_S)}")
    elif levels[-1] >= config.expiry_seconds:
        yield Fault("levels", f"each level is below the expiry of {text(config.expiry_seconds)}")
    if not 1 <= config.expiry_seconds <= LONGEST_EXPIRY_S:
        yield Fault("expiry", f"a cart is forgotten after at most {text(LONGEST_EXPIRY_S)}")


def _addresses(config: StoreConfig) -> Iterator[Fault]:
    for place, origin in enumerate(config.origins):
        if not _is_origin(origin):
            yield Fault(f"origins/{place}", "an origin is scheme and host alone, such as https://shop.example.com")
    for field in ("shop_url", "restore_url"):
        url = getattr(config, field)
        if url and not _is_web(url):
            yield Fault(field, "an address starts with https:// or http://")
    for place, sender in enumerate(config.senders):
        if sender.channel == "email" and "@" not in sender.address:
            yield Fault(f"senders/{place}/address", "an e-mail sender has an e-mail address")


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url.replace("{cart_id}", "cart"))
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not any(char.isspace() for char in url)


def _is_origin(origin: str) -> bool:
    if not _is_web(origin):
        return False
    parts = urlsplit(origin)
    return origin == f"{parts.scheme}://{parts.netloc}" and "@" not in parts.netloc and origin == origin.lower()

"""The kinds of integration: what each must know, and which secrets it has. A new kind is one entry here."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

SHOPIFY = "shopify"
SEGMENT = "segment"

SHORTEST_SECRET = 16
LONGEST_SECRET = 500

_SHOP_DOMAIN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\.myshopify\.com")


@dataclass(frozen=True, slots=True)
class Fault:
    """`field` is a JSON pointer into what was sent."""

    field: str
    detail: str


@dataclass(frozen=True, slots=True)
class Kind:
    """`settings` maps a name to its reader, which gives the normalised value or raises ValueError. All are required.

    `path` is where it sends to, at this gateway.
    """

    name: str
    path: str
    settings: Mapping[str, Callable[[str], str]]
    secrets: tuple[str, ...]


def _shop_domain(text: str) -> str:
    host = re.sub(r"^https?://", "", text.strip().lower()).rstrip("/")
    if not _SHOP_DOMAIN.fullmatch(host):
        raise ValueError(
            "the shop's own domain at Shopify, such as my-shop.myshopify.com, whatever domain shoppers see"
        )
    return host


KINDS: Mapping[str, Kind] = {
    SHOPIFY: Kind(
        SHOPIFY, "/api/v1/integrations/shopify/{store_id}/webhooks", {"shop_domain": _shop_domain}, ("webhook_secret",)
    ),
    # Segment calls with the store's write key: there is no secret besides.
    SEGMENT: Kind(SEGMENT, "/v1", {}, ()),
}


def settings_of(kind: Kind, given: Mapping[str, str]) -> tuple[dict[str, str], list[Fault]]:
    """The normalised settings, and what is wrong with those given."""
    faults = [Fault(f"/settings/{name}", "no such setting") for name in given if name not in kind.settings]
    found: dict[str, str] = {}
    for name, read in kind.settings.items():
        try:
            found[name] = read(given.get(name, ""))
        except ValueError as error:
            faults.append(Fault(f"/settings/{name}", str(error)))
    return found, faults


def secret_faults(kind: Kind, given: Mapping[str, str], *, all_of_them: bool) -> list[Fault]:
    """What is wrong with secrets as given; never their text."""
    faults = [Fault(f"/secrets/{name}", "no such secret") for name in given if name not in kind.secrets]
    for name in kind.secrets:
        text = given.get(name)
        if text is None:
            if all_of_them:
                faults.append(Fault(f"/secrets/{name}", "is missing"))
        elif not (SHORTEST_SECRET <= len(text) <= LONGEST_SECRET and text.isascii() and text.isprintable()):
            faults.append(
                Fault(f"/secrets/{name}", f"{SHORTEST_SECRET} to {LONGEST_SECRET} printable ASCII characters")
            )
    return faults

"""What a key may do, and from where."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from trolleybus.contracts.stores import StoreKey

CARTS = "carts"
ORDERS = "orders"
CUSTOMERS = "customers"
PRODUCTS = "products"
INTEGRATIONS = "integrations"
SEGMENT = "segment"
IMPORTS = "imports"

SCOPES_OF_KIND = {
    "write": frozenset({CARTS, CUSTOMERS, SEGMENT}),  # Public: stands in the shop's pages.
    "secret": frozenset({CARTS, CUSTOMERS, ORDERS, PRODUCTS, INTEGRATIONS, SEGMENT, IMPORTS}),
}


def scopes_of(key: StoreKey) -> frozenset[str]:
    """What the key may do: all that its kind may, narrowed by its own scopes."""
    of_kind = SCOPES_OF_KIND.get(key.kind, frozenset())
    return of_kind & frozenset(key.scopes) if key.scopes else of_kind


def normalise_origin(origin: str) -> str:
    """An origin as browsers write it: lower case, no path, no default port; "" for what is none (null included)."""
    try:
        parts = urlsplit(origin.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        return ""
    scheme = parts.scheme.lower()
    if scheme not in {"http", "https"} or not host:
        return ""
    if ":" in host:
        host = f"[{host}]"
    is_default = port is None or port == {"http": 80, "https": 443}[scheme]
    return f"{scheme}://{host.lower()}" + ("" if is_default else f":{port}")


def is_listed(origin: str, origins: Iterable[str]) -> bool:
    """Whether a browser's origin is among a store's."""
    wanted = normalise_origin(origin)
    return bool(wanted) and any(normalise_origin(listed) == wanted for listed in origins)

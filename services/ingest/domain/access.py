"""Scopes of the gateway's endpoints, and from where a key may be used."""

from collections.abc import Iterable
from urllib.parse import urlsplit

CARTS = "carts"
ORDERS = "orders"
CUSTOMERS = "customers"
PRODUCTS = "products"
INTEGRATIONS = "integrations"
SEGMENT = "segment"
IMPORTS = "imports"


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

"""Links in messages. What a browser sent may name any address: only the store's own are linked to."""

from urllib.parse import quote, urlsplit

from trolleybus.contracts.recovery import CartAbandoned
from trolleybus.contracts.stores import StoreConfig
from trolleybus.security import Links


def restore_target(config: StoreConfig, cart: CartAbandoned) -> str:
    """Where a shopper finds the cart again; the shop itself where nothing better is known."""
    if config.restore_url:
        return config.restore_url.replace("{cart_id}", quote(cart.cart_id, safe=""))
    return own(config, cart.cart_url) or config.shop_url


def own(config: StoreConfig, url: str) -> str:
    """The address if it is of the store's own hosts, else ""; a store that names no host takes any web address."""
    if not is_web(url):
        return ""
    hosts = {host for one in (config.shop_url, config.restore_url, *config.origins) if (host := _host(one))}
    return url if not hosts or _host(url) in hosts else ""


def is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


class MessageLinks:
    """The signed links of one message."""

    def __init__(self, links: Links, messaging_url: str) -> None:
        self._links = links
        self._messaging_url = messaging_url

    def unsubscribe(self, message_id: str) -> str:
        return f"{self._messaging_url}/u/{self._links.sign('unsubscribe', {'m': message_id})}"

    def restore(self, message_id: str, target: str) -> str:
        return f"{self._messaging_url}/r/{self._links.sign('restore', {'m': message_id, 'u': target})}"


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:
        return ""

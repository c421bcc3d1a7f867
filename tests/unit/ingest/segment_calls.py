"""Calls as Segment's libraries send them, after its published specification; all names and ids are made up."""

from typing import Any

from tests.unit.ingest.given import NOW
from trolleybus.envelope import rfc3339

BROWSER: dict[str, Any] = {
    "locale": "en-GB",
    "timezone": "Europe/London",
    "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "userAgentData": {"brands": [{"brand": "Chromium", "version": "140"}], "mobile": False, "platform": "Linux"},
    "ip": "203.0.113.7",
    "library": {"name": "analytics.js", "version": "npm:next-1.84.3"},
    "page": {
        "path": "/cart",
        "referrer": "",
        "search": "",
        "title": "Your cart",
        "url": "https://shop.example.com/cart",
    },
    "campaign": {"source": "newsletter"},
}
GAME: dict[str, Any] = {
    "product_id": "p-1",
    "sku": "G-32",
    "category": "Games",
    "name": "A board game",
    "brand": "Example Games",
    "variant": "200 pieces",
    "price": 18.99,
    "quantity": 1,
    "coupon": "MAY",
    "position": 3,
    "url": "https://shop.example.com/games/p-1",
    "image_url": "https://cdn.example.com/p-1.jpg",
}
CARDS: dict[str, Any] = {"product_id": "p-2", "name": "A card game", "price": "3", "quantity": 2, "category": "Games"}


def track(event: str, properties: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "event": event,
        "messageId": "ajs-next-1",
        "anonymousId": "a-1",
        "userId": None,
        "timestamp": rfc3339(NOW - 60_000),
        "sentAt": rfc3339(NOW),
        "context": BROWSER,
        "integrations": {},
        "properties": properties if properties is not None else {},
        "_metadata": {"bundled": ["Segment.io"], "unbundled": [], "bundledIds": []},
        "writeKey": "not looked at here",
        **more,
    }


def identify(traits: dict[str, Any], **more: Any) -> dict[str, Any]:
    call = track("", None, type="identify", traits=traits, **{"userId": "u-1", **more})
    return {name: value for name, value in call.items() if name not in {"event", "properties"}}


ORDER: dict[str, Any] = {
    "checkout_id": "checkout-1",
    "order_id": "order-1",
    "affiliation": "The example shop",
    "total": 27.50,
    "subtotal": 22.50,
    "revenue": 25.00,
    "shipping": 3,
    "tax": 2,
    "discount": 2.5,
    "coupon": "MAY",
    "currency": "USD",
    "products": [GAME, CARDS],
}

"""Webhooks of a shop at Shopify: bodies after the published shape, headers, signatures."""

import base64
import hmac
import json
from pathlib import Path
from typing import Any

from services.ingest.adapters import shopify
from services.ingest.adapters.shopify.delivery import Delivery
from services.ingest.domain.translation import Translation
from tests.unit.ingest.given import arrival

BODIES = Path(__file__).parent / "shopify_webhooks"
SHOP = "example-potters.myshopify.com"
TRIGGERED_AT = "2026-03-01T18:30:00.877041743Z"
TRIGGERED_MS = 1_772_389_800_877


def body(topic: str, **changes: Any) -> dict[str, Any]:
    """The body of a webhook of that topic; customers and products are created as they are updated."""
    alike = {"customers/create": "customers/update", "products/create": "products/update"}.get(topic, topic)
    text = (BODIES / f"{alike.replace('/', '_')}.json").read_text()
    return {**json.loads(text), **changes}


def read(topic: str, payload: Any = ..., *, triggered_at: int | None = TRIGGERED_MS, **changes: Any) -> Translation:
    """What the adapter makes of it; `changes` are of the arrival."""
    delivery = Delivery(topic=topic, event_id="event-1", triggered_at=triggered_at, shop_domain=SHOP)
    return shopify.translation(
        topic, body(topic) if payload is ... else payload, delivery, arrival(is_public=False, **changes)
    )


def signature(raw: bytes, secret: bytes) -> str:
    return base64.b64encode(hmac.digest(secret, raw, "sha256")).decode()


def headers(topic: str, raw: bytes, secret: bytes, **changes: str) -> dict[str, str]:
    """As Shopify sends them; a change of "" takes one away."""
    sent = {
        "content-type": "application/json",
        "x-shopify-topic": topic,
        "x-shopify-hmac-sha256": signature(raw, secret),
        "x-shopify-shop-domain": SHOP,
        "x-shopify-api-version": "2026-07",
        "x-shopify-webhook-id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
        "x-shopify-event-id": "98880550-7158-44d4-b7cd-2c97c8a091b5",
        "x-shopify-triggered-at": TRIGGERED_AT,
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    return {name: value for name, value in sent.items() if value}

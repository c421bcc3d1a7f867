"""A store whose shop at Shopify is connected to a running gateway."""

import json
import uuid
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.eventually import eventually
from tests.integration.ingest_harness import Ingest, Shop
from tests.unit.ingest.shopify_given import SHOP, body, headers

SECRET = "shpss_0123456789abcdef"


@dataclass(frozen=True)
class ShopifyShop:
    """A store with its shop at Shopify connected."""

    ingest: Ingest
    shop: Shop
    integration_id: str

    @property
    def store_id(self) -> str:
        return self.shop.store_id

    async def send(self, topic: str, payload: Any = None, secret: str = SECRET, **changes: str) -> httpx2.Response:
        """A webhook, signed; each with an event id of its own unless one is given."""
        raw = json.dumps(body(topic) if payload is None else payload).encode()
        given = {"x_shopify_event_id": str(uuid.uuid4()), **changes}
        return await self.post(raw, headers(topic, raw, secret.encode(), **given))

    async def post(self, raw: bytes, sent: dict[str, str]) -> httpx2.Response:
        path = f"integrations/shopify/{self.store_id}/webhooks"
        return await self.ingest.post(path, raw, headers={name: value for name, value in sent.items() if value})

    async def records(self, topic: str) -> list[Any]:
        return await self.ingest.records(topic, self.store_id)


async def connect(ingest: Ingest, secret: str = SECRET) -> ShopifyShop:
    """A store of its own, connected by its own secret key and known to the gateway."""
    store = await ingest.open_shop(f"store-{uuid.uuid4().hex[:8]}", currency="GBP")
    wanted = {"kind": "shopify", "settings": {"shop_domain": SHOP}, "secrets": {"webhook_secret": secret}}
    answer = await ingest.post("integrations", wanted, store.secret_key)
    assert answer.status_code == 201, answer.text
    connected = ShopifyShop(ingest, store, answer.json()["integration_id"])

    async def is_known() -> bool:
        return (await connected.post(b"{}", {"content-type": "application/json"})).status_code == 401

    await eventually(is_known, 5)
    return connected

"""Shopify's webhooks: signed, taken once, answered in time."""

import asyncio
from functools import partial
from typing import Any, Protocol

import orjson
from fastapi import APIRouter, Request, Response

from services.ingest.adapters import shopify
from services.ingest.adapters.seam import Arrival, Refused
from services.ingest.adapters.shopify.delivery import SIGNATURE, Delivery, delivery_of, is_signed
from services.ingest.api.admission import Admission
from services.ingest.api.answers import shown
from services.ingest.api.bodies import hash_of, parse
from services.ingest.api.callers import Caller
from services.ingest.api.intake import Intake
from services.ingest.domain.translation import Translation
from services.ingest.integrations.directory import Link, NotKnown, ShopifyLink
from services.ingest.metrics import IngestMetrics
from services.ingest.redeliveries import Redeliveries
from trolleybus.contracts.stores import StoreConfig, StoreKey
from trolleybus.http import Problem
from trolleybus.telemetry import get_logger

logger = get_logger(__name__)

WEBHOOKS = "webhooks"
_AGAIN = {"Retry-After": "5"}


class Stores(Protocol):
    """The part of trolleybus.store_directory.StoreDirectory that is used here."""

    def latest(self, store_id: str) -> StoreConfig | None: ...


class Shops(Protocol):
    """The part of services.ingest.integrations.directory.Integrations that is used here."""

    def shopify(self, store_id: str) -> ShopifyLink | None: ...


class Health(Protocol):
    """The part of services.ingest.integrations.activity.Activity that is used here."""

    def note_event(self, link: Link, at_ms: int) -> None: ...

    def note_error(self, link: Link, at_ms: int, why: str) -> None: ...


class ShopifyWebhooks:
    """One webhook from its bytes to its answer. Shopify waits 5 s and retries whatever is not 2xx, so that what would be
    refused again is acknowledged and counted, and `answer_s` bounds the wait for Kafka."""

    def __init__(
        self,
        admission: Admission,
        intake: Intake,
        *,
        stores: Stores,
        shops: Shops,
        health: Health,
        redeliveries: Redeliveries,
        metrics: IngestMetrics,
        answer_s: float,
    ) -> None:
        self._admission = admission
        self._intake = intake
        self._stores = stores
        self._shops = shops
        self._health = health
        self._redeliveries = redeliveries
        self._metrics = metrics
        self._answer_s = answer_s

    async def take(self, request: Request, store_id: str) -> Response:
        """200 once Kafka has it, or where it is not wanted; problems are raised."""
        now = self._admission.now()
        store, shop = self._shop_of(store_id)
        body = await request.body()
        delivery = delivery_of(request.headers)
        self._verify(request, body, delivery, shop, now)
        topic = shopify.topic_of(delivery.topic)
        if not topic or delivery.is_test:
            outcome = "test" if topic else "ignored"
            self._health.note_event(shop.link, now)
            return self._answer(topic, outcome, {"status": outcome})
        payload = parse(body)
        self._require_same_shop(payload, shop, now)
        self._admission.turn_away_while_behind()
        caller = Caller(store, StoreKey(key_id=shop.link.integration_id, kind="secret"), is_public=False)
        try:
            async with asyncio.timeout(self._answer_s):
                return await self._take(caller, topic, payload, delivery, shop.link, now)
        except TimeoutError:
            self._metrics.turned_away.labels("slow_broker").inc()
            raise Problem(
                503, "Not taken", f"Kafka did not acknowledge within {self._answer_s:g} s", headers=_AGAIN
            ) from None

    async def _take(
        self, caller: Caller, topic: str, payload: object, delivery: Delivery, link: Link, now: int
    ) -> Response:
        store_id = caller.store.store_id
        await self._admission.limit(caller, WEBHOOKS, 1)
        if await self._redeliveries.knows(store_id, topic, delivery.event_id):
            return self._answer(topic, "duplicate", {"status": "duplicate"})
        arrival = Arrival(
            store=caller.store,
            hasher=self._intake.hasher,
            received_at=now,
            is_public=False,
            raw_hash=partial(hash_of, payload),
        )
        (result,) = await self._intake.take(caller, shopify.SOURCE, [_read(topic, payload, delivery, arrival)])
        told = shown(result, "")
        if isinstance(result, Refused):
            logger.warning("a webhook that says nothing", store=store_id, topic=topic, errors=told["errors"])
            self._health.note_error(link, now, f"{topic} was not readable: {result}")
        else:
            self._note(link, topic, now)
            if result.left_out:
                logger.info("left out of a webhook", store=store_id, topic=topic, fields=told["warnings"])
        await self._redeliveries.note(store_id, topic, delivery.event_id)
        return self._answer(topic, told["status"], told)

    def _shop_of(self, store_id: str) -> tuple[StoreConfig, ShopifyLink]:
        try:
            shop = self._shops.shopify(store_id)
        except NotKnown as error:
            raise Problem(503, "Not known now", str(error), headers=_AGAIN) from None
        store = self._stores.latest(store_id)
        if shop is None or store is None or not store.active:
            raise Problem(
                404, "No such shop", "this store has no shop at Shopify: `trolleybus integration connect shopify`"
            )
        return store, shop

    def _verify(self, request: Request, body: bytes, delivery: Delivery, shop: ShopifyLink, now: int) -> None:
        if not is_signed(body, request.headers.get(SIGNATURE, ""), shop.secrets(now)):
            self._metrics.webhooks.labels(shopify.SOURCE, "", "unsigned").inc()
            if delivery.shop_domain == shop.shop_domain:
                self._health.note_error(shop.link, now, "a webhook came that is not signed with the shop's secret")
            raise Problem(
                401,
                "Not signed by Shopify",
                "the signature does not match: compare the integration's secret with the app's client secret",
                field=f"header/{SIGNATURE}",
            )
        for name, value in (("x-shopify-topic", delivery.topic), ("x-shopify-shop-domain", delivery.shop_domain)):
            if not value:
                raise Problem(400, "A header is missing", f"{name} is missing or not readable", field=f"header/{name}")
        if delivery.shop_domain != shop.shop_domain:
            self._refuse_shop(shop, now, "header/x-shopify-shop-domain")

    def _require_same_shop(self, payload: object, shop: ShopifyLink, now: int) -> None:
        """Where the body says whose it is: the headers are not signed, the body is."""
        told = payload if isinstance(payload, dict) else {}
        for name in ("shop_domain", "myshopify_domain"):
            if told.get(name, shop.shop_domain) != shop.shop_domain:
                self._refuse_shop(shop, now, f"/{name}")

    def _refuse_shop(self, shop: ShopifyLink, now: int, field: str) -> None:
        self._metrics.webhooks.labels(shopify.SOURCE, "", "other_shop").inc()
        self._health.note_error(shop.link, now, "a webhook of another shop came to this store's address")
        raise Problem(403, "Another shop", "this address is that of another shop's integration", field=field)

    def _note(self, link: Link, topic: str, now: int) -> None:
        if topic == shopify.UNINSTALLED:
            # Its secret stays: two days later Shopify signs the request to erase the shop's data with it.
            self._health.note_error(link, now, "the app was uninstalled at Shopify")
        else:
            self._health.note_event(link, now)

    def _answer(self, topic: str, outcome: str, body: dict[str, Any]) -> Response:
        self._metrics.webhooks.labels(shopify.SOURCE, topic, outcome).inc()
        return Response(orjson.dumps(body), 200, media_type="application/json")


def _read(topic: str, payload: object, delivery: Delivery, arrival: Arrival) -> Translation | Refused:
    try:
        return shopify.translation(topic, payload, delivery, arrival)
    except Refused as refused:
        return refused


_PROBLEM: dict[str, Any] = {"content": {"application/problem+json": {}}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Kafka has it (accepted), had it before (duplicate), or it is not wanted: of a topic that is not read "
        "(ignored), a test, or not readable (refused; Shopify would send the same again)."
    },
    400: {**_PROBLEM, "description": "A header is missing, or the body is not JSON."},
    401: {**_PROBLEM, "description": "Not signed with the shop's secret."},
    403: {**_PROBLEM, "description": "Of another shop."},
    404: {**_PROBLEM, "description": "The store has no shop at Shopify."},
    413: {**_PROBLEM, "description": "More than 1 MiB."},
    429: {**_PROBLEM, "description": "Too many; Retry-After says when to come again."},
    503: {
        **_PROBLEM,
        "description": "Kafka did not take it in time, or integrations are not known yet: Shopify retries.",
    },
}


def shopify_router(webhooks: ShopifyWebhooks) -> APIRouter:
    router = APIRouter(prefix="/api/v1/integrations/shopify", tags=["Sources"])

    @router.post(
        "/{store_id}/webhooks",
        summary="Shopify's webhooks of a store",
        description="Signed by Shopify: X-Shopify-Hmac-Sha256 over the raw body. The body is as the topic's; see "
        "docs/sources/shopify.md for what is read of it.",
        responses=_RESPONSES,
        openapi_extra={
            "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
            "parameters": [
                {"name": name, "in": "header", "required": required, "schema": {"type": "string"}, "description": about}
                for name, required, about in (
                    ("X-Shopify-Hmac-Sha256", True, "Base64 of the body's HMAC-SHA256."),
                    ("X-Shopify-Topic", True, "Such as carts/update."),
                    ("X-Shopify-Shop-Domain", True, "The shop's own domain at Shopify."),
                    ("X-Shopify-Event-Id", False, "Names the event; a redelivery has the same."),
                    ("X-Shopify-Triggered-At", False, "When it happened; a redelivery has the same."),
                )
            ],
        },
    )
    async def webhook(store_id: str, request: Request) -> Response:
        return await webhooks.take(request, store_id)

    return router

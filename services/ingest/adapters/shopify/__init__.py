"""The Shopify source: webhooks of its Admin API; the field map is docs/sources/shopify.md."""

from collections.abc import Callable, Mapping

from services.ingest.adapters.fields import Fields
from services.ingest.adapters.seam import Arrival, Refused
from services.ingest.adapters.shopify import carts, customers, orders, privacy, products
from services.ingest.adapters.shopify.delivery import Delivery
from services.ingest.adapters.shopify.message import SOURCE, Webhook
from services.ingest.domain.translation import Flaw, Translation

__all__ = ["SOURCE", "TOPICS", "UNINSTALLED", "topic_of", "translation"]

UNINSTALLED = "app/uninstalled"

_TRANSLATORS: Mapping[str, Callable[[Webhook], Translation]] = {
    "carts/create": carts.cart,
    "carts/update": carts.cart,
    "checkouts/create": carts.checkout,
    "checkouts/update": carts.checkout,
    "orders/create": orders.placed,
    "orders/paid": orders.paid,
    "orders/cancelled": orders.cancelled,
    "refunds/create": orders.refunded,
    "customers/create": customers.customer,
    "customers/update": customers.customer,
    "products/create": products.product,
    "products/update": products.product,
    UNINSTALLED: privacy.uninstalled,
    "customers/data_request": privacy.access,
    "customers/redact": privacy.erasure,
    "shop/redact": privacy.store_erasure,
}
TOPICS = tuple(_TRANSLATORS)

_BY_SPELLING = {topic.replace("/", "_"): topic for topic in TOPICS}


def topic_of(written: str) -> str:
    """The topic as headers have it (carts/update), however it is written (CARTS_UPDATE); "" for one that is not known."""
    return _BY_SPELLING.get(written.strip().lower().replace("/", "_"), "")


def translation(topic: str, payload: object, delivery: Delivery, arrival: Arrival) -> Translation:
    """What one webhook tells; the topic is one of TOPICS. Raises Refused."""
    if not isinstance(payload, dict):
        raise Refused(Flaw("", "a webhook's body is a JSON object"))
    left_out: list[Flaw] = []
    return _TRANSLATORS[topic](Webhook(topic, Fields(payload, "", left_out), left_out, delivery, arrival))

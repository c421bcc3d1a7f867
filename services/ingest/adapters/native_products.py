"""The native source's catalogue: a product, whole, becomes one record."""

from services.ingest.adapters.draft import Draft, Named
from services.ingest.adapters.native import SOURCE
from services.ingest.adapters.seam import Arrival
from services.ingest.api.payloads import CatalogueProduct
from services.ingest.domain import plain
from services.ingest.domain.clock import event_time
from services.ingest.domain.translation import Translation
from trolleybus.contracts.products import Product

UNKNOWN_STOCK = -1


def product(told: CatalogueProduct, arrival: Arrival) -> Translation:
    """What is not told of it is not known: the record takes the place of the one before it."""
    named = Named(channel="products", own_id=told.event_id, occurred_at=told.occurred_at, sent_at=told.sent_at)
    draft = Draft(SOURCE, named, arrival)
    draft.require_repeatable()
    currency = draft.currency(told.currency)
    price = draft.money("/price", told.price, currency)
    before = draft.money("/compare_at_price", told.compare_at_price, currency)
    draft.refuse_flawed()
    record = Product(
        **draft.origin("Product", event_time(told.occurred_at, draft.sent_at, arrival.received_at)),
        product_id=told.product_id,
        name=told.name,
        url=draft.soft("/url", told.url, draft.shop_address),
        image_url=draft.soft("/image_url", told.image_url, plain.web_address),
        price=price,
        compare_at_price=before,
        stock=UNKNOWN_STOCK if told.stock is None else told.stock,
        available=told.stock != 0 if told.available is None else told.available,
        category=told.category,
        brand=told.brand,
    )
    return draft.translation("product_updated", (record,))

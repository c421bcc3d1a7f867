"""The catalogue: one product with its variants becomes one record."""

from services.ingest.adapters.fields import Fields
from services.ingest.adapters.shopify.message import Message, Webhook
from services.ingest.domain.translation import Translation
from trolleybus.contracts.money import Money
from trolleybus.contracts.products import Product

UNKNOWN = -1


def product(webhook: Webhook) -> Translation:
    """Its price is that of the first variant that can be bought; its stock is that of all."""
    message, root = webhook.of_nobody(), webhook.root
    variants = root.each("variants") or []
    on_sale = [variant for variant in variants if _can_be_bought(variant)]
    shown = next(iter(on_sale or variants), root)
    images = root.each("images") or []
    image = root.inner("image")
    before = message.money(shown, "compare_at_price")
    return message.translation(
        Product(
            **message.draft.origin("Product", message.occurred_at),
            product_id=message.require(root.id("id"), "id", "a product has an id"),
            name=root.text("title"),
            url=_address(message, root),
            image_url=message.link(image if image.has("src") or not images else images[0], "src"),
            price=message.money(shown, "price"),
            compare_at_price=before if before.minor else Money(),
            stock=_stock(variants),
            available=_is_published(root) and bool(on_sale or not variants),
            category=root.text("product_type") or root.inner("category").text("full_name", "name"),
            brand=root.text("vendor"),
        )
    )


def _can_be_bought(variant: Fields) -> bool:
    if not variant.has("inventory_management") or variant.text("inventory_policy") == "continue":
        return True
    return _pieces(variant) > 0


def _stock(variants: list[Fields]) -> int:
    """Of all variants; unknown where one of them is not counted."""
    if not variants or not all(variant.has("inventory_management") for variant in variants):
        return UNKNOWN
    return max(0, sum(_pieces(variant) for variant in variants))


def _pieces(variant: Fields) -> int:
    """Below zero where more were sold than there were."""
    found = variant.values.get("inventory_quantity")
    return max(-(10**9), min(found, 10**9)) if isinstance(found, int) else 0


def _is_published(root: Fields) -> bool:
    return root.has("published_at") and (root.text("status") or "active").lower() == "active"


def _address(message: Message, root: Fields) -> str:
    handle, shop = root.id("handle"), message.draft.arrival.store.shop_url.rstrip("/")
    return f"{shop}/products/{handle}" if handle and shop and "/" not in handle else ""

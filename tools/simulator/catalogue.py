"""A shop's catalogue from a fixed seed: 10 categories of 20 products."""

from dataclasses import dataclass
from random import Random

from trolleybus.contracts import ids
from trolleybus.contracts.money import Money
from trolleybus.contracts.products import Product

_KINDS = {
    "Lamps": ["desk lamp", "floor lamp", "wall lamp", "lantern", "reading light"],
    "Chairs": ["armchair", "stool", "bench", "rocking chair", "office chair"],
    "Tables": ["side table", "dining table", "desk", "trolley", "console"],
    "Textiles": ["blanket", "cushion", "rug", "curtain", "throw"],
    "Kitchen": ["kettle", "pan", "knife", "board", "jug"],
    "Tableware": ["plate", "bowl", "mug", "glass", "tray"],
    "Storage": ["basket", "shelf", "box", "hook rail", "crate"],
    "Garden": ["planter", "watering can", "bird house", "hammock", "fire bowl"],
    "Bath": ["towel", "bath mat", "soap dish", "mirror", "bathrobe"],
    "Paper": ["notebook", "calendar", "poster", "card set", "wrapping paper"],
}
_STYLES = ["Oak", "Linen", "Brass", "Slate"]
_BRANDS = ["Nordlys", "Casa Verde", "Atelier 9"]


@dataclass(frozen=True, slots=True)
class Item:
    """A product as the shop shows it; price in minor units."""

    product_id: str
    name: str
    category: str
    brand: str
    price: int
    stock: int


def catalogue(seed: int) -> list[Item]:
    """200 products in 10 categories, the same for the same seed."""
    random = Random(seed)
    items: list[Item] = []
    for category, nouns in _KINDS.items():
        for style in _STYLES:
            for noun in nouns:
                number = len(items) + 1
                price = int(min(40_000, random.lognormvariate(8.2, 0.8))) // 10 * 10 + 90
                items.append(
                    Item(
                        f"P{number:03}",
                        f"{style} {noun}",
                        category,
                        random.choice(_BRANDS),
                        price,
                        random.randint(0, 80),
                    )
                )
    return items


def product_record(item: Item, store_id: str, currency: str, shop_url: str, at_ms: int) -> Product:
    """The product as it stands on the topic."""
    event = ids.source_event(store_id, "import", f"product:{item.product_id}")
    return Product(
        id=ids.record_of(event, "Product"),
        store_id=store_id,
        occurred_at=at_ms,
        received_at=at_ms,
        imported=True,
        source="import",
        source_event_id=f"product:{item.product_id}",
        product_id=item.product_id,
        name=item.name,
        url=f"{shop_url}/products/{item.product_id}",
        price=Money(minor=item.price, currency=currency),
        stock=item.stock,
        available=item.stock > 0,
        category=item.category,
        brand=item.brand,
    )

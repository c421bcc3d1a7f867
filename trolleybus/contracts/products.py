"""The catalogue (products).

Times are milliseconds since the epoch, UTC. An empty value means absent. The schemas are the source of truth.
"""

from trolleybus.contracts.frozen import dataclass
from trolleybus.contracts.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A product of the catalogue, whole."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    received_at: int = 0
    source: str = ""
    source_event_id: str = ""
    product_id: str = ""
    name: str = ""
    url: str = ""
    image_url: str = ""
    price: Money = Money()
    compare_at_price: Money = Money()
    stock: int = -1  # Pieces; -1 unknown.
    available: bool = True
    category: str = ""
    brand: str = ""

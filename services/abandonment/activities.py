"""How a record of cart.activity becomes what detection needs: straight from its bytes, field by field."""

from __future__ import annotations

from services.abandonment.domain.activity import Activity, Line
from trolleybus.avro.shape import Shape
from trolleybus.codec import Codec, Projection
from trolleybus.contracts.cart import CartActivity

NESTED = {
    "price": "unit_price.minor",
    "price_currency": "unit_price.currency",
    "discount": "discount.minor",
    "discount_currency": "discount.currency",
    "total": "total.minor",
    "total_currency": "total.currency",
}
"""Where a struct's field has another name than the contract's."""

LINE = Shape(Line, tuple(NESTED.get(name, name) for name in Line.__struct_fields__))
ACTIVITY = Shape(
    Activity,
    tuple((name, LINE) if name == "lines" else NESTED.get(name, name) for name in Activity.__struct_fields__),
)


def activities(codec: Codec) -> Projection[Activity]:
    """Reads activities out of the bytes of CartActivity."""
    return codec.project(CartActivity, ACTIVITY)

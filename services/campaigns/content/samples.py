"""Carts and customers to try templates on: one of whom all is known, one of whom little is."""

from typing import Any

from services.campaigns.audience.domain.contact import Contact
from services.campaigns.content.variables import variables
from trolleybus.contracts.cart import CartLine
from trolleybus.contracts.money import Money
from trolleybus.contracts.recovery import CartAbandoned
from trolleybus.contracts.stores import StoreConfig

_NOWHERE = "https://shop.example.com"


def full(config: StoreConfig) -> dict[str, Any]:
    currency = config.currency
    lines = (
        CartLine(
            line_id="1",
            product_id="kettle",
            name="Copper kettle",
            quantity=1,
            unit_price=Money(minor=4990, currency=currency),
            url=f"{config.shop_url or _NOWHERE}/kettle",
        ),
        CartLine(
            line_id="2",
            product_id="cup",
            name="Cup & saucer",
            quantity=2,
            unit_price=Money(minor=1250, currency=currency),
        ),
    )
    cart = CartAbandoned(cart_id="sample", lines=lines, value=Money(minor=7490, currency=currency))
    contact = Contact(email="shopper@example.com", first_name="Sample", last_name="Shopper", country=config.country)
    return _with_links(config, contact, cart)


def sparse(config: StoreConfig) -> dict[str, Any]:
    cart = CartAbandoned(cart_id="sample", lines=(CartLine(product_id="kettle", quantity=1),))
    return _with_links(config, Contact(email="shopper@example.com"), cart)


def _with_links(config: StoreConfig, contact: Contact, cart: CartAbandoned) -> dict[str, Any]:
    return variables(
        config,
        contact,
        cart,
        restore_url=f"{config.shop_url or _NOWHERE}/cart",
        unsubscribe_url=f"{config.shop_url or _NOWHERE}/unsubscribe",
    )

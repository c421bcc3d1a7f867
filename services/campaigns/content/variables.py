"""What templates may speak of: store, customer, cart, restore_url, unsubscribe_url."""

from typing import Any

from services.campaigns.audience.domain.contact import Contact
from services.campaigns.content.formats import locale_of, money
from services.campaigns.content.links import is_web, own
from trolleybus.contracts.cart import CartLine
from trolleybus.contracts.money import Money
from trolleybus.contracts.recovery import CartAbandoned
from trolleybus.contracts.stores import StoreConfig
from trolleybus.contracts.values import line_value

_LONGEST_NAME = 200
_MOST_LINES = 100


def variables(
    config: StoreConfig, contact: Contact, cart: CartAbandoned, *, restore_url: str, unsubscribe_url: str
) -> dict[str, Any]:
    """Every name is always there; what is not known is an empty text."""
    locale = locale_of(contact.locale, cart.locale, config.language)

    def line(one: CartLine) -> dict[str, Any]:
        value = Money(minor=line_value(one), currency=one.unit_price.currency)
        return {
            "name": one.name[:_LONGEST_NAME] or one.product_id[:_LONGEST_NAME],
            "quantity": one.quantity,
            "price": money(one.unit_price, locale),
            "total": money(value, locale),
            "image": one.image_url if is_web(one.image_url) else "",
            "url": own(config, one.url),
            "category": one.category[:_LONGEST_NAME],
            "brand": one.brand[:_LONGEST_NAME],
        }

    return {
        "store": {
            "name": config.name,
            "url": config.shop_url,
            "postal_address": config.postal_address,
            "currency": config.currency,
            "language": str(locale).replace("_", "-"),
        },
        "customer": {
            "first_name": contact.first_name[:_LONGEST_NAME],
            "last_name": contact.last_name[:_LONGEST_NAME],
            "email": contact.email,
            "locale": contact.locale,
            "country": contact.country,
            "properties": dict(contact.properties),
        },
        "cart": {
            "lines": [line(one) for one in cart.lines[:_MOST_LINES]],
            "count": sum(one.quantity for one in cart.lines),
            "total": money(cart.value, locale),
            "discount": money(cart.discount, locale) if cart.discount.minor else "",
            "currency": cart.value.currency,
        },
        "restore_url": restore_url,
        "unsubscribe_url": unsubscribe_url,
    }

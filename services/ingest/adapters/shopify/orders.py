"""Orders, and what becomes of them."""

from services.ingest.adapters.fields import Fields
from services.ingest.adapters.shopify.lines import lines_of, rest_of_discount
from services.ingest.adapters.shopify.message import Message, Webhook, shop_money, token_of
from services.ingest.domain.translation import Canonical, Translation
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.money import Money
from trolleybus.contracts.orders import OrderChanged, OrderPlaced

BROUGHT_IN_MS = 86_400_000
"""An order that was processed longer than this before its webhook was brought in from elsewhere: it was placed then."""


def placed(webhook: Webhook) -> Translation:
    """OrderPlaced, and the CartActivity that ends its cart."""
    message, cart_token, checkout_token = _of_order(webhook)
    root = webhook.root
    order_id = message.require(root.id("id"), "id", "an order has an id")
    occurred_at = _placed_at(message)
    lines = lines_of(message)
    total = message.money(root, "total_price")
    order = OrderPlaced(
        **message.draft.stamp("OrderPlaced", occurred_at),
        order_id=order_id,
        cart_id=cart_token,
        total=total,
        discount=rest_of_discount(lines, message.money(root, "total_discounts")),
        shipping=message.money(shop_money(root, "total_shipping_price_set"), "amount"),
        tax=message.money(root, "total_tax"),
        lines=lines,
        coupons=tuple(filter(None, (code.text("code") for code in root.each("discount_codes") or ()))),
        **message.draft.place,
    )
    records: list[Canonical] = [order, *message.draft.person_records(occurred_at, "checkout")]
    if message.draft.key:
        ended = CartActivity(
            **message.draft.stamp("CartActivity", occurred_at),
            config_version=webhook.arrival.store.version,
            kind="order_placed",
            cart_id=cart_token,
            anonymous_id=message.anonymous_id,
            email=message.draft.email,
            phone=message.draft.phone,
            currency=message.currency,
            order_id=order_id,
            total=total,
            **message.draft.place,
        )
        records.append(ended)
    return message.translation(*records, own_cart=checkout_token)


def paid(webhook: Webhook) -> Translation:
    return _changed(webhook, "paid")


def cancelled(webhook: Webhook) -> Translation:
    return _changed(webhook, "cancelled", webhook.root.text("cancel_reason"))


def refunded(webhook: Webhook) -> Translation:
    """What was given back by payments that succeeded; a refund names its order and nobody."""
    message, root = webhook.of_nobody(), webhook.root
    changed = OrderChanged(
        **message.draft.stamp("OrderChanged", message.occurred_at),
        order_id=message.require(root.id("order_id"), "order_id", "a refund names its order"),
        change="refunded",
        refunded=_given_back(message),
        reason=root.text("note"),
    )
    return message.translation(changed)


def _of_order(webhook: Webhook) -> tuple[Message, str, str]:
    """The order's message, its cart's token and its checkout's; "" where it was made without."""
    root = webhook.root
    cart_token, checkout_token = token_of(root.id("cart_token")), token_of(root.id("checkout_token"))
    message = webhook.of_person(
        root.inner("customer"),
        cart_token=cart_token,
        checkouts=(checkout_token, root.id("checkout_id")),
        country=_address(root),
    )
    return message, cart_token, checkout_token


def _address(root: Fields) -> Fields:
    shipping = root.inner("shipping_address")
    return shipping if shipping.has("country_code") else root.inner("billing_address")


def _placed_at(message: Message) -> int:
    processed_at = message.root.time("processed_at")
    if processed_at is not None and 0 < processed_at < message.occurred_at - BROUGHT_IN_MS:
        return processed_at
    return message.occurred_at


def _changed(webhook: Webhook, change: str, reason: str = "") -> Translation:
    message, cart_token, _ = _of_order(webhook)
    changed = OrderChanged(
        **message.draft.stamp("OrderChanged", message.occurred_at),
        order_id=message.require(webhook.root.id("id"), "id", "an order has an id"),
        cart_id=cart_token,
        change=change,
        reason=reason,
    )
    return message.translation(changed, *message.draft.person_records(message.occurred_at, "checkout"))


def _given_back(message: Message) -> Money:
    """In the shop's currency where Shopify says it, else in that of the payments; never summed across."""
    amounts = [
        _amount(message, one)
        for one in message.root.each("transactions") or ()
        if one.text("kind") == "refund" and one.text("status") == "success"
    ]
    known = [amount for amount in amounts if amount.currency]
    currency = known[0].currency if known else ""
    return Money(minor=sum(amount.minor for amount in known if amount.currency == currency), currency=currency)


def _amount(message: Message, transaction: Fields) -> Money:
    in_shop = shop_money(transaction, "amount_set")
    if in_shop.has("amount"):
        return message.money(in_shop, "amount", currency=in_shop.currency("currency_code"))
    return message.money(transaction, "amount", currency=transaction.currency("currency"))

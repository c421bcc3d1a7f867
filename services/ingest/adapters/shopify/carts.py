"""Carts and checkouts: each webhook carries the whole cart as it was when it was triggered."""

from services.ingest.adapters.fields import Fields
from services.ingest.adapters.shopify.lines import lines_of, rest_of_discount
from services.ingest.adapters.shopify.message import Message, Webhook, token_of
from services.ingest.domain.translation import Translation
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.money import Money


def cart(webhook: Webhook) -> Translation:
    """A snapshot; who it is of, a cart does not say, unless the shop's pages noted it in its attributes."""
    root = webhook.root
    token = token_of(root.id("token", "id"))
    message = webhook.of_person(root.inner("customer"), cart_token=token)
    message.require(token, "token", "a cart has a token")
    activity = CartActivity(
        **message.draft.stamp("CartActivity", message.occurred_at),
        config_version=webhook.arrival.store.version,
        kind="snapshot",
        cart_id=token,
        anonymous_id=message.anonymous_id,
        email=message.draft.email,
        phone=message.draft.phone,
        currency=message.currency,
        lines=lines_of(message),
        **message.draft.place,
    )
    return message.translation(*message.draft.person_records(message.occurred_at, "login"), activity)


def checkout(webhook: Webhook) -> Translation:
    """A snapshot with the step that was reached; once completed, the step alone: the cart is in its order now."""
    root = webhook.root
    cart_token, token = token_of(root.id("cart_token")), token_of(root.id("token"))
    message = webhook.of_person(
        root.inner("customer"), cart_token=cart_token, checkouts=(token, root.id("id")), country=_address(root)
    )
    message.require(token or cart_token, "token", "a checkout has a token")
    is_completed = root.has("completed_at")
    lines = () if is_completed else lines_of(message)
    activity = CartActivity(
        **message.draft.stamp("CartActivity", message.occurred_at),
        config_version=webhook.arrival.store.version,
        kind="checkout_step" if is_completed else "snapshot",
        cart_id=cart_token or token,
        anonymous_id=message.anonymous_id,
        email=message.draft.email,
        phone=message.draft.phone,
        currency=message.currency,
        lines=lines,
        discount=Money() if is_completed else rest_of_discount(lines, _discount(message)),
        step=_step(root, message),
        cart_url=message.link(root, "abandoned_checkout_url"),
        **message.draft.place,
    )
    return message.translation(*message.draft.person_records(message.occurred_at, "checkout"), activity)


def _address(root: Fields) -> Fields:
    shipping = root.inner("shipping_address")
    return shipping if shipping.has("country_code") else root.inner("billing_address")


def _step(root: Fields, message: Message) -> str:
    """The furthest that the checkout's contents show."""
    if root.has("completed_at"):
        return "completed"
    if root.each("shipping_lines"):
        return "payment"
    if root.inner("shipping_address").values:
        return "shipping"
    return "contact" if message.draft.email or message.draft.phone else "started"


def _discount(message: Message) -> Money:
    """Off the lines alone: a free shipping is no discount of the cart."""
    root = message.root
    if root.has("total_line_items_price") and root.has("subtotal_price"):
        before, after = message.money(root, "total_line_items_price"), message.money(root, "subtotal_price")
        return Money(minor=max(0, before.minor - after.minor), currency=before.currency)
    return message.money(root, "total_discounts")

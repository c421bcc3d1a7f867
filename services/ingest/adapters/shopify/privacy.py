"""The webhooks that the law and Shopify demand: what is known of a person, and erasure of a person or of a whole store."""

from services.ingest.adapters.shopify.customers import revoked
from services.ingest.adapters.shopify.message import Message, Webhook
from services.ingest.domain.translation import Translation
from trolleybus.contracts.privacy import PrivacyRequested

DUE_AFTER_MS = 30 * 86_400_000
"""Shopify's term: thirty days from the request."""


def access(webhook: Webhook) -> Translation:
    message = _of_customer(webhook)
    return message.translation(
        _request(message, "access", "orders_requested", webhook.root.inner("data_request").id("id"))
    )


def erasure(webhook: Webhook) -> Translation:
    """The request, and a no on every channel: whoever asks to be forgotten is not written to meanwhile, nor later."""
    message = _of_customer(webhook)
    request = _request(message, "erasure", "orders_to_redact")
    return message.translation(request, *revoked(message, message.occurred_at, "asked to be erased at Shopify"))


def store_erasure(webhook: Webhook) -> Translation:
    message = webhook.of_nobody()
    return message.translation(_request(message, "store_erasure"))


def uninstalled(webhook: Webhook) -> Translation:
    """Nothing is said of a shopper: what it means for the integration is not an adapter's to do."""
    return webhook.of_nobody().translation()


def _of_customer(webhook: Webhook) -> Message:
    message = webhook.of_person(webhook.root.inner("customer"))
    message.require(message.draft.key, "customer", "the request names a customer by id, email or phone")
    return message


def _request(message: Message, kind: str, orders: str = "", reference: str = "") -> PrivacyRequested:
    return PrivacyRequested(
        **message.draft.stamp("PrivacyRequested", message.occurred_at),
        kind=kind,
        reference=reference,
        order_ids=tuple(message.root.ids(orders)),
        due_at=message.occurred_at + DUE_AFTER_MS,
    )

"""A message to be sent, whole."""

from services.campaigns.audience.domain.contact import Contact
from services.campaigns.content.mail import Mail
from services.campaigns.journeys.domain.campaign import Step
from services.campaigns.journeys.domain.journey import Journey
from trolleybus.contracts import ids
from trolleybus.contracts.messages import MessageRequested
from trolleybus.contracts.stores import SenderIdentity, StoreConfig


def message_requested(
    *,
    message_id: str,
    journey: Journey,
    step: Step,
    config: StoreConfig,
    contact: Contact,
    identities: tuple[str, ...],
    mail: Mail,
    default_sender: str,
    now: int,
    ttl_ms: int,
) -> MessageRequested:
    """Of the step that is due; to go at once."""
    cart = journey.cart
    sender = next((one for one in config.senders if one.channel == step.channel), SenderIdentity())
    return MessageRequested(
        id=ids.message_fact(message_id, "MessageRequested"),
        store_id=cart.store_id,
        occurred_at=now,
        message_id=message_id,
        journey_id=journey.journey_id,
        campaign_id=journey.campaign_id,
        cart_id=cart.cart_id,
        episode_id=cart.episode_id,
        customer_id=cart.customer_id,
        channel=step.channel,
        step=journey.step,
        attempt=journey.attempt,
        address_hash=contact.address_hash,
        identities=identities,
        purchase_since=cart.opened_at,
        purpose="marketing",
        address=contact.email,
        deferred_from=journey.deferred_from,
        locale=contact.locale or cart.locale or config.language,
        country=contact.country or cart.country or config.country,
        time_zone=contact.time_zone or cart.time_zone or config.time_zone,
        sender_address=sender.address or default_sender,
        sender_name=sender.name or config.name,
        reply_to=sender.reply_to,
        subject=mail.subject,
        html=mail.html,
        text=mail.text,
        not_before=now,
        expires_at=now + ttl_ms,
    )

"""Messages asked for and what became of them (messaging.requests, recovery.messages).

Times are milliseconds since the epoch, UTC. An empty value means absent. The schemas are the source of truth.
"""

from trolleybus.contracts.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicPosition:
    """A place in a topic's partition: every record below the offset was seen."""

    topic: str = ""
    partition: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRequested:
    """A message to send, whole."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    message_id: str = ""
    journey_id: str = ""
    campaign_id: str = ""
    cart_id: str = ""
    episode_id: str = ""
    customer_id: str = ""
    channel: str = ""  # email, sms, push, whatsapp.
    step: int = 0  # Index of the campaign's step, from 0.
    attempt: int = 1  # From 1.
    address_hash: str = ""
    identities: tuple[str, ...] = ()
    purchase_since: int = 0  # An order since this time stops it: when the cart was opened.
    purpose: str = "marketing"  # marketing or transactional.
    address: str = ""  # In clear.
    deferred_from: int = 0  # Due time of the attempt that was deferred; 0 for the first.
    locale: str = ""  # BCP 47.
    country: str = ""  # ISO 3166 alpha-2.
    time_zone: str = ""  # The person's IANA zone, where known.
    region: str = ""
    sender_address: str = ""
    sender_name: str = ""
    reply_to: str = ""
    subject: str = ""
    html: str = ""
    text: str = ""
    not_before: int = 0  # At most 5 minutes ahead.
    expires_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageWithdrawn:
    """A request is taken back, if it has not gone."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    message_id: str = ""
    journey_id: str = ""
    customer_id: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSent:
    """A provider accepted the message."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    message_id: str = ""
    journey_id: str = ""
    campaign_id: str = ""
    cart_id: str = ""
    episode_id: str = ""
    customer_id: str = ""
    channel: str = ""  # email, sms, push, whatsapp.
    step: int = 0  # Index of the campaign's step, from 0.
    attempt: int = 1  # From 1.
    address_hash: str = ""
    provider: str = ""
    provider_message_id: str = ""
    barrier: tuple[TopicPosition, ...] = ()  # End offsets read before the claim, all of them seen by the gate.
    barrier_read_at: int = 0
    called_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDelivered:
    """The recipient's side accepted it."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    message_id: str = ""
    journey_id: str = ""
    campaign_id: str = ""
    cart_id: str = ""
    episode_id: str = ""
    customer_id: str = ""
    channel: str = ""  # email, sms, push, whatsapp.
    step: int = 0  # Index of the campaign's step, from 0.
    attempt: int = 1  # From 1.
    address_hash: str = ""
    provider: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageOpened:
    """The recipient opened it."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    message_id: str = ""
    journey_id: str = ""
    campaign_id: str = ""
    cart_id: str = ""
    episode_id: str = ""
    customer_id: str = ""
    channel: str = ""  # email, sms, push, whatsapp.
    step: int = 0  # Index of the campaign's step, from 0.
    attempt: int = 1  # From 1.
    address_hash: str = ""
    machine: bool = False  # Likely a prefetch, not a person.


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageClicked:
    """The recipient followed a link."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    message_id: str = ""
    journey_id: str = ""
    campaign_id: str = ""
    cart_id: str = ""
    episode_id: str = ""
    customer_id: str = ""
    channel: str = ""  # email, sms, push, whatsapp.
    step: int = 0  # Index of the campaign's step, from 0.
    attempt: int = 1  # From 1.
    address_hash: str = ""
    url: str = ""
    machine: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageBounced:
    """It came back."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    message_id: str = ""
    journey_id: str = ""
    campaign_id: str = ""
    cart_id: str = ""
    episode_id: str = ""
    customer_id: str = ""
    channel: str = ""  # email, sms, push, whatsapp.
    step: int = 0  # Index of the campaign's step, from 0.
    attempt: int = 1  # From 1.
    address_hash: str = ""
    kind: str = ""  # permanent or temporary.
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageComplained:
    """The recipient called it spam."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    message_id: str = ""
    journey_id: str = ""
    campaign_id: str = ""
    cart_id: str = ""
    episode_id: str = ""
    customer_id: str = ""
    channel: str = ""  # email, sms, push, whatsapp.
    step: int = 0  # Index of the campaign's step, from 0.
    attempt: int = 1  # From 1.
    address_hash: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageUnsubscribed:
    """The recipient unsubscribed by it."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    message_id: str = ""
    journey_id: str = ""
    campaign_id: str = ""
    cart_id: str = ""
    episode_id: str = ""
    customer_id: str = ""
    channel: str = ""  # email, sms, push, whatsapp.
    step: int = 0  # Index of the campaign's step, from 0.
    attempt: int = 1  # From 1.
    address_hash: str = ""
    via: str = ""  # link, one_click, reply, provider.


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDeferred:
    """It may not go now: to be planned anew."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    message_id: str = ""
    journey_id: str = ""
    campaign_id: str = ""
    cart_id: str = ""
    episode_id: str = ""
    customer_id: str = ""
    channel: str = ""  # email, sms, push, whatsapp.
    step: int = 0  # Index of the campaign's step, from 0.
    attempt: int = 1  # From 1.
    address_hash: str = ""
    until: int = 0
    rule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRefused:
    """It may not go at all."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    message_id: str = ""
    journey_id: str = ""
    campaign_id: str = ""
    cart_id: str = ""
    episode_id: str = ""
    customer_id: str = ""
    channel: str = ""  # email, sms, push, whatsapp.
    step: int = 0  # Index of the campaign's step, from 0.
    attempt: int = 1  # From 1.
    address_hash: str = ""
    rule: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageInDoubt:
    """The provider's answer is unknown; never sent again."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    message_id: str = ""
    journey_id: str = ""
    campaign_id: str = ""
    cart_id: str = ""
    episode_id: str = ""
    customer_id: str = ""
    channel: str = ""  # email, sms, push, whatsapp.
    step: int = 0  # Index of the campaign's step, from 0.
    attempt: int = 1  # From 1.
    address_hash: str = ""
    provider: str = ""
    reason: str = ""

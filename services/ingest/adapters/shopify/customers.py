"""Customers: traits, identities, and what they said to being written to."""

from collections.abc import Iterator

from services.ingest.adapters.shopify.message import SOURCE, Message, Webhook
from services.ingest.domain.translation import Translation
from trolleybus.contracts import ids
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.customers import CustomerUpdated

_TRAITS = ("tags", "orders_count", "total_spent", "state", "note")


def customer(webhook: Webhook) -> Translation:
    """CustomerUpdated, IdentitiesLinked under the key of each identity, ConsentChanged for each word."""
    root = webhook.root
    message = webhook.of_person(root)
    message.require(root.id("id"), "id", "a customer has an id")
    draft = message.draft
    traits = {name: root.text(name) for name in _TRAITS}
    updated = CustomerUpdated(
        **draft.stamp("CustomerUpdated", message.occurred_at),
        anonymous_id=message.anonymous_id,
        email=draft.email,
        phone=draft.phone,
        first_name=root.text("first_name"),
        last_name=root.text("last_name"),
        properties={name: value for name, value in traits.items() if value},
        **draft.place,
    )
    return message.translation(updated, *draft.links(message.occurred_at, "identify"), *_words(message))


def revoked(message: Message, occurred_at: int, evidence: str) -> Iterator[ConsentChanged]:
    """A person's no on every channel of the addresses that are known."""
    for channel, kind in (("email", "email"), ("sms", "phone"), ("whatsapp", "phone")):
        if address := {"email": message.draft.email, "phone": message.draft.phone}[kind]:
            yield _word(
                message, channel, kind, address, state="revoked", by="person", at=occurred_at, evidence=evidence
            )


def _words(message: Message) -> Iterator[ConsentChanged]:
    """An unsubscription is taken for the person's own no. A subscription is Shopify's account of a yes, a sync: it counts
    as a grant, and never undoes a no that the person said."""
    for channel, kind, address in (("email", "email", message.draft.email), ("sms", "phone", message.draft.phone)):
        said = message.root.inner(f"{channel}_marketing_consent")
        state = said.text("state").lower()
        if not address or state not in {"subscribed", "unsubscribed", "redacted", "invalid"}:
            continue
        at = said.time("consent_updated_at")
        evidence = f"Shopify: {state}, {said.text('opt_in_level') or 'unknown opt-in level'}"
        if source := said.text("consent_collected_from"):
            evidence += f", collected from {source}"
        if state == "subscribed":
            # A yes without a date must not be newer than a no: it counts from when the customer was first known.
            at = at if at is not None else message.root.time("created_at")
            if at is None:
                said.leave_out("consent_updated_at", "a subscription without a date is left out")
                continue
            yield _word(message, channel, kind, address, state="granted", by="sync", at=at, evidence=evidence)
        else:
            by = "shop" if state == "invalid" else "person"
            at = at if at is not None else message.occurred_at
            yield _word(message, channel, kind, address, state="revoked", by=by, at=at, evidence=evidence)


def _word(
    message: Message, channel: str, kind: str, address: str, *, state: str, by: str, at: int, evidence: str
) -> ConsentChanged:
    draft = message.draft
    store_id, received_at = draft.arrival.store.store_id, draft.arrival.received_at
    return ConsentChanged(
        id=ids.record_of(draft.event_id, "ConsentChanged", channel),
        store_id=store_id,
        occurred_at=max(1, min(at, received_at)),
        received_at=received_at,
        imported=draft.arrival.imported,
        source=SOURCE,
        source_event_id=draft.source_event_id,
        channel=channel,
        address_hash=draft.arrival.hasher.hash(store_id, kind, address),
        state=state,
        by=by,
        evidence=evidence,
        customer_id=draft.key,
    )

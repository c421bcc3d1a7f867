"""What every Segment message has: who, when, in what context, and whether it is meant for this installation."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.ingest.adapters.draft import Draft, Named
from services.ingest.adapters.fields import Fields
from services.ingest.adapters.seam import Arrival, Refused
from services.ingest.domain.clock import YEAR_MS, event_time
from services.ingest.domain.translation import Canonical, Flaw, Translation

SOURCE = "segment"
TYPES = ("track", "identify", "page", "screen", "alias", "group")
DESTINATION = "Trolleybus"
"""Our name among a message's integrations."""

_NOBODY = Flaw("/userId", "name the shopper by userId or anonymousId")
_UNREPEATABLE = Flaw("/messageId", "without messageId or timestamp, two messages that are alike count once")


@dataclass(frozen=True, slots=True)
class Message:
    """One message on its way to records."""

    root: Fields
    properties: Fields
    context: Fields
    traits: Fields
    draft: Draft
    occurred_at: int  # Corrected, not after the arrival.
    cart_time: int  # The same for carts, which no event of another year concerns.
    marks: tuple[str, ...]
    is_wanted: bool  # Whether its integrations let it come here.

    def require_somebody(self) -> None:
        if not self.draft.key:
            raise Refused(_NOBODY)

    def translation(self, kind: str, *records: Canonical) -> Translation:
        self.draft.refuse_flawed()
        return self.draft.translation(kind, records)

    def left_aside(self, kind: str) -> Translation:
        """Taken and counted; no record comes of it."""
        return self.translation(kind)


def message_of(payload: Mapping[str, object], kind: str, arrival: Arrival) -> Message:
    """The message's common part; nothing in it is refused."""
    left_out: list[Flaw] = []
    root = Fields(payload, "", left_out)
    context = root.inner("context")
    properties = root.inner("properties")
    # On an identify call the traits are the message; on others the library adds what it remembers.
    traits = root.inner("traits") if kind == "identify" else context.inner("traits")
    occurred_at, sent_at = _times(root)
    own_id = root.id("messageId", "message_id")
    if not own_id and occurred_at is None and not arrival.fallback_id:
        left_out.append(_UNREPEATABLE)
    named = _named(root, context, properties, traits, kind, own_id=own_id, occurred_at=occurred_at, sent_at=sent_at)
    draft = Draft(SOURCE, named, arrival)
    left_out += draft.left_out
    draft.left_out = left_out  # One list from here on, whoever reads.
    received_at = arrival.received_at
    return Message(
        root=root,
        properties=properties,
        context=context,
        traits=traits,
        draft=draft,
        occurred_at=event_time(occurred_at, draft.sent_at, received_at),
        cart_time=event_time(occurred_at, draft.sent_at, received_at, received_at - YEAR_MS),
        marks=draft.marks(context.text("userAgent")),
        is_wanted=_is_wanted(root.inner("integrations").values),
    )


def _named(
    root: Fields,
    context: Fields,
    properties: Fields,
    traits: Fields,
    kind: str,
    *,
    own_id: str,
    occurred_at: int | None,
    sent_at: int | None,
) -> Named:
    user_id = root.id("userId", "user_id")
    anonymous_id = root.id("anonymousId", "anonymous_id")
    email, phone, address = (
        _first(traits, properties, "email"),
        _first(traits, properties, "phone"),
        traits.inner("address"),
    )
    locale = traits if traits.has("locale", "language") else context
    zone = traits if traits.has("timezone", "timeZone") else context
    places = {
        "email": email.where("email"),
        "phone": phone.where("phone"),
        "country": address.where("country"),
        "locale": locale.where("locale", "language"),
        "time_zone": zone.where("timezone", "timeZone"),
    }
    address_text = email.text("email")
    customer_id = user_id
    if "@" in user_id:  # An address in the place of an id: ids stand on every topic in clear, addresses must not.
        customer_id = ""
        if not address_text:
            address_text, places["email"] = user_id, "/userId"
    checkout = properties.id("checkout_id", "checkoutId") if kind == "track" else ""
    device = context.inner("device").id("id") if kind in {"identify", "alias"} else ""
    return Named(
        channel="messages",
        own_id=own_id,
        occurred_at=occurred_at,
        sent_at=sent_at,
        customer_id=customer_id,
        anonymous_id=anonymous_id,
        email=address_text,
        phone=phone.text("phone"),
        locale=locale.text("locale", "language"),
        country=address.text("country") if kind == "identify" else "",
        time_zone=zone.text("timezone", "timeZone"),
        tokens=tuple((name, value) for name, value in (("checkout", checkout), ("device", device)) if value),
        places=places,
    )


def _first(traits: Fields, properties: Fields, name: str) -> Fields:
    return properties if properties.has(name) else traits


def _times(root: Fields) -> tuple[int | None, int | None]:
    """When it happened and when it was sent, by the sender's clock.

    A message with receivedAt went through Segment, which has corrected its timestamp.
    """
    if root.has("receivedAt"):
        return root.time("timestamp", "originalTimestamp"), None
    return root.time("originalTimestamp", "timestamp"), root.time("sentAt")


def _is_wanted(integrations: Mapping[str, object]) -> bool:
    if DESTINATION in integrations:
        return bool(integrations[DESTINATION])
    return integrations.get("All") is not False

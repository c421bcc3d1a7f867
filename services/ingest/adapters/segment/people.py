"""Identify and alias calls: who a shopper is, and who was the same one all along."""

from collections.abc import Mapping

from services.ingest.adapters.fields import Fields
from services.ingest.adapters.seam import Refused
from services.ingest.adapters.segment.message import Message
from services.ingest.domain.people import Identity, Person, identities_of
from services.ingest.domain.translation import Canonical, Flaw, Translation
from trolleybus.contracts.customers import CustomerUpdated
from trolleybus.contracts.identity import BadIdentity, normalise_email

MOST_PROPERTIES = 50
LONGEST_NAME = 100

# What has a field of its own, or is more than reminders need to know of a person.
_OWN = frozenset(
    {
        *("email", "phone", "name", "firstName", "first_name", "lastName", "last_name", "id", "address"),
        *("locale", "language", "timezone", "timeZone", "avatar", "birthday", "age", "gender", "description"),
    }
)


def identified(message: Message) -> Translation:
    """CustomerUpdated for what was told, IdentitiesLinked where the call names more than one identity."""
    if not message.is_wanted:
        return message.left_aside("identify")
    message.require_somebody()
    draft, traits = message.draft, message.traits
    first, last = _names(traits)
    properties, removed = _properties(traits)
    updated = CustomerUpdated(
        **draft.stamp("CustomerUpdated", message.occurred_at),
        anonymous_id=message.root.id("anonymousId", "anonymous_id"),
        email=draft.email,
        phone=draft.phone,
        first_name=first,
        last_name=last,
        properties=properties,
        removed=removed,
        **draft.place,
    )
    records: list[Canonical] = [updated, *draft.links(message.occurred_at, "identify")]
    return message.translation("identify", *records)


def merged(message: Message) -> Translation:
    """IdentitiesLinked between the former id, be it a visitor's or a customer's, and the one from now on."""
    if not message.is_wanted:
        return message.left_aside("alias")
    former = message.root.id("previousId", "previous_id")
    if not former:
        raise Refused(Flaw("/previousId", "alias names the id that the shopper had before"))
    message.require_somebody()
    draft = message.draft
    known = draft.identities
    draft.identities = (*known, *(one for one in _former(message, former) if one not in known))
    return message.translation("alias", *draft.links(message.occurred_at, "merge"))


def _former(message: Message, former: str) -> tuple[Identity, ...]:
    store_id = message.draft.arrival.store.store_id
    if "@" in former:
        try:
            person = Person(store_id=store_id, email=normalise_email(former))
        except BadIdentity as error:
            raise Refused(Flaw("/previousId", str(error))) from None
    else:
        person = Person(store_id=store_id, customer_id=former, anonymous_id=former)
    return identities_of(person, message.draft.arrival.hasher)


def _names(traits: Fields) -> tuple[str, str]:
    first, last = traits.text("firstName", "first_name"), traits.text("lastName", "last_name")
    if first or last:
        return first, last
    first, _, last = traits.text("name").partition(" ")
    return first, last.strip()


def _properties(traits: Fields) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Other traits that are one value each, and the names of those that were taken away by null."""
    kept: dict[str, str] = {}
    removed: list[str] = []
    for name, value in traits.values.items():
        if name in _OWN or not name or len(name) > LONGEST_NAME or not name.isprintable():
            continue
        if value is None:
            removed.append(name)
        elif isinstance(value, bool):
            kept[name] = "true" if value else "false"
        elif isinstance(value, str | int | float) and (text := traits.text(name)):
            kept[name] = text
    if len(kept) > MOST_PROPERTIES:
        traits.leave_out("", f"only the first {MOST_PROPERTIES} traits are kept")
    return dict(list(kept.items())[:MOST_PROPERTIES]), tuple(removed[:MOST_PROPERTIES])

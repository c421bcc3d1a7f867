"""How an event is tied to its shopper's cart and person, and what it shows of them."""

from collections.abc import Mapping
from dataclasses import replace

from services.ingest.domain.people import Identity
from services.ingest.domain.persons import Standing
from services.ingest.domain.remembering import Sighting
from services.ingest.domain.sealed import Event, Sealed
from services.ingest.domain.translation import Canonical, Translation
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.customers import CustomerUpdated, IdentitiesLinked
from trolleybus.contracts.orders import OrderChanged, OrderPlaced
from trolleybus.contracts.privacy import PrivacyRequested


def tied(translation: Translation, open_cart: str | None) -> Translation:
    """The same, of the shopper's open cart; where none is known, of the event's own, else of one that stands for the
    shopper. Ids stay."""
    if not translation.wants_cart:
        return translation
    key = next(record.customer_id for record in translation.records if isinstance(record, CartActivity))
    cart_id = open_cart or translation.own_cart or f"shopper:{key}"
    records: list[Canonical] = []
    for record in translation.records:
        match record:
            case CartActivity(cart_id=""):
                records.append(replace(record, cart_id=cart_id))
            case OrderPlaced(cart_id="") if open_cart:
                records.append(replace(record, cart_id=cart_id))
            case _:
                records.append(record)
    return replace(translation, records=tuple(records))


def settled(translation: Translation, standing: Standing) -> Translation:
    """The same, as far as the map knows its shopper: an order names all identities of its buyer, and where a device has
    passed to another customer its former one is not named. Ids stay."""
    one = _parted(translation, standing.stand_ins) if standing.stand_ins else translation
    one = tied(one, standing.open_cart or None)
    if standing.identities and any(isinstance(record, OrderPlaced) for record in one.records):
        return replace(one, records=tuple(_naming_all(record, standing.identities) for record in one.records))
    return one


def settled_event(event: Event, standing: Standing) -> Event:
    """The same for what may be bytes already, which stay where nothing of them changes."""
    if isinstance(event, Translation):
        return settled(event, standing)
    return settled(event.long_form(), standing) if standing.stand_ins else event


def sighting_of(event: Event) -> Sighting | None:
    """What an accepted event shows, once it is settled; None where it names nobody, or who asks about privacy: whoever wants
    to be forgotten is not learned anew."""
    identities = event.identities
    if not identities:
        return None
    if isinstance(event, Sealed):
        return Sighting(identities, event.cart_id, False, event.occurred_at)
    for record in event.records:
        if isinstance(record, CartActivity):
            return Sighting(identities, record.cart_id, record.kind == "order_placed", record.occurred_at)
        if isinstance(record, PrivacyRequested):
            return None
    if not event.records or len(identities) < 2:
        return None
    return Sighting(identities, "", False, event.records[0].occurred_at)


def sighting_for_today(event: Event) -> Sighting | None:
    """As sighting_of, for the map of what shoppers do now: nobody is busy with a cart of the past."""
    sighting = sighting_of(event)
    if sighting is None or isinstance(event, Sealed) or not event.records[0].imported:
        return sighting
    return sighting._replace(cart_id="", ends_cart=False) if len(sighting.identities) > 1 else None


def _naming_all(record: Canonical, identities: tuple[str, ...]) -> Canonical:
    if not isinstance(record, OrderPlaced):
        return record
    return replace(record, identities=tuple(dict.fromkeys((*record.identities, *identities))))


def _parted(translation: Translation, stand_ins: Mapping[str, tuple[Identity, Identity]]) -> Translation:
    """In every record the present login stands in the place of an identity that another customer has."""
    hashes = {foreign.hash: login.hash for foreign, login in stand_ins.values()}
    keys = {foreign.key: login.key for foreign, login in stand_ins.values()}
    records: list[Canonical] = []
    for record in translation.records:
        match record:
            case IdentitiesLinked():
                linked = _renamed(record.identities, hashes)
                if len(linked) > 1:
                    key = keys.get(record.customer_id, record.customer_id)
                    records.append(replace(record, identities=linked, customer_id=key))
            case CartActivity() | OrderPlaced() | OrderChanged() | CustomerUpdated():
                key = keys.get(record.customer_id, record.customer_id)
                records.append(replace(record, identities=_renamed(record.identities, hashes), customer_id=key))
            case ConsentChanged():
                records.append(replace(record, customer_id=keys.get(record.customer_id, record.customer_id)))
            case _:
                records.append(record)
    return replace(translation, records=tuple(records))


def _renamed(identities: tuple[str, ...], names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names.get(one, one) for one in identities))

"""What an adapter makes of one source event, and how it is tied to a cart afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.ingest.domain.people import Identity
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.customers import CustomerUpdated, IdentitiesLinked
from trolleybus.contracts.orders import OrderChanged, OrderPlaced
from trolleybus.contracts.privacy import PrivacyRequested
from trolleybus.contracts.products import Product

Canonical = (
    CartActivity
    | OrderPlaced
    | OrderChanged
    | CustomerUpdated
    | IdentitiesLinked
    | ConsentChanged
    | PrivacyRequested
    | Product
)


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with part of an event: a JSON pointer into it, and why."""

    field: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """The records of one source event. `kind` is the source's word for it, from a closed list."""

    event_id: str
    kind: str
    records: tuple[Canonical, ...]
    identities: tuple[Identity, ...] = ()
    left_out: tuple[Flaw, ...] = ()
    closes_cart: bool = False
    own_cart: str = ""
    """What the event itself calls the cart, where a better name may be known: a checkout's token."""

    @property
    def cart_id(self) -> str:
        """The cart that the event named; "" where it named none or concerns none."""
        return next((record.cart_id for record in self.records if isinstance(record, CartActivity)), "")

    @property
    def wants_cart(self) -> bool:
        """Whether a cart is to be found for it: it concerns one and named none."""
        return any(isinstance(record, CartActivity) and not record.cart_id for record in self.records)


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


def tied_in_turn(translations: Sequence[Translation], open_carts: Sequence[str | None]) -> list[Translation]:
    """Ties each event of one request; one that names its cart tells those after it which is open."""
    seen: dict[str, str | None] = {}
    done = []
    for translation, known in zip(translations, open_carts, strict=True):
        hashes = [identity.hash for identity in translation.identities]
        newer = [seen[one] for one in hashes if one in seen]
        one_tied = tied(translation, newer[0] if newer else known)
        if one_tied.cart_id:
            seen.update(dict.fromkeys(hashes, None if one_tied.closes_cart else one_tied.cart_id))
        done.append(one_tied)
    return done

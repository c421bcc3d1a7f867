"""What an adapter makes of one source event."""

from services.ingest.domain.people import Identity
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.customers import CustomerUpdated, IdentitiesLinked
from trolleybus.contracts.frozen import dataclass
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

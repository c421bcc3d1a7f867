"""What the log says of shoppers, as the gateway saw it when it wrote it."""

from services.ingest.domain.people import Identity
from services.ingest.domain.remembering import STRENGTH, Sighting, kind_of
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.customers import CustomerUpdated, IdentitiesLinked
from trolleybus.contracts.identity import IdentityHasher
from trolleybus.contracts.records import Record

TOPICS = ("customer.updates", "cart.activity")
"""Orders tell nothing more: their identities are linked on the one, the carts that they end are on the other."""


def sighting_in(record: Record, hasher: IdentityHasher) -> Sighting | None:
    """None where a record tells the map nothing.

    Cart activity carries its device's id in clear; where the record's identities leave it out, the device had passed to
    another customer.
    """
    if not isinstance(record, CartActivity | CustomerUpdated | IdentitiesLinked):
        return None
    # Nobody is busy with a cart of the past.
    cart_id = record.cart_id if isinstance(record, CartActivity) and not record.imported else ""

    def key_of(hashed: str) -> str:
        """Ids of customers stand in clear only where they are the record's key; addresses in their place never do."""
        key = record.customer_id
        return key if key == hashed or (key and hasher.hash(record.store_id, "customer", key) == hashed) else ""

    identities = [
        Identity(kind, one, key_of(one) if kind == "customer" else one)
        for one in record.identities
        if (kind := kind_of(one)) in STRENGTH
    ]
    if isinstance(record, CartActivity) and record.anonymous_id:
        device = hasher.hash(record.store_id, "anonymous", record.anonymous_id)
        if device not in record.identities:
            identities.append(Identity("anonymous", device, record.anonymous_id))
    if not identities or (not cart_id and len(identities) < 2):
        return None
    ends = isinstance(record, CartActivity) and record.kind == "order_placed"
    return Sighting(tuple(identities), cart_id, ends, record.occurred_at)

"""What people and stores may ask about the data that is kept of them (privacy.requests).

Times are milliseconds since the epoch, UTC. An empty value means absent. The schemas are the source of truth.
"""

from trolleybus.contracts.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyRequested:
    """A person, or a store, asks to see or to erase what is known of them."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    received_at: int = 0
    source: str = ""
    source_event_id: str = ""
    kind: str = ""  # access, erasure, store_erasure.
    reference: str = ""  # The source's own number of the request.
    customer_id: str = ""  # Empty where the request is of the whole store.
    identities: tuple[str, ...] = ()
    order_ids: tuple[str, ...] = ()
    due_at: int = 0  # By when it has to be done.

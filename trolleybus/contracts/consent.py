"""A person's word on being written to (consent).

Times are milliseconds since the epoch, UTC. An empty value means absent. The schemas are the source of truth.
"""

from trolleybus.contracts.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentChanged:
    """A person's word on a channel: granted or revoked."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    received_at: int = 0
    source: str = ""
    source_event_id: str = ""
    channel: str = ""  # email, sms, push, whatsapp.
    address_hash: str = ""  # Identity hash of the address.
    state: str = ""  # granted or revoked.
    by: str = ""  # person, shop or sync.
    evidence: str = ""  # What shows a grant: form, text shown, IP-free reference.
    customer_id: str = ""

"""Stores and their settings (stores).

Times are milliseconds since the epoch, UTC. An empty value means absent. The schemas are the source of truth.
"""

from trolleybus.contracts.frozen import dataclass

SCOPES_OF_KIND = {
    "write": frozenset({"carts", "customers", "segment"}),  # Public: stands in the shop's pages.
    "secret": frozenset(
        {"carts", "customers", "orders", "products", "integrations", "segment", "imports", "analytics"}
    ),
}
"""What a key of a kind may do; its own scopes narrow it."""


def scopes_of(key: "StoreKey") -> frozenset[str]:
    """What the key may do."""
    of_kind = SCOPES_OF_KIND.get(key.kind, frozenset())
    return of_kind & frozenset(key.scopes) if key.scopes else of_kind


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreKey:
    """One API key of a store; only its hash is known."""

    key_id: str = ""
    kind: str = ""  # write or secret.
    hash: str = ""  # SHA-256 of the key, hex.
    scopes: tuple[str, ...] = ()  # Empty: all that its kind may.
    created_at: int = 0
    expires_at: int = 0  # 0: does not expire.


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderIdentity:
    """Whom a channel's messages come from."""

    channel: str = ""
    address: str = ""
    name: str = ""
    reply_to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """A store's settings; each change is a new version."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    version: int = 0  # From 1.
    name: str = ""
    currency: str = ""  # ISO 4217.
    time_zone: str = ""  # IANA name.
    language: str = ""  # BCP 47.
    country: str = ""  # ISO 3166 alpha-2.
    levels: tuple[int, ...] = ()  # Seconds of silence, ascending.
    expiry_seconds: int = 2592000  # A cart silent this long is forgotten.
    detection_from: int = 0  # No level whose due time is before this fires.
    keys: tuple[StoreKey, ...] = ()
    origins: tuple[str, ...] = ()  # Browser origins that may use the write key.
    shop_url: str = ""
    restore_url: str = ""  # Link that restores a cart; {cart_id} is replaced.
    senders: tuple[SenderIdentity, ...] = ()
    postal_address: str = ""
    email_consent_basis: str = "grant"  # grant (default) or soft_opt_in.
    quiet_from_minute: int = 0  # Start of quiet hours, minute of the recipient's day.
    quiet_to_minute: int = 0  # End of quiet hours; equal to the start: none.
    cap_messages: int = 0  # Marketing messages a person may get in the cap's period; 0: no cap.
    cap_seconds: int = 0  # The cap's period.
    active: bool = True
    unmarked: tuple[str, ...] = ()  # Marks that the gateway does not set for this store: bot, incomplete.
    events_per_second: int = 0  # What the gateway takes of each kind of event a second; 0: the installation's rate.

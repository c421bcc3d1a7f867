"""Customers: changes, links between identities, profiles.

Times are milliseconds since the epoch, UTC. An empty value means absent. The schemas are the source of truth.
"""

from collections.abc import Mapping
from dataclasses import field

from trolleybus.contracts.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerUpdated:
    """Traits of a customer that changed; an empty trait did not change."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    received_at: int = 0
    source: str = ""
    source_event_id: str = ""
    customer_id: str = ""
    identities: tuple[str, ...] = ()
    anonymous_id: str = ""
    email: str = ""  # Normalised.
    phone: str = ""  # E.164.
    first_name: str = ""
    last_name: str = ""
    locale: str = ""  # BCP 47.
    time_zone: str = ""  # IANA name.
    country: str = ""  # ISO 3166 alpha-2.
    properties: Mapping[str, str] = field(default_factory=dict)  # Other traits.
    removed: tuple[str, ...] = ()  # Names of traits taken away.


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitiesLinked:
    """Identities that belong to one person; written under the key of each."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    received_at: int = 0
    source: str = ""
    source_event_id: str = ""
    customer_id: str = ""
    identities: tuple[str, ...] = ()
    reason: str = ""  # identify, checkout, login, merge.


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerProfile:
    """A customer, whole."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    customer_id: str = ""
    identities: tuple[str, ...] = ()
    anonymous_id: str = ""
    email: str = ""  # Normalised.
    phone: str = ""  # E.164.
    first_name: str = ""
    last_name: str = ""
    locale: str = ""  # BCP 47.
    time_zone: str = ""  # IANA name.
    country: str = ""  # ISO 3166 alpha-2.
    properties: Mapping[str, str] = field(default_factory=dict)  # Other traits.
    first_seen_at: int = 0

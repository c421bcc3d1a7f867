"""What every adapter gets and gives, whatever the source.

An adapter is one pure module: a validated payload and its Arrival in, a Translation out, or Refused.
"""

from collections.abc import Callable, Sequence

from services.ingest.domain.translation import Flaw
from trolleybus.contracts import ids
from trolleybus.contracts.frozen import dataclass
from trolleybus.contracts.identity import IdentityHasher
from trolleybus.contracts.stores import StoreConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How an event came in. Times in ms since the epoch."""

    store: StoreConfig
    hasher: IdentityHasher
    received_at: int
    sent_at: int | None = None  # Of the batch, by the sender's clock.
    is_public: bool = True  # Sent with a key that anyone can read in the shop's pages.
    user_agent: str = ""  # Of the shopper, where the shopper's own browser sent it.
    country: str = ""  # Where the shopper is, as the proxy before the gateway or the address says (ISO 3166 alpha-2).
    is_crowd: bool = False  # From an address that more comes from than people send.
    fallback_id: str = ""  # Idempotency-Key and index, else "".
    raw_hash: Callable[[], str] = str  # Of the event as it was sent, without its time of sending.
    imported: bool = False  # From the past: received_at is when it arrived then.

    @property
    def link_hosts(self) -> tuple[str, ...]:
        """Where links that will stand in messages must lie; () for anywhere: whoever holds a secret key may say."""
        return (self.store.shop_url, *self.store.origins) if self.is_public else ()


class Refused(Exception):
    """The event cannot become a record: fields (JSON pointers into it) and reasons."""

    def __init__(self, *errors: Flaw) -> None:
        super().__init__("; ".join(f"{error.field}: {error.detail}" for error in errors))
        self.errors: Sequence[Flaw] = errors


def event_id(arrival: Arrival, source: str, channel: str, own_id: str) -> str:
    """The event's id: from the source's own id, else the request's Idempotency-Key, else the event as it was sent.

    Never from its arrival or its cart, so that a retry carries the same. The channel (carts, orders, …) keeps apart the
    numbers that a shop gives to different things.
    """
    if own_id:
        basis = f"id:{own_id}"
    elif arrival.fallback_id:
        basis = f"key:{arrival.fallback_id}"
    else:
        basis = f"raw:{arrival.raw_hash()}"
    return ids.source_event(arrival.store.store_id, source, f"{channel}:{basis}")

"""Whether a message may go at this moment. Each refusal and each deferral has the name of its rule."""

from __future__ import annotations

from dataclasses import dataclass

from services.messaging.domain.quiet import quiet_until, zone
from services.messaging.domain.states import State
from trolleybus.contracts.permission import Permission, may_market
from trolleybus.contracts.stores import SenderIdentity, StoreConfig

MARKETING = "marketing"
NOBODY = SenderIdentity()
SILENCE = Permission()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order of the message's cart or person; the latest time that anyone gave for it."""

    order_id: str
    placed_at: int
    of_the_cart: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A message that is due, as far as the rules need it."""

    message_id: str
    store_id: str
    channel: str = "email"
    purpose: str = MARKETING
    attempt: int = 1
    cart_id: str = ""
    purchase_since: int = 0
    expires_at: int = 0
    time_zone: str = ""
    sender: SenderIdentity = NOBODY
    address: str = ""
    has_content: bool = True

    @property
    def is_marketing(self) -> bool:
        """Anything that does not say it is transactional."""
        return self.purpose != "transactional"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the gate knows of a candidate behind its barrier."""

    store: StoreConfig | None
    held: bool = False
    withdrawn: bool = False
    transport: bool = True  # Something here can send on its channel.
    earlier: tuple[State, ...] = ()  # Of attempts 1 to n-1, those that are known here.
    order: Order | None = None  # The latest.
    permission: Permission = SILENCE
    suppressed: str = ""  # Why the address gets nothing any more.
    sent_within_cap: int = 0  # Marketing messages that the person got or may get within the cap's period.
    cap_frees_at: int = 0  # When the oldest that stands in the way leaves the period.


@dataclass(frozen=True, slots=True)
class Go:
    """It may be claimed; whom it comes from."""

    sender: SenderIdentity


@dataclass(frozen=True, slots=True)
class Wait:
    """It stays queued."""

    reason: str


@dataclass(frozen=True, slots=True)
class Defer:
    """It may not go before a time (ms): to be planned anew."""

    until: int
    rule: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """It may not go at all."""

    rule: str
    detail: str = ""


Verdict = Go | Wait | Defer | Refuse


def decide(candidate: Candidate, facts: Facts, now: int) -> Verdict:
    """The first rule that speaks, from what settles a message for good to what only delays it."""
    sender = sender_of(candidate, facts.store)
    for verdict in (
        _ended(candidate, facts, now),
        _not_yet(candidate, facts),
        _cannot(candidate, facts, sender),
        _bought(candidate, facts),
        _unwanted(candidate, facts),
        _not_now(candidate, facts, now),
    ):
        if verdict is not None:
            return verdict
    return Go(sender)


def sender_of(candidate: Candidate, store: StoreConfig | None) -> SenderIdentity:
    """The request's sender, else the store's for the channel."""
    if candidate.sender.address:
        return candidate.sender
    for identity in store.senders if store else ():
        if identity.channel == candidate.channel and identity.address:
            return identity
    return NOBODY


def _ended(candidate: Candidate, facts: Facts, now: int) -> Verdict | None:
    if facts.withdrawn:
        return Refuse("withdrawn", "campaigns took it back")
    if candidate.expires_at and now >= candidate.expires_at:
        return Refuse("expired")
    return None


def _not_yet(candidate: Candidate, facts: Facts) -> Verdict | None:
    if facts.store is None:
        return Wait("the store is not known yet")
    if not facts.store.active:
        return Wait("the store is not active")
    if facts.held:
        return Wait("the store is held: a record behind the barrier could not be read")
    return _attempts(candidate, facts)


def _attempts(candidate: Candidate, facts: Facts) -> Verdict | None:
    """Only Deferred(n) makes attempt n+1."""
    if State.SENT in facts.earlier:
        return Refuse("already_sent", "an earlier attempt went out")
    if State.REFUSED in facts.earlier:
        return Refuse("already_refused", "an earlier attempt was refused")
    if any(state is not State.DEFERRED for state in facts.earlier) or len(facts.earlier) != candidate.attempt - 1:
        return Wait("an earlier attempt is not settled")
    return None


def _cannot(candidate: Candidate, facts: Facts, sender: SenderIdentity) -> Verdict | None:
    if not facts.transport:
        return Refuse("no_transport", f"nothing here sends on channel {candidate.channel!r}")
    if not candidate.address:
        return Refuse("no_address")
    if not candidate.has_content:
        return Refuse("no_content")
    if not sender.address:
        return Refuse("no_sender", f"the store has no sender identity for {candidate.channel}")
    return None


def _bought(candidate: Candidate, facts: Facts) -> Verdict | None:
    """P3. A cancelled order counts: whoever ordered and cancelled is not to be told that they forgot something."""
    asks = bool(candidate.cart_id or candidate.purchase_since)
    if asks and facts.order is not None and facts.order.placed_at >= candidate.purchase_since:
        whose = "cart" if facts.order.of_the_cart else "person"
        return Refuse("purchase", f"order {facts.order.order_id} of that {whose}")
    return None


def _unwanted(candidate: Candidate, facts: Facts) -> Verdict | None:
    if facts.suppressed:
        return Refuse("suppressed", facts.suppressed)
    store = facts.store
    if candidate.is_marketing and not may_market(
        facts.permission, candidate.channel, store.email_consent_basis if store else ""
    ):
        return Refuse("consent_revoked" if facts.permission.state() else "no_consent")
    return None


def _not_now(candidate: Candidate, facts: Facts, now: int) -> Verdict | None:
    store = facts.store
    if store is None or not candidate.is_marketing:
        return None
    until = quiet_until(now, zone(candidate.time_zone, store.time_zone), store.quiet_from_minute, store.quiet_to_minute)
    if until:
        return Defer(until, "quiet_hours")
    if store.cap_messages and store.cap_seconds and facts.sent_within_cap >= store.cap_messages:
        detail = f"{facts.sent_within_cap} messages within {store.cap_seconds} s"
        if not facts.cap_frees_at or (candidate.expires_at and facts.cap_frees_at >= candidate.expires_at):
            return Refuse("frequency_cap", detail)
        return Defer(max(facts.cap_frees_at, now + 1), "frequency_cap")
    return None

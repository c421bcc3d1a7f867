"""Ids that come from what caused a record, so that the same cause always gives the same id."""

from hashlib import sha1
from uuid import UUID

NAMESPACE = UUID("6f1c3b0a-7a52-5d0e-9f65-3c1f5b1f8d21")
"""The installation-independent root of every derived id. Changing it changes every id."""

_ROOT = NAMESPACE.bytes
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def derived_id(*parts: str | int) -> str:
    """UUID version 5 (RFC 9562, 5.5) of the parts; each is length-prefixed, so no two lists of parts collide."""
    return _version_5("".join([f"{len(text := str(part))}:{text}" for part in parts]))


def source_event(store_id: str, source: str, source_event_id: str) -> str:
    """One event of a source, as the gateway received it; its records' ids are made from this."""
    # derived_id("event", …), written out: the gateway makes one for each event.
    return _version_5(
        f"5:event{len(store_id)}:{store_id}{len(source)}:{source}{len(source_event_id)}:{source_event_id}"
    )


def record_of(cause_id: str, record: str, ordinal: int | str = 0) -> str:
    """A record that the gateway made of a source event; the ordinal tells apart several of a kind."""
    which = str(ordinal)
    return _version_5(f"6:record{len(cause_id)}:{cause_id}{len(record)}:{record}{len(which)}:{which}")


def episode(store_id: str, cart_id: str, opening_record_id: str) -> str:
    """One run of a cart, from the record that put the first item in."""
    return derived_id("episode", store_id, cart_id, opening_record_id)


def abandonment(episode_id: str, level_seconds: int) -> str:
    """CartAbandoned: one for each episode and level."""
    return derived_id("abandoned", episode_id, level_seconds)


def episode_end(episode_id: str, how: str, cause_id: str) -> str:
    """CartResumed, CartCleared, CartRecovered, CartExpired: how, and the record that caused it ("" for none)."""
    return derived_id("episode-end", episode_id, how, cause_id)


def journey(campaign_id: str, episode_id: str) -> str:
    """One cart's way through one campaign."""
    return derived_id("journey", campaign_id, episode_id)


def journey_fact(journey_id: str, kind: str, *causes: str | int) -> str:
    """What campaigns tell of a journey: the kind of record and what distinguishes it."""
    return derived_id("journey-fact", journey_id, kind, *causes)


def message(journey_id: str, step: int, channel: str, attempt: int) -> str:
    """One attempt at one step's message; attempt n+1 exists only after the n-th was deferred."""
    return derived_id("message", journey_id, step, channel, attempt)


def message_fact(message_id: str, kind: str, *causes: str | int) -> str:
    """What became of a message: the kind of record and what distinguishes it (a provider's event id, ...)."""
    return derived_id("message-fact", message_id, kind, *causes)


def _version_5(name: str) -> str:
    digest = sha1(_ROOT + name.encode(), usedforsecurity=False).hexdigest()
    # By hand, because each event and each fact has one: version 5 in the 13th digit, the variant in the 17th.
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{_VARIANT[digest[16]]}{digest[17:20]}-{digest[20:32]}"

"""The states of a message, and the only ways between them.

A message is called at most once with an outcome that may be an acceptance: after `called` only the provider's answer, a
look-up or a person moves it, and never back to where it could be called again unless the provider surely did not take it.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    QUEUED = "queued"
    CLAIMED = "claimed"  # A process holds it under a lease.
    CALLING = "calling"  # Committed just before the provider's call.
    RETRY = "retry"  # The provider surely did not take it; due again later.
    SENT = "sent"
    REFUSED = "refused"
    DEFERRED = "deferred"
    IN_DOUBT = "in_doubt"


class Event(StrEnum):
    CLAIM = "claim"
    REFUSE = "refuse"
    DEFER = "defer"
    RELEASE = "release"  # Its holder gives it back: it was not called.
    CLAIM_EXPIRED = "claim_expired"
    CALL = "call"
    CALL_EXPIRED = "call_expired"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    NOT_ACCEPTED = "not_accepted"
    UNKNOWN = "unknown"
    SETTLED_SENT = "settled_sent"  # By a look-up or a person.
    SETTLED_NOT_SENT = "settled_not_sent"


_MOVES: dict[Event, dict[State, State]] = {
    Event.CLAIM: {State.QUEUED: State.CLAIMED, State.RETRY: State.CLAIMED},
    Event.REFUSE: {State.QUEUED: State.REFUSED, State.RETRY: State.REFUSED, State.CLAIMED: State.REFUSED},
    Event.DEFER: {State.QUEUED: State.DEFERRED, State.RETRY: State.DEFERRED},
    # `calling` may be released by its holder alone, who knows that the call was not begun.
    Event.RELEASE: {State.CLAIMED: State.QUEUED, State.CALLING: State.QUEUED},
    Event.CLAIM_EXPIRED: {State.CLAIMED: State.QUEUED},
    Event.CALL: {State.CLAIMED: State.CALLING},
    Event.CALL_EXPIRED: {State.CALLING: State.IN_DOUBT},
    # The answer to the one call counts even where it comes after the call's lease.
    Event.ACCEPTED: {State.CALLING: State.SENT, State.IN_DOUBT: State.SENT},
    Event.REJECTED: {State.CALLING: State.REFUSED, State.IN_DOUBT: State.REFUSED},
    Event.NOT_ACCEPTED: {State.CALLING: State.RETRY, State.IN_DOUBT: State.REFUSED},
    Event.UNKNOWN: {State.CALLING: State.IN_DOUBT},
    Event.SETTLED_SENT: {State.IN_DOUBT: State.SENT},
    Event.SETTLED_NOT_SENT: {State.IN_DOUBT: State.REFUSED},
}

SETTLED = frozenset({State.SENT, State.REFUSED, State.DEFERRED})
"""Nothing more happens to these."""

MAY_HAVE_GONE = frozenset({State.CLAIMED, State.CALLING, State.SENT, State.IN_DOUBT})
"""These count against a person's cap."""


def after(state: State, event: Event) -> State | None:
    """The next state; None where the event does not move this one."""
    return _MOVES[event].get(state)


def sources(event: Event) -> list[State]:
    """The states that an event moves: the guard of its UPDATE."""
    return list(_MOVES[event])


def target(event: Event, state: State) -> State:
    """As after, for a state that the event is known to move."""
    return _MOVES[event][state]

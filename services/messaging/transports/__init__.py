"""Ways to send: each says what is sure about a call, and nothing more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """An e-mail, ready to be handed over."""

    message_id: str
    store_id: str
    address_hash: str
    sender: str
    recipient: str
    subject: str
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The provider has it."""

    provider_message_id: str
    delivered: bool = False  # It is with the recipient already.


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The provider will never take it."""

    reason: str
    address_at_fault: bool = False  # Nothing will ever reach that address.


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAccepted:
    """The provider surely did not take it, and may later."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Nobody here can say whether the provider took it."""

    reason: str


@dataclass(frozen=True, slots=True)
class TooLate:
    """It was not called: the barrier was too old by the time that it could be."""


Answer = Accepted | Rejected | NotAccepted | Unknown | TooLate
MayBegin = Callable[[], bool]
"""Asked last thing before the mail is handed over."""


class Transport(Protocol):
    """Calls a provider; raises nothing that the provider or the network may cause."""

    @property
    def name(self) -> str: ...

    @property
    def channels(self) -> frozenset[str]: ...

    @property
    def capacity(self) -> int:
        """Calls that may run at once."""
        ...

    async def send(self, mail: Mail, may_begin: MayBegin) -> Answer:
        """One call. Not to be repeated after Accepted, Rejected or Unknown."""
        ...

    async def look_up(self, message_id: str) -> Accepted | None:
        """What the provider has under our own id; None where it does not have it or cannot say."""
        ...

    async def close(self) -> None: ...

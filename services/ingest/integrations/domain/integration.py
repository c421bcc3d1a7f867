"""One integration of a store, and what may be said of its health. Times are ms since the epoch, 0 for never."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

State = Literal["connected", "failing", "disconnected"]

OVERLAP_S = 86_400
"""How long the secret before goes on working after a rotation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretFact:
    """What may be shown of a secret. `valid_until` is 0 while no other has taken its place."""

    secret_id: str
    name: str
    last4: str
    valid_from: int
    valid_until: int = 0

    def is_valid(self, now: int) -> bool:
        return is_valid(self.valid_until, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """As it is stored, but for the secrets themselves."""

    store_id: str
    integration_id: str
    kind: str
    settings: Mapping[str, str]
    connected_at: int
    version: int = 1
    disconnected_at: int = 0
    disconnected_because: str = ""
    last_event_at: int = 0
    last_error: str = ""
    last_error_at: int = 0
    secrets: tuple[SecretFact, ...] = field(default=())

    @property
    def state(self) -> State:
        """Failing while the newest that was heard of it is an error."""
        if self.disconnected_at:
            return "disconnected"
        return "failing" if self.last_error_at > self.last_event_at else "connected"


def is_valid(valid_until: int, now: int) -> bool:
    """From when is not asked: a process whose clock is behind must not refuse the newest secret."""
    return not valid_until or now < valid_until

"""A campaign: which carts it takes, and the steps it writes in."""

from dataclasses import dataclass
from hashlib import sha256

DRAFT = "draft"
ACTIVE = "active"
PAUSED = "paused"
STATUSES = (DRAFT, ACTIVE, PAUSED)

WEEK_S = 7 * 86_400
LARGEST_HOLDOUT = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One message. The delay counts from the entry for the first step, from the step before for the others."""

    delay_seconds: int = 0
    channel: str = "email"
    subject: str = ""
    html: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """Carts enter when the level of `entry_level` seconds fires; a cart at most once in `reentry_seconds`."""

    store_id: str = ""
    campaign_id: str = ""
    name: str = ""
    status: str = DRAFT
    entry_level: int = 0
    reentry_seconds: int = WEEK_S
    holdout_share: float = 0.0
    steps: tuple[Step, ...] = ()
    version: int = 1
    created_at: int = 0
    updated_at: int = 0

    def held_out(self, person: str) -> bool:
        """Whether a person is kept unwritten: the same answer each time, independent between campaigns."""
        digest = sha256(f"{self.campaign_id}\0{person}".encode()).digest()
        return int.from_bytes(digest[:8], "big") < self.holdout_share * 2**64

"""What campaigns decide (recovery.journeys).

Times are milliseconds since the epoch, UTC. An empty value means absent. The schemas are the source of truth.
"""

from trolleybus.contracts.frozen import dataclass
from trolleybus.contracts.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class JourneyEntered:
    """A cart entered a campaign."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    journey_id: str = ""
    campaign_id: str = ""
    cart_id: str = ""
    episode_id: str = ""
    customer_id: str = ""
    identities: tuple[str, ...] = ()
    cause_id: str = ""  # Id of the CartAbandoned.
    level_seconds: int = 0
    value: Money = Money()
    abandoned_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """A cart would have entered, and is kept unwritten for comparison."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    journey_id: str = ""
    campaign_id: str = ""
    cart_id: str = ""
    episode_id: str = ""
    customer_id: str = ""
    identities: tuple[str, ...] = ()
    cause_id: str = ""
    level_seconds: int = 0
    value: Money = Money()
    abandoned_at: int = 0
    holdout_share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDecided:
    """What was decided for a step: send, hold, skip or wait."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    journey_id: str = ""
    campaign_id: str = ""
    cart_id: str = ""
    episode_id: str = ""
    customer_id: str = ""
    identities: tuple[str, ...] = ()
    step: int = 0
    attempt: int = 1
    channel: str = ""
    decision: str = ""
    rule: str = ""
    message_id: str = ""
    due_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JourneySkipped:
    """A cart did not enter, and by which rule."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    journey_id: str = ""
    campaign_id: str = ""
    cart_id: str = ""
    episode_id: str = ""
    customer_id: str = ""
    identities: tuple[str, ...] = ()
    cause_id: str = ""
    rule: str = ""
    level_seconds: int = 0
    value: Money = Money()


@dataclass(frozen=True, slots=True, kw_only=True)
class JourneyExited:
    """A journey ended."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    journey_id: str = ""
    campaign_id: str = ""
    cart_id: str = ""
    episode_id: str = ""
    customer_id: str = ""
    identities: tuple[str, ...] = ()
    reason: str = ""  # ordered, cleared, completed, expired, withdrawn, refused.
    steps_sent: int = 0

"""The records that campaigns write of a journey. Each id comes from what the record tells, so a repeat is the same fact."""

from dataclasses import dataclass
from typing import TypedDict

from trolleybus.contracts import ids
from trolleybus.contracts.journeys import HeldOut, JourneyEntered, JourneyExited, JourneySkipped, StepDecided
from trolleybus.contracts.messages import MessageWithdrawn
from trolleybus.contracts.recovery import CartAbandoned


class _Common(TypedDict):
    store_id: str
    occurred_at: int
    journey_id: str
    campaign_id: str
    cart_id: str
    episode_id: str
    customer_id: str
    identities: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided for a step, by which rule, and the record that made it so."""

    step: int
    attempt: int
    channel: str
    decision: str
    rule: str
    message_id: str
    due_at: int
    cause: str


def entered(journey_id: str, campaign_id: str, cart: CartAbandoned, now: int) -> JourneyEntered:
    return JourneyEntered(
        id=ids.journey_fact(journey_id, "JourneyEntered"),
        cause_id=cart.id,
        level_seconds=cart.level_seconds,
        value=cart.value,
        abandoned_at=cart.due_at,
        **_common(journey_id, campaign_id, cart, now),
    )


def held_out(journey_id: str, campaign_id: str, cart: CartAbandoned, share: float, now: int) -> HeldOut:
    return HeldOut(
        id=ids.journey_fact(journey_id, "HeldOut"),
        cause_id=cart.id,
        level_seconds=cart.level_seconds,
        value=cart.value,
        abandoned_at=cart.due_at,
        holdout_share=share,
        **_common(journey_id, campaign_id, cart, now),
    )


def skipped(journey_id: str, campaign_id: str, cart: CartAbandoned, rule: str, now: int) -> JourneySkipped:
    return JourneySkipped(
        id=ids.journey_fact(journey_id, "JourneySkipped"),
        cause_id=cart.id,
        rule=rule,
        level_seconds=cart.level_seconds,
        value=cart.value,
        **_common(journey_id, campaign_id, cart, now),
    )


def decided(journey_id: str, campaign_id: str, cart: CartAbandoned, decision: Decision, now: int) -> StepDecided:
    return StepDecided(
        id=ids.journey_fact(
            journey_id, "StepDecided", decision.step, decision.attempt, decision.decision, decision.cause
        ),
        step=decision.step,
        attempt=decision.attempt,
        channel=decision.channel,
        decision=decision.decision,
        rule=decision.rule,
        message_id=decision.message_id,
        due_at=decision.due_at,
        **_common(journey_id, campaign_id, cart, now),
    )


def exited(
    journey_id: str, campaign_id: str, cart: CartAbandoned, reason: str, steps_sent: int, now: int
) -> JourneyExited:
    return JourneyExited(
        id=ids.journey_fact(journey_id, "JourneyExited"),
        reason=reason,
        steps_sent=steps_sent,
        **_common(journey_id, campaign_id, cart, now),
    )


def withdrawn(message_id: str, journey_id: str, cart: CartAbandoned, reason: str, now: int) -> MessageWithdrawn:
    return MessageWithdrawn(
        id=ids.message_fact(message_id, "MessageWithdrawn"),
        store_id=cart.store_id,
        occurred_at=now,
        message_id=message_id,
        journey_id=journey_id,
        customer_id=cart.customer_id,
        reason=reason,
    )


def _common(journey_id: str, campaign_id: str, cart: CartAbandoned, now: int) -> _Common:
    return {
        "store_id": cart.store_id,
        "occurred_at": now,
        "journey_id": journey_id,
        "campaign_id": campaign_id,
        "cart_id": cart.cart_id,
        "episode_id": cart.episode_id,
        "customer_id": cart.customer_id,
        "identities": cart.identities,
    }

"""A journey: state and a fact in, state and records out. Times are milliseconds since the epoch."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from services.campaigns.journeys.domain import facts
from services.campaigns.journeys.domain.campaign import Campaign
from services.campaigns.journeys.domain.entry import Consent
from trolleybus.contracts import ids
from trolleybus.contracts.journeys import HeldOut, JourneyEntered, JourneyExited, JourneySkipped, StepDecided
from trolleybus.contracts.messages import MessageBounced, MessageDeferred, MessageWithdrawn
from trolleybus.contracts.recovery import CartAbandoned, CartResumed

WAITING = "waiting"  # For the shopper's address or consent to arrive.
ACTIVE = "active"
HELD = "held"  # The shopper is back at the cart.
HELD_OUT = "held_out"
SKIPPED = "skipped"
EXITED = "exited"
OPEN = (WAITING, ACTIVE, HELD)

_RECHECK_MS = 1_000

Told = JourneyEntered | HeldOut | StepDecided | JourneySkipped | JourneyExited | MessageWithdrawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """One cart in one campaign."""

    journey_id: str = ""
    campaign_id: str = ""
    status: str = WAITING
    cart: CartAbandoned = field(default_factory=CartAbandoned)  # As it was last abandoned.
    episode_id: str = ""  # The cart's present episode: that of `cart`, or the one a return has begun.
    entered_at: int = 0
    wait_until: int = 0
    due_at: int = 0  # When the step is due; 0 while a message is outstanding.
    step: int = 0  # The step that is due or outstanding.
    attempt: int = 1
    deferred_from: int = 0  # When the attempt before was due; 0 for the first.
    message_id: str = ""  # The request whose outcome is not known yet.
    asked_at: int = 0
    planned_for: int = 0  # When the outstanding attempt was due.
    steps_sent: int = 0
    reason: str = ""  # Why it was skipped or ended.

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def takes_turns(self) -> bool:
        """Whether something is to be done at due_at."""
        return self.status in (WAITING, ACTIVE) and not self.message_id


@dataclass(frozen=True, slots=True)
class Change:
    """What a fact made of a journey."""

    journey: Journey
    told: tuple[Told, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """The step is to be written: render it, then call asked() or skip_step()."""

    message_id: str


# --- entry ------------------------------------------------------------------------------------------------------------


def arrived(campaign: Campaign, cart: CartAbandoned, now: int, wait_ms: int) -> Journey:
    """A cart at the campaign's entry level, nothing decided yet."""
    return Journey(
        journey_id=ids.journey(campaign.campaign_id, cart.episode_id),
        campaign_id=campaign.campaign_id,
        cart=cart,
        episode_id=cart.episode_id,
        wait_until=now + wait_ms,
        due_at=now,
    )


def wait(journey: Journey, now: int) -> Change:
    """Look again soon, and for the last time when the wait is over."""
    return Change(replace(journey, due_at=max(now + 1, min(now + _RECHECK_MS, journey.wait_until))))


def enter(journey: Journey, campaign: Campaign, now: int) -> Change:
    first = campaign.steps[0].delay_seconds * 1000 if campaign.steps else 0
    entered = replace(journey, status=ACTIVE, entered_at=now, due_at=now + first)
    return Change(entered, (facts.entered(entered.journey_id, entered.campaign_id, entered.cart, now),))


def hold_out(journey: Journey, campaign: Campaign, now: int) -> Change:
    held = replace(journey, status=HELD_OUT, entered_at=now, due_at=0)
    return Change(held, (facts.held_out(held.journey_id, held.campaign_id, held.cart, campaign.holdout_share, now),))


def skip(journey: Journey, rule: str, now: int) -> Change:
    skipped = replace(journey, status=SKIPPED, reason=rule, due_at=0)
    return Change(skipped, (facts.skipped(skipped.journey_id, skipped.campaign_id, skipped.cart, rule, now),))


# --- the cart ---------------------------------------------------------------------------------------------------------


def abandoned_again(journey: Journey, campaign: Campaign, cart: CartAbandoned, now: int) -> Change:
    """A level of a cart that is on its way already: the newest contents count; a held journey goes on at its entry level."""
    if not journey.is_open or cart.episode_id != journey.episode_id:
        return Change(journey)  # A repeat from before the shopper came back.
    journey = replace(journey, cart=_same_shopper(journey.cart, cart))
    if journey.status != HELD or cart.level_seconds != campaign.entry_level:
        return Change(journey)
    journey = replace(journey, status=ACTIVE)
    if not journey.message_id:
        journey = replace(journey, due_at=max(journey.due_at, now))
    return Change(journey, (_decided(journey, campaign, "wait", "abandoned_again", now, cause=cart.id),))


def resumed(journey: Journey, campaign: Campaign, fact: CartResumed, now: int) -> Change:
    """The shopper is back: nothing is written until the cart is left again."""
    if not journey.is_open or fact.previous_episode_id != journey.episode_id:
        return Change(journey)
    if journey.status == WAITING:
        return skip(journey, "resumed", now)
    held = replace(journey, status=HELD, episode_id=fact.episode_id)
    return Change(held, (_decided(held, campaign, "hold", "resumed", now, cause=fact.id),))


def cart_ended(journey: Journey, episode_id: str, reason: str, now: int) -> Change:
    """The cart was cleared, recovered or forgotten in an episode; another episode's end is not this journey's."""
    if episode_id != journey.episode_id:
        return Change(journey)
    return end(journey, reason, now)


def end(journey: Journey, reason: str, now: int) -> Change:
    """Whatever is outstanding is taken back, if it has not gone."""
    if not journey.is_open:
        return Change(journey)
    if journey.status == WAITING:
        return skip(journey, reason, now)
    ended = replace(journey, status=EXITED, reason=reason, due_at=0, message_id="")
    told: list[Told] = []
    if journey.message_id:
        told.append(facts.withdrawn(journey.message_id, journey.journey_id, journey.cart, reason, now))
    told.append(facts.exited(ended.journey_id, ended.campaign_id, ended.cart, reason, ended.steps_sent, now))
    return Change(ended, tuple(told))


# --- steps ------------------------------------------------------------------------------------------------------------


def turn(
    journey: Journey, campaign: Campaign, *, address_hash: str, consent: Consent, ordered: bool, now: int
) -> Change | Ask:
    """The step is due. The gate has the last word on consent and orders; what is known here already is not even asked."""
    if ordered:
        return end(journey, "ordered", now)
    if journey.step >= len(campaign.steps):
        return end(journey, "completed", now)
    if not address_hash:
        return _refuse(journey, campaign, "no_contact", now)
    if consent is not Consent.MAY:
        return _refuse(journey, campaign, "no_consent", now)
    channel = campaign.steps[journey.step].channel
    return Ask(ids.message(journey.journey_id, journey.step, channel, journey.attempt))


def asked(journey: Journey, campaign: Campaign, message_id: str, now: int) -> Change:
    waiting = replace(journey, message_id=message_id, asked_at=now, planned_for=journey.due_at, due_at=0)
    return Change(waiting, (_decided(journey, campaign, "send", "", now, message_id=message_id),))


def skip_step(journey: Journey, campaign: Campaign, rule: str, now: int) -> Change:
    """The step cannot be written; the next one may."""
    decided = _decided(journey, campaign, "skip", rule, now)
    following = _go_on(replace(journey, asked_at=now), campaign, now)
    return Change(following.journey, (decided, *following.told))


# --- what became of a message -----------------------------------------------------------------------------------------


def message_sent(journey: Journey, campaign: Campaign, message_id: str, now: int) -> Change:
    """The provider took it, or a later look shows that it did."""
    if not _outstanding(journey, message_id):
        return Change(journey)
    return _go_on(replace(journey, steps_sent=journey.steps_sent + 1), campaign, now)


def message_deferred(journey: Journey, campaign: Campaign, fact: MessageDeferred, now: int) -> Change:
    """The next attempt is planned and written anew when it may go."""
    if not _outstanding(journey, fact.message_id):
        return Change(journey)
    planned = replace(
        journey,
        message_id="",
        attempt=journey.attempt + 1,
        due_at=max(fact.until, now),
        deferred_from=journey.planned_for,
    )
    return Change(planned, (_decided(planned, campaign, "wait", fact.rule or "deferred", now, cause=fact.id),))


# Rules of the gate that tell of the cart or the person, not of the one message.
_ENDING_RULES = {
    "purchase": "ordered",
    "consent_revoked": "refused",
    "no_consent": "refused",
    "suppressed": "refused",
    "no_address": "refused",
}


def message_refused(journey: Journey, campaign: Campaign, message_id: str, rule: str, now: int) -> Change:
    if not _outstanding(journey, message_id):
        return Change(journey)
    settled = replace(journey, message_id="")
    if rule in _ENDING_RULES:
        return end(settled, _ENDING_RULES[rule], now)
    return _go_on(settled, campaign, now)


def bounced(journey: Journey, campaign: Campaign, fact: MessageBounced, now: int) -> Change:
    """A dead address ends the journey; a full mailbox costs this one message."""
    if fact.kind == "permanent":
        return end(journey, "bounced", now)
    return message_sent(journey, campaign, fact.message_id, now)


# --- inside -----------------------------------------------------------------------------------------------------------


def _same_shopper(before: CartAbandoned, now: CartAbandoned) -> CartAbandoned:
    """A guest may have named themselves since; the journey's records stay under one key, so that they stay in order."""
    identities = tuple(dict.fromkeys((*before.identities, *now.identities)))
    return replace(now, customer_id=before.customer_id, identities=identities)


def _outstanding(journey: Journey, message_id: str) -> bool:
    return journey.is_open and bool(message_id) and journey.message_id == message_id


def _go_on(journey: Journey, campaign: Campaign, now: int) -> Change:
    """To the next step; a step late by an outage or a long doubt does not bunch with the one after it."""
    following = journey.step + 1
    if following >= len(campaign.steps):
        return end(replace(journey, message_id=""), "completed", now)
    due_at = max(now, journey.asked_at + campaign.steps[following].delay_seconds * 1000)
    return Change(replace(journey, step=following, attempt=1, deferred_from=0, message_id="", due_at=due_at))


def _refuse(journey: Journey, campaign: Campaign, rule: str, now: int) -> Change:
    decided = _decided(journey, campaign, "skip", rule, now)
    ended = end(journey, rule, now)
    return Change(ended.journey, (decided, *ended.told))


def _decided(
    journey: Journey,
    campaign: Campaign,
    decision: str,
    rule: str,
    now: int,
    *,
    cause: str = "",
    message_id: str = "",
) -> StepDecided:
    steps: Sequence[object] = campaign.steps
    channel = campaign.steps[journey.step].channel if journey.step < len(steps) else ""
    return facts.decided(
        journey.journey_id,
        journey.campaign_id,
        journey.cart,
        facts.Decision(
            step=journey.step,
            attempt=journey.attempt,
            channel=channel,
            decision=decision,
            rule=rule,
            message_id=message_id,
            due_at=journey.due_at,
            cause=cause,
        ),
        now,
    )

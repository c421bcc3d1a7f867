"""Journeys: single facts, and any course of facts."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.campaigns.journeys.domain import journey as machine
from services.campaigns.journeys.domain.campaign import Campaign, Step
from services.campaigns.journeys.domain.entry import Consent
from services.campaigns.journeys.domain.journey import Ask, Change, Journey
from trolleybus.contracts import ids
from trolleybus.contracts.journeys import JourneyEntered, JourneyExited, JourneySkipped, StepDecided
from trolleybus.contracts.messages import MessageBounced, MessageDeferred, MessageWithdrawn
from trolleybus.contracts.recovery import CartAbandoned, CartResumed

CAMPAIGN = Campaign(
    store_id="shop",
    campaign_id="campaign",
    entry_level=900,
    steps=(Step(delay_seconds=0), Step(delay_seconds=3600), Step(delay_seconds=86_400)),
)
CART = CartAbandoned(
    id="abandoned-1",
    store_id="shop",
    cart_id="cart",
    episode_id="episode-1",
    customer_id="customer",
    identities=("email:v1:aa",),
    level_seconds=900,
    opened_at=500,
    contact_known=True,
)
NOW = 1_000_000


def entered(now: int = NOW) -> Journey:
    return machine.enter(machine.arrived(CAMPAIGN, CART, now, 60_000), CAMPAIGN, now).journey


def asked(journey: Journey, now: int = NOW) -> Journey:
    turn = take_turn(journey, now)
    assert isinstance(turn, Ask)
    return machine.asked(journey, CAMPAIGN, turn.message_id, now).journey


def take_turn(journey: Journey, now: int, **known: object) -> Change | Ask:
    facts = {"address_hash": "email:v1:aa", "consent": Consent.MAY, "ordered": False, **known}
    return machine.turn(journey, CAMPAIGN, now=now, **facts)  # type: ignore[arg-type] # a mapping has one value type


def test_an_entered_cart_is_written_to_after_the_first_delay() -> None:
    change = machine.enter(machine.arrived(CAMPAIGN, CART, NOW, 0), CAMPAIGN, NOW)
    assert change.journey.due_at == NOW
    assert isinstance(change.told[0], JourneyEntered)
    assert change.told[0].journey_id == ids.journey("campaign", "episode-1")


def test_the_next_step_counts_from_the_step_before() -> None:
    waiting = asked(entered())
    later = machine.message_sent(waiting, CAMPAIGN, waiting.message_id, NOW + 5_000).journey
    assert (later.step, later.attempt, later.steps_sent) == (1, 1, 1)
    assert later.due_at == NOW + 3_600_000


def test_the_last_step_completes_the_journey() -> None:
    last = replace(asked(replace(entered(), step=2)), steps_sent=2)
    change = machine.message_sent(last, CAMPAIGN, last.message_id, NOW)
    assert [(type(one), one.reason) for one in change.told if isinstance(one, JourneyExited)] == [
        (JourneyExited, "completed")
    ]
    assert change.told[-1].steps_sent == 3  # type: ignore[union-attr] # the exit, as just seen


def test_P3_an_order_known_when_a_step_is_due_ends_the_journey_unwritten() -> None:
    change = take_turn(entered(), NOW, ordered=True)
    assert isinstance(change, Change)
    assert (change.journey.status, change.journey.reason) == (machine.EXITED, "ordered")


def test_P3_an_order_takes_back_what_is_outstanding() -> None:
    waiting = asked(entered())
    change = machine.end(waiting, "ordered", NOW)
    withdrawn = [one for one in change.told if isinstance(one, MessageWithdrawn)]
    assert [one.message_id for one in withdrawn] == [waiting.message_id]
    assert withdrawn[0].customer_id == "customer"


def test_P5_a_step_without_consent_is_not_asked_for() -> None:
    change = take_turn(entered(), NOW, consent=Consent.MAY_NOT)
    assert isinstance(change, Change)
    assert [one.rule for one in change.told if isinstance(one, StepDecided)] == ["no_consent"]
    assert not change.journey.is_open


def test_P4_attempt_two_is_another_message_and_remembers_when_the_first_was_due() -> None:
    waiting = asked(entered())
    deferred = MessageDeferred(id="d", message_id=waiting.message_id, until=NOW + 60_000, rule="quiet_hours")
    planned = machine.message_deferred(waiting, CAMPAIGN, deferred, NOW + 1).journey
    assert (planned.attempt, planned.due_at, planned.deferred_from) == (2, NOW + 60_000, NOW)
    again = asked(planned, NOW + 60_000)
    assert again.message_id == ids.message(again.journey_id, 0, "email", 2) != waiting.message_id


def test_a_repeated_outcome_changes_nothing() -> None:
    waiting = asked(entered())
    once = machine.message_sent(waiting, CAMPAIGN, waiting.message_id, NOW).journey
    assert machine.message_sent(once, CAMPAIGN, waiting.message_id, NOW) == Change(once)


def test_a_return_holds_the_journey_and_the_next_abandonment_goes_on_with_it() -> None:
    back = CartResumed(id="r", cart_id="cart", episode_id="episode-2", previous_episode_id="episode-1")
    held = machine.resumed(entered(), CAMPAIGN, back, NOW).journey
    assert held.status == machine.HELD
    assert not held.takes_turns
    again = replace(CART, id="abandoned-2", episode_id="episode-2", customer_id="somebody", opened_at=700)
    active = machine.abandoned_again(held, CAMPAIGN, again, NOW + 900_000).journey
    assert (active.status, active.due_at) == (machine.ACTIVE, NOW + 900_000)
    assert active.cart.opened_at == 700
    assert active.cart.customer_id == "customer"  # The journey's records stay under one key.


def test_a_repeat_from_before_the_return_does_not_wake_a_held_journey() -> None:
    back = CartResumed(id="r", cart_id="cart", episode_id="episode-2", previous_episode_id="episode-1")
    held = machine.resumed(entered(), CAMPAIGN, back, NOW).journey
    assert machine.abandoned_again(held, CAMPAIGN, CART, NOW).journey == held
    assert machine.resumed(held, CAMPAIGN, back, NOW).journey == held


def test_the_end_of_an_earlier_episode_is_not_this_journeys_end() -> None:
    journey = entered()
    assert machine.cart_ended(journey, "episode-0", "cleared", NOW) == Change(journey)
    assert machine.cart_ended(journey, "episode-1", "cleared", NOW).journey.reason == "cleared"


def test_a_cart_that_waits_for_its_shopper_is_skipped_when_they_return() -> None:
    waiting = machine.arrived(CAMPAIGN, CART, NOW, 60_000)
    back = CartResumed(id="r", episode_id="episode-2", previous_episode_id="episode-1")
    change = machine.resumed(waiting, CAMPAIGN, back, NOW)
    assert [one.rule for one in change.told if isinstance(one, JourneySkipped)] == ["resumed"]


def test_the_wait_for_an_address_ends() -> None:
    journey = machine.arrived(CAMPAIGN, CART, NOW, 1_500)
    first = machine.wait(journey, NOW).journey
    assert first.due_at == NOW + 1_000
    assert machine.wait(first, first.due_at).journey.due_at == NOW + 1_500


def test_a_step_that_cannot_be_written_gives_way_to_the_next() -> None:
    change = machine.skip_step(entered(), CAMPAIGN, "template_error", NOW)
    assert change.journey.step == 1
    assert change.journey.due_at == NOW + 3_600_000
    assert [one.rule for one in change.told if isinstance(one, StepDecided)] == ["template_error"]


def test_a_refusal_that_tells_of_the_person_ends_the_journey_and_one_of_the_message_does_not() -> None:
    waiting = asked(entered())
    assert machine.message_refused(waiting, CAMPAIGN, waiting.message_id, "no_consent", NOW).journey.reason == "refused"
    assert machine.message_refused(waiting, CAMPAIGN, waiting.message_id, "purchase", NOW).journey.reason == "ordered"
    assert machine.message_refused(waiting, CAMPAIGN, waiting.message_id, "expired", NOW).journey.step == 1


class AnyCourse(RuleBasedStateMachine):
    """Whatever happens, in whatever order and however often."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.journey = entered()
        self.asked: list[str] = []
        self.allowed_attempts = {(0, 1), (1, 1), (2, 1)}
        self.withdrawn: list[str] = []
        self.exits = 0
        self.episode = 1

    def keep(self, change: Change) -> None:
        before, self.journey = self.journey, change.journey
        for one in change.told:
            assert before.is_open, "a closed journey tells nothing"
            if isinstance(one, MessageWithdrawn):
                assert one.message_id == before.message_id
                self.withdrawn.append(one.message_id)
            if isinstance(one, JourneyExited):
                self.exits += 1
        if before.message_id and before.is_open and not self.journey.is_open and not self.journey.message_id:
            ended_by_outcome = any(isinstance(one, JourneyExited) for one in change.told)
            assert ended_by_outcome

    @rule(ms=st.integers(0, 90_000_000))
    def time_passes(self, ms: int) -> None:
        self.now += ms

    @precondition(lambda self: self.journey.takes_turns and self.journey.due_at <= self.now)
    @rule(consent=st.sampled_from([Consent.MAY, Consent.MAY, Consent.MAY_NOT]), writable=st.booleans())
    def its_turn(self, consent: Consent, writable: bool) -> None:
        turn = take_turn(self.journey, self.now, consent=consent)
        if isinstance(turn, Change):
            self.keep(turn)
        elif writable:
            assert (self.journey.step, self.journey.attempt) in self.allowed_attempts
            self.asked.append(turn.message_id)
            self.keep(machine.asked(self.journey, CAMPAIGN, turn.message_id, self.now))
        else:
            self.keep(machine.skip_step(self.journey, CAMPAIGN, "template_error", self.now))

    @precondition(lambda self: bool(self.asked))
    @rule(data=st.data())
    def an_outcome(self, data: st.DataObject) -> None:
        message_id = data.draw(st.sampled_from(self.asked))
        kind = data.draw(st.sampled_from(["sent", "deferred", "refused", "no_consent", "bounced"]))
        if kind == "sent":
            self.keep(machine.message_sent(self.journey, CAMPAIGN, message_id, self.now))
        elif kind == "deferred":
            if message_id == self.journey.message_id:
                self.allowed_attempts.add((self.journey.step, self.journey.attempt + 1))
            fact = MessageDeferred(id=f"d{message_id}", message_id=message_id, until=self.now + 1)
            self.keep(machine.message_deferred(self.journey, CAMPAIGN, fact, self.now))
        elif kind == "bounced":
            dead = MessageBounced(message_id=message_id, kind="permanent")
            self.keep(machine.bounced(self.journey, CAMPAIGN, dead, self.now))
        else:
            self.keep(machine.message_refused(self.journey, CAMPAIGN, message_id, kind, self.now))

    @rule()
    def the_shopper_returns(self) -> None:
        before = f"episode-{self.episode}"
        self.episode += 1
        fact = CartResumed(id=f"r{self.episode}", episode_id=f"episode-{self.episode}", previous_episode_id=before)
        self.keep(machine.resumed(self.journey, CAMPAIGN, fact, self.now))

    @rule(level=st.sampled_from([900, 3600]), back=st.integers(0, 2))
    def the_cart_is_left_again(self, level: int, back: int) -> None:
        cart = replace(CART, episode_id=f"episode-{self.episode - back}", level_seconds=level)
        self.keep(machine.abandoned_again(self.journey, CAMPAIGN, cart, self.now))

    @rule(reason=st.sampled_from(["ordered", "cleared", "expired"]))
    def the_cart_ends(self, reason: str) -> None:
        self.keep(machine.cart_ended(self.journey, f"episode-{self.episode}", reason, self.now))
        assert not self.journey.is_open

    @invariant()
    def no_message_is_asked_for_twice(self) -> None:
        assert len(self.asked) == len(set(self.asked))

    @invariant()
    def an_open_journey_has_something_to_wait_for(self) -> None:
        journey = self.journey
        if journey.status == machine.ACTIVE:
            assert bool(journey.message_id) != bool(journey.due_at)
        if not journey.is_open:
            assert not journey.message_id
            assert journey.reason

    @invariant()
    def a_journey_ends_once(self) -> None:
        assert self.exits <= 1


AnyCourse.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAnyCourse = AnyCourse.TestCase

"""Whether a message may go: each rule, and which speaks first."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from services.messaging.domain.rules import Candidate, Defer, Facts, Go, Order, Refuse, Wait, decide
from services.messaging.domain.states import State
from trolleybus.contracts.permission import Permission
from trolleybus.contracts.stores import SenderIdentity, StoreConfig

NOW = 1_780_000_000_000  # 20:26:40 UTC.
SENDER = SenderIdentity(channel="email", address="hello@shop.example.com")
STORE = StoreConfig(store_id="s", version=1, senders=(SENDER,), email_consent_basis="soft_opt_in", time_zone="UTC")
CANDIDATE = Candidate(
    message_id="m",
    store_id="s",
    cart_id="c",
    purchase_since=NOW - 1000,
    expires_at=NOW + 10_000_000,
    address="a@b.example",
)
FACTS = Facts(store=STORE)
GRANTED = Permission(person_yes_at=5)
REVOKED = Permission(person_yes_at=5, person_no_at=6)


def rule_of(candidate: Candidate = CANDIDATE, now: int = NOW, **facts: object) -> str:
    verdict = decide(candidate, replace(FACTS, **facts), now)  # type: ignore[arg-type]
    match verdict:
        case Go():
            return "go"
        case Wait():
            return "wait"
        case Defer(rule=rule) | Refuse(rule=rule):
            return rule


def test_a_message_that_nothing_speaks_against_goes_from_the_stores_sender() -> None:
    assert decide(CANDIDATE, FACTS, NOW) == Go(SENDER)


@given(placed=st.integers(0, 2 * NOW), since=st.integers(0, 2 * NOW), of_the_cart=st.booleans())
def test_P3_an_order_placed_at_or_since_the_carts_opening_stops_it_and_no_other(
    placed: int, since: int, of_the_cart: bool
) -> None:
    order = Order(order_id="o", placed_at=placed, of_the_cart=of_the_cart)
    candidate = replace(CANDIDATE, purchase_since=since)
    assert rule_of(candidate, order=order) == ("purchase" if placed >= since else "go")


def test_P3_an_order_stops_transactional_reminders_of_a_cart_as_well() -> None:
    order = Order(order_id="o", placed_at=NOW)
    assert rule_of(replace(CANDIDATE, purpose="transactional"), order=order) == "purchase"
    assert rule_of(replace(CANDIDATE, cart_id="", purchase_since=0), order=order) == "go"


def test_P5_marketing_needs_a_permission() -> None:
    strict = replace(STORE, email_consent_basis="grant")
    assert rule_of(store=strict) == "no_consent"
    assert rule_of(store=strict, permission=GRANTED) == "go"
    assert rule_of(permission=REVOKED) == "consent_revoked"
    assert rule_of(replace(CANDIDATE, purpose="transactional"), permission=REVOKED) == "go"
    assert rule_of(replace(CANDIDATE, purpose="anything else"), permission=REVOKED) == "consent_revoked"


def test_P5_a_suppressed_address_gets_nothing_whatever_its_purpose() -> None:
    assert rule_of(replace(CANDIDATE, purpose="transactional"), suppressed="bounced") == "suppressed"
    assert rule_of(suppressed="complained", permission=GRANTED) == "suppressed"


def test_P5_quiet_hours_are_those_of_the_recipients_zone_else_the_stores() -> None:
    quiet = replace(STORE, quiet_from_minute=22 * 60, quiet_to_minute=8 * 60, time_zone="Europe/Madrid")
    assert rule_of(store=quiet) == "quiet_hours"  # 22:26 in Madrid.
    assert rule_of(replace(CANDIDATE, time_zone="America/New_York"), store=quiet) == "go"
    verdict = decide(CANDIDATE, replace(FACTS, store=quiet), NOW)
    assert verdict == Defer(1_780_034_400_000, "quiet_hours")  # 08:00 in Madrid is 06:00 UTC.


def test_P5_a_cap_defers_where_there_is_room_before_the_message_expires_and_refuses_else() -> None:
    capped = replace(STORE, cap_messages=2, cap_seconds=3600)
    assert rule_of(store=capped, sent_within_cap=1) == "go"
    full = replace(FACTS, store=capped, sent_within_cap=2, cap_frees_at=NOW + 500)
    assert decide(CANDIDATE, full, NOW) == Defer(NOW + 500, "frequency_cap")
    assert decide(replace(CANDIDATE, expires_at=NOW + 500), full, NOW) == Refuse(
        "frequency_cap", "2 messages within 3600 s"
    )


def test_an_expired_or_withdrawn_message_is_refused_whatever_else_holds() -> None:
    assert rule_of(replace(CANDIDATE, expires_at=NOW), held=True, store=None) == "expired"
    assert rule_of(withdrawn=True, held=True) == "withdrawn"


def test_P8_a_held_an_inactive_and_an_unknown_store_wait() -> None:
    assert rule_of(held=True) == "wait"
    assert rule_of(store=replace(STORE, active=False)) == "wait"
    assert rule_of(store=None) == "wait"


def test_P4_an_attempt_goes_only_after_the_deferral_of_every_earlier_one() -> None:
    third = replace(CANDIDATE, attempt=3)
    assert rule_of(third, earlier=(State.DEFERRED, State.DEFERRED)) == "go"
    for unsettled in (State.QUEUED, State.CLAIMED, State.CALLING, State.RETRY, State.IN_DOUBT):
        assert rule_of(third, earlier=(State.DEFERRED, unsettled)) == "wait"
    assert rule_of(third, earlier=(State.SENT, State.DEFERRED)) == "already_sent"
    assert rule_of(third, earlier=(State.DEFERRED, State.REFUSED)) == "already_refused"
    assert rule_of(third, earlier=(State.DEFERRED,)) == "wait"


def test_what_cannot_be_sent_is_refused_with_the_reason() -> None:
    assert rule_of(store=replace(STORE, senders=())) == "no_sender"
    assert rule_of(replace(CANDIDATE, sender=SENDER), store=replace(STORE, senders=())) == "go"
    assert rule_of(replace(CANDIDATE, address="")) == "no_address"
    assert rule_of(replace(CANDIDATE, has_content=False)) == "no_content"
    assert rule_of(replace(CANDIDATE, channel="sms"), transport=False) == "no_transport"


@given(
    st.builds(
        Facts,
        store=st.sampled_from([None, STORE, replace(STORE, active=False), replace(STORE, senders=())]),
        held=st.booleans(),
        withdrawn=st.booleans(),
        transport=st.booleans(),
        order=st.sampled_from([None, Order(order_id="o", placed_at=NOW), Order(order_id="o", placed_at=1)]),
        permission=st.sampled_from([Permission(), GRANTED, REVOKED]),
        suppressed=st.sampled_from(["", "bounced"]),
        sent_within_cap=st.integers(0, 3),
    )
)
def test_P5_what_goes_has_nothing_against_it(facts: Facts) -> None:
    if isinstance(decide(CANDIDATE, facts, NOW), Go):
        assert facts.store is not None
        assert facts.store.active
        assert facts.store.senders
        assert not any((facts.held, facts.withdrawn, facts.suppressed))
        assert facts.transport
        assert facts.order is None or facts.order.placed_at < CANDIDATE.purchase_since
        assert facts.permission.state() != "revoked"

"""Who enters, and who is held out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.campaigns.journeys.domain.campaign import Campaign
from services.campaigns.journeys.domain.entry import Circumstances, Consent, Entry, Verdict, decide

OPEN = Campaign(campaign_id="campaign")
REACHED = Circumstances(contact_known=True, address_hash="email:v1:aa", consent=Consent.MAY)


def test_a_reachable_shopper_who_may_be_written_to_enters() -> None:
    assert decide(OPEN, REACHED) == Entry(Verdict.ENTER)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (Circumstances(contact_known=False), Entry(Verdict.SKIP, "no_contact")),
        (Circumstances(contact_known=True), Entry(Verdict.WAIT)),
        (Circumstances(contact_known=True, waited=True), Entry(Verdict.SKIP, "no_contact")),
        (Circumstances(contact_known=True, address_hash="a"), Entry(Verdict.WAIT)),
        (Circumstances(contact_known=True, address_hash="a", waited=True), Entry(Verdict.SKIP, "no_consent")),
        (
            Circumstances(contact_known=True, address_hash="a", consent=Consent.MAY_NOT),
            Entry(Verdict.SKIP, "no_consent"),
        ),
        (
            Circumstances(contact_known=True, address_hash="a", consent=Consent.MAY, ordered=True),
            Entry(Verdict.SKIP, "ordered"),
        ),
        (
            Circumstances(contact_known=True, address_hash="a", consent=Consent.MAY, entered_lately=True),
            Entry(Verdict.SKIP, "reentry"),
        ),
        (Circumstances(contact_known=False, address_hash="a", consent=Consent.MAY), Entry(Verdict.ENTER)),
    ],
)
def test_each_rule_skips_or_waits(known: Circumstances, expected: Entry) -> None:
    assert decide(OPEN, known) == expected


def test_only_those_who_would_be_written_to_are_held_out() -> None:
    half = Campaign(campaign_id="campaign", holdout_share=0.5)
    held = next(str(n) for n in range(100) if half.held_out(str(n)))
    may = Circumstances(contact_known=True, address_hash=held, consent=Consent.MAY)
    may_not = Circumstances(contact_known=True, address_hash=held, consent=Consent.MAY_NOT)
    assert decide(half, may) == Entry(Verdict.HOLD_OUT)
    assert decide(half, may_not) == Entry(Verdict.SKIP, "no_consent")


@given(st.text(min_size=1), st.floats(0, 0.5))
def test_a_person_is_held_out_by_a_larger_share_if_by_a_smaller(person: str, share: float) -> None:
    smaller = Campaign(campaign_id="campaign", holdout_share=share)
    larger = Campaign(campaign_id="campaign", holdout_share=min(0.5, share + 0.1))
    assert not smaller.held_out(person) or larger.held_out(person)


def test_about_the_share_is_held_out_and_another_campaign_holds_out_others() -> None:
    one, other = (Campaign(campaign_id=name, holdout_share=0.2) for name in ("one", "other"))
    people = [f"person-{number}" for number in range(5_000)]
    held = {person for person in people if one.held_out(person)}
    assert 0.17 < len(held) / len(people) < 0.23
    both = sum(other.held_out(person) for person in held)
    assert 0.12 < both / len(held) < 0.28


def test_nobody_is_held_out_without_a_share() -> None:
    assert not any(OPEN.held_out(str(number)) for number in range(1_000))

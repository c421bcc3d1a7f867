"""Profiles fold to the same whatever the order; contacts choose the right address."""

from functools import reduce
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from services.campaigns.audience.domain.contact import contact_of
from services.campaigns.audience.domain.profile import Profile, fold, record, says_the_same
from trolleybus.contracts.customers import CustomerUpdated

EMPTY = Profile(store_id="shop", customer_id="c")

updates = st.builds(
    CustomerUpdated,
    id=st.sampled_from("abcdefgh"),
    occurred_at=st.integers(1, 5),
    email=st.sampled_from(["", "one@example.com", "two@example.com"]),
    first_name=st.sampled_from(["", "Sample"]),
    identities=st.lists(st.sampled_from(["x", "y", "z"]), unique=True).map(tuple),
    properties=st.dictionaries(st.sampled_from(["size", "colour"]), st.sampled_from(["", "m", "red"])),
    removed=st.lists(st.sampled_from(["first_name", "size"]), unique=True).map(tuple),
)


@given(st.lists(updates, max_size=6, unique_by=lambda one: one.id), st.randoms())
def test_P6_a_profile_is_the_same_in_whatever_order_its_updates_come_and_however_often(
    facts: list[CustomerUpdated],
    random: Random,
) -> None:
    once = reduce(fold, facts, EMPTY)
    shuffled = [*facts, *facts]
    random.shuffle(shuffled)
    assert reduce(fold, shuffled, EMPTY) == once


def test_the_latest_word_on_each_trait_wins() -> None:
    profile = fold(EMPTY, CustomerUpdated(id="b", occurred_at=2, email="new@example.com"))
    profile = fold(profile, CustomerUpdated(id="a", occurred_at=1, email="old@example.com", first_name="Sample"))
    whole = record(profile, "a")
    assert (whole.email, whole.first_name, whole.first_seen_at, whole.occurred_at) == (
        "new@example.com",
        "Sample",
        1,
        2,
    )


def test_a_removed_trait_is_gone_and_an_older_word_does_not_bring_it_back() -> None:
    profile = fold(EMPTY, CustomerUpdated(id="b", occurred_at=2, removed=("first_name", "size")))
    profile = fold(profile, CustomerUpdated(id="a", occurred_at=1, first_name="Sample", properties={"size": "m"}))
    assert record(profile, "b").first_name == ""
    assert record(profile, "b").properties == {}


def test_an_update_that_says_nothing_new_makes_no_new_profile() -> None:
    once = fold(EMPTY, CustomerUpdated(id="a", occurred_at=2, email="one@example.com"))
    late = fold(once, CustomerUpdated(id="0", occurred_at=2, email="two@example.com"))
    assert says_the_same(once, late)


def test_the_address_that_the_cart_named_goes_before_the_customers_other_one() -> None:
    account = fold(EMPTY, CustomerUpdated(id="a", occurred_at=9, email="account@example.com", first_name="Sample"))
    guest = fold(
        Profile(store_id="shop", customer_id="anonymous"),
        CustomerUpdated(id="b", occurred_at=1, email="checkout@example.com"),
    )
    contact = contact_of([account, guest], "c", ["#checkout@example.com"], lambda email: f"#{email}")
    assert (contact.email, contact.address_hash) == ("checkout@example.com", "#checkout@example.com")
    assert contact.first_name == "Sample"


def test_without_an_address_there_is_no_contact() -> None:
    contact = contact_of([EMPTY], "c", [], lambda email: f"#{email}")
    assert (contact.email, contact.address_hash) == ("", "")

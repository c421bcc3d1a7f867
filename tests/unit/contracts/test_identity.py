import hmac
import time
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trolleybus.contracts.identity import BadIdentity, IdentityHasher, InstallationSecret, normalise

FIRST = InstallationSecret(1, b"first secret of this test")
SECOND = InstallationSecret(2, b"second secret of this test")


def test_a_hash_is_the_documented_hmac() -> None:
    text = b"5:store5:email19:shopper@example.com"
    expected = hmac.new(FIRST.key, text, sha256).hexdigest()[:32]
    assert IdentityHasher([FIRST]).hash("store", "email", "shopper@example.com") == f"email:v1:{expected}"


def test_hash_vectors_hold_between_releases() -> None:
    hasher = IdentityHasher([FIRST])
    assert hasher.hash("store", "email", "shopper@example.com") == "email:v1:74635025676c37f44ddc8b3bf7f90c95"
    assert hasher.hash("store", "phone", "+34600000000") == "phone:v1:7dfe2da10605857c24a37e2be25511c8"
    assert hasher.hash("store", "customer", "C-1") == "customer:v1:9bb2394478542a6f54090a4782b24692"


def test_the_newest_secret_hashes_and_the_older_still_match() -> None:
    old, new = IdentityHasher([FIRST]), IdentityHasher([FIRST, SECOND])
    assert new.hash("s", "email", "a@example.com").startswith("email:v2:")
    assert old.hash("s", "email", "a@example.com") in new.all_versions("s", "email", "a@example.com")


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_P7_a_hash_in_one_store_says_nothing_of_another(store: str, other: str, value: str) -> None:
    hasher = IdentityHasher([FIRST])
    assert (hasher.hash(store, "device", value) == hasher.hash(other, "device", value)) == (store == other)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Shopper@Example.COM", "shopper@example.com"),
        ("  shopper@example.com\n", "shopper@example.com"),
        ("shopper@bücher.example", "shopper@xn--bcher-kva.example"),
        ("ｓhopper@example.com", "shopper@example.com"),
        ("a+b.c@example.co.uk", "a+b.c@example.co.uk"),
    ],
)
def test_an_email_has_one_form(text: str, normal: str) -> None:
    assert normalise("email", text) == normal


@pytest.mark.parametrize(
    "text", ["", "@", "a@", "@b.example", "a@b@c.example", "a b@c.example", "a@localhost", "a\r\nBcc: x@y.example", "a@ex ample.com", "<a@b.example>", "a" * 250 + "@b.example"]
)  # fmt: skip
def test_what_is_no_email_is_refused(text: str) -> None:
    with pytest.raises(BadIdentity):
        normalise("email", text)


@given(st.text(max_size=60))
def test_P8_no_text_breaks_normalisation_and_it_settles_at_once(text: str) -> None:
    for kind in ("email", "phone", "customer"):
        try:
            once = normalise(kind, text, "ES")
        except BadIdentity:
            continue
        assert normalise(kind, once, "ES") == once


def test_a_phone_number_takes_its_country_from_the_store() -> None:
    assert normalise("phone", "600 000 000", "ES") == "+34600000000"
    assert normalise("phone", "0044 20 7946 0000", "ES") == "+442079460000"
    with pytest.raises(BadIdentity):
        normalise("phone", "600 000 000")


def test_an_error_never_repeats_the_address() -> None:
    with pytest.raises(BadIdentity) as refused:
        normalise("email", "very-private@localhost")
    assert "very-private" not in str(refused.value)


@pytest.mark.parametrize("kind", ["email", "device"])
def test_a_text_far_longer_than_any_identity_is_refused_before_it_is_normalised(kind: str) -> None:
    """Putting 40,000 combining marks in their order takes seconds, in which nobody else is served."""
    began = time.process_time()
    with pytest.raises(BadIdentity, match="more than 512 characters"):
        normalise(kind, "a" + "\u0300\u0316" * 20_000 + "@example.com")
    assert time.process_time() - began < 1


def test_a_long_token_of_a_device_is_kept_as_it_is() -> None:
    token = "t" * 4096
    assert normalise("device", token) == token
    with pytest.raises(BadIdentity, match="more than 4096 characters"):
        normalise("device", token + "t")

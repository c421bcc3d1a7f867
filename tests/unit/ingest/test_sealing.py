"""Envelope encryption of integrations' secrets."""

import base64
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.integrations.sealing import BadKeys, CannotOpen, KeyRing, Place, Sealed

OLD, NEW = b"o" * 32, b"n" * 32
PLACE = Place("store-1", "int_1", "sec_1", "webhook_secret")


def written(*keys: tuple[int, bytes]) -> str:
    return ",".join(f"{number}:{base64.b64encode(key).decode()}" for number, key in keys)


@given(secret=st.binary(min_size=1, max_size=500), names=st.tuples(*[st.text(min_size=1)] * 4))
def test_what_was_sealed_opens_in_its_place(secret: bytes, names: tuple[str, str, str, str]) -> None:
    keys, place = KeyRing({1: OLD}), Place(*names)
    assert keys.open(keys.seal(secret, place), place) == secret


@pytest.mark.parametrize("field", ["store_id", "integration_id", "secret_id", "name"])
def test_a_row_moved_to_another_place_does_not_open(field: str) -> None:
    keys = KeyRing({1: OLD})
    sealed = keys.seal(b"the secret", PLACE)
    with pytest.raises(CannotOpen, match="moved"):
        keys.open(sealed, replace(PLACE, **{field: "another"}))


def test_the_parts_of_a_place_do_not_run_into_each_other() -> None:
    keys = KeyRing({1: OLD})
    sealed = keys.seal(b"the secret", Place("ab", "c", "d", "e"))
    with pytest.raises(CannotOpen):
        keys.open(sealed, Place("a", "bc", "d", "e"))


@given(at=st.integers(min_value=0, max_value=200), part=st.sampled_from(["wrapped_key", "box"]))
def test_a_changed_byte_is_noticed(at: int, part: str) -> None:
    keys = KeyRing({1: OLD})
    sealed = keys.seal(b"the secret", PLACE)
    changed = bytearray(getattr(sealed, part))
    changed[at % len(changed)] ^= 1
    change: dict[str, Any] = {part: bytes(changed)}
    with pytest.raises(CannotOpen, match="changed"):
        keys.open(replace(sealed, **change), PLACE)


@pytest.mark.parametrize("box", [b"", b"short"])
def test_bytes_cut_off_are_noticed(box: bytes) -> None:
    keys = KeyRing({1: OLD})
    with pytest.raises(CannotOpen):
        keys.open(replace(keys.seal(b"the secret", PLACE), wrapped_key=box), PLACE)


def test_another_key_of_the_same_number_does_not_open() -> None:
    sealed = KeyRing({1: OLD}).seal(b"the secret", PLACE)
    with pytest.raises(CannotOpen):
        KeyRing({1: NEW}).open(sealed, PLACE)


def test_a_key_that_is_gone_is_named() -> None:
    sealed = KeyRing({1: OLD}).seal(b"the secret", PLACE)
    with pytest.raises(CannotOpen, match="key 1, which INTEGRATION_KEYS does not have"):
        KeyRing({2: NEW}).open(sealed, PLACE)


def test_the_first_key_seals_and_all_open() -> None:
    before = KeyRing({1: OLD}).seal(b"the secret", PLACE)
    both = KeyRing.parse(written((2, NEW), (1, OLD)))
    assert both.open(before, PLACE) == b"the secret"
    assert both.seal(b"another", PLACE).key_id == 2


def test_a_rewrapped_secret_needs_the_first_key_alone_and_keeps_its_bytes() -> None:
    before = KeyRing({1: OLD}).seal(b"the secret", PLACE)
    after = KeyRing({2: NEW, 1: OLD}).rewrap(before, PLACE)
    assert (after.key_id, after.box) == (2, before.box)
    assert KeyRing({2: NEW}).open(after, PLACE) == b"the secret"


def test_equal_secrets_are_sealed_differently() -> None:
    keys = KeyRing({1: OLD})
    one, other = keys.seal(b"the secret", PLACE), keys.seal(b"the secret", PLACE)
    assert one.box != other.box
    assert one.wrapped_key != other.wrapped_key


def test_what_an_earlier_release_sealed_still_opens() -> None:
    """Bytes as they stand in databases: the form may not change unnoticed."""
    sealed = Sealed(
        1,
        bytes.fromhex(
            "d2ce05a65874b0d7c9dc904ce8e7e4de827527f4e6a4e781855532d2842601853a7b6d36e24ea0df8689f8e931547ce5f05616610c3e11a0cc8964e3"
        ),
        bytes.fromhex("517fd5c3e874176206e893040cf53e1143f1311cc910c76e40cc0a802e6c60074a158a40cf22"),
    )
    assert KeyRing({1: OLD}).open(sealed, PLACE) == b"the secret"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "at least one key"),
        ("key", "number, a colon"),
        ("0:" + base64.b64encode(OLD).decode(), "number, a colon"),
        ("²:" + base64.b64encode(OLD).decode(), "number, a colon"),
        ("1:not base64!", "key 1 is not base64"),
        ("1:é", "key 1 is not base64"),
        ("1:" + base64.b64encode(b"short").decode(), "5 bytes, not 32"),
        (written((1, OLD), (1, NEW)), "key 1 stands twice"),
    ],
)
def test_keys_that_are_none_are_refused_with_a_sentence(text: str, why: str) -> None:
    with pytest.raises(BadKeys, match=why):
        KeyRing.parse(text)

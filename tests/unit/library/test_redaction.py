import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trolleybus.redaction import redact, redact_text
from trolleybus.security import Tokens, new_key

WORDS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="@"), max_size=20)


def nested(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaf,
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3)
            | st.dictionaries(st.sampled_from(["note", "items", "cart"]), inner, min_size=1)
        ),
        max_leaves=5,
    )


@given(st.data(), st.emails(), WORDS, WORDS)
def test_no_email_survives_at_any_depth(data: st.DataObject, email: str, before: str, after: str) -> None:
    value = data.draw(nested(st.just(f"{before} {email} {after}") | st.just(f"<{email}>") | st.just(email.encode())))
    assert email not in json.dumps(redact({"event": value}), ensure_ascii=False)


@given(st.emails())
def test_no_email_survives_in_a_url_a_key_or_an_exception(email: str) -> None:
    assert email not in str(redact({email: 1, (email, 2): 3}))
    assert email not in str(redact({"error": ValueError(f"bad {email}")}))
    encoded = email.replace("@", "%40")
    assert encoded not in redact_text(f"GET /customers/{encoded}")


@pytest.mark.parametrize(
    "phone",
    ["+34 600 123 456", "+34600123456", "+1 (212) 555-0123", "+44-20-7946-0958", "(212) 555-0123", "212-555-0123"],
)
def test_phones_are_taken_out(phone: str) -> None:
    assert redact_text(f"call {phone} now") == "call [phone] now"


@given(st.integers(min_value=10**7, max_value=10**15 - 1))
def test_no_international_number_survives(number: int) -> None:
    digits = str(number)
    assert digits not in redact_text(f"to=+{digits}")


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T03:46:00.123+01:00",
        "orders.v1[11] at offset 1234567890123",
        "0190b2c4-7a3e-7c11-8f2a-1b2c3d4e5f60",
        "took 0.250 s, 3 of 10 retries",
        "127.0.0.1:19092",
        "email:v1:3f00aa11bb22cc33dd44ee55ff667788",
    ],
)
def test_times_offsets_ids_and_hashes_stay_readable(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize("kind", ["write", "secret"])
def test_store_keys_are_taken_out(kind: Any) -> None:
    key = new_key(kind)
    assert redact_text(f"refused {key}.") == "refused [key]."


def test_tokens_and_passwords_are_taken_out() -> None:
    token = Tokens(["k" * 40]).issue("operator", ["operator"], 60)
    assert token not in redact_text(f"Authorization: Bearer {token}")
    assert token not in redact_text(f"cookie {token}")
    assert "hush" not in redact_text("postgresql://u:hush@db/x and /in?access_token=hush&x=1")
    assert redact({"operator_token": "hush", "headers": {"Authorization": "hush", "phone": 34600123456}}) == {
        "operator_token": "[redacted]",
        "headers": {"Authorization": "[redacted]", "phone": "[redacted]"},
    }


def test_a_value_that_contains_itself_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert "too deep" in str(redact(loop))


def test_a_hostile_text_costs_linear_time() -> None:
    began = time.process_time()
    redact_text("a" * 200_000 + "@" + "1-" * 100_000 + "+1" * 100_000)
    assert time.process_time() - began < 10  # quadratic would take minutes

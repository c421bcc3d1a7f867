"""How a webhook of Shopify is delivered: signed vectors, and headers of every kind."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.adapters.shopify.delivery import Delivery, delivery_of, is_signed
from tests.unit.ingest.shopify_given import SHOP, TRIGGERED_MS, headers, signature

BODY = b'{"id": 7}'
SECRET, OLD = b"hush-hush-hush-hush", b"the-secret-before-it"
# By OpenSSL: printf '{"id": 7}' | openssl dgst -sha256 -hmac hush-hush-hush-hush -binary | base64
VECTOR = "+li5vSpemcjXlEFzC+4mkiHmPwh8IIi4Gy+8mhvSM0I="


def test_a_body_signed_elsewhere_is_known_as_signed() -> None:
    assert is_signed(BODY, VECTOR, (SECRET,))
    assert is_signed(BODY, f" {VECTOR} ", (SECRET,))


@pytest.mark.parametrize("body", [b'{"id": 8}', b'{"id": 7} ', b"", b'{"id":7}'])
def test_a_tampered_body_is_not(body: bytes) -> None:
    assert not is_signed(body, VECTOR, (SECRET,))


def test_after_a_rotation_either_secret_will_do_and_no_third() -> None:
    assert is_signed(BODY, signature(BODY, OLD), (SECRET, OLD))
    assert is_signed(BODY, VECTOR, (SECRET, OLD))
    assert not is_signed(BODY, signature(BODY, b"another-secret-yet"), (SECRET, OLD))
    assert not is_signed(BODY, VECTOR, ())


@pytest.mark.parametrize(
    "given_signature",
    [
        "",
        "=",
        "a",
        "not base64!",
        VECTOR[:-1],
        VECTOR.rstrip("="),
        f"{VECTOR}{VECTOR}",
        base64.b64decode(signature(BODY, SECRET)).hex(),
        base64.b64encode(b"short").decode(),
        "ünïcödé",
        "\ud800",
        "\x00",
    ],
)
def test_a_malformed_signature_is_none(given_signature: str) -> None:
    assert not is_signed(BODY, given_signature, (SECRET,))


@given(st.text())
def test_no_text_is_a_signature_by_chance_and_none_raises(text: str) -> None:
    assert not is_signed(BODY, text, (SECRET,))


def test_the_headers_say_what_when_and_whose() -> None:
    assert delivery_of(headers("carts/update", BODY, SECRET)) == Delivery(
        topic="carts/update",
        event_id="98880550-7158-44d4-b7cd-2c97c8a091b5",
        triggered_at=TRIGGERED_MS,
        shop_domain=SHOP,
        is_test=False,
    )


def test_without_an_event_id_the_webhooks_own_stands_for_it() -> None:
    sent = headers("carts/update", BODY, SECRET, x_shopify_event_id="")
    assert delivery_of(sent).event_id == sent["x-shopify-webhook-id"]


def test_what_is_not_readable_is_absent() -> None:
    sent = {"x-shopify-topic": "ünknown", "x-shopify-triggered-at": "yesterday", "x-shopify-event-id": "e" * 201}
    assert delivery_of(sent) == Delivery()


@given(st.dictionaries(st.sampled_from(sorted(headers("carts/update", BODY, SECRET))), st.text()))
def test_no_headers_raise(sent: dict[str, str]) -> None:
    found = delivery_of(sent)
    assert (found.topic + found.event_id + found.shop_domain).isascii()

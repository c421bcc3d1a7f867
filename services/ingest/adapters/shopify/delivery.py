"""How a webhook was delivered: what its headers say, and whether it is signed."""

import base64
import binascii
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.ingest.domain.clock import BadTime, parse_rfc3339

SIGNATURE = "x-shopify-hmac-sha256"
_LONGEST_ID = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The headers of a webhook; "" and None where absent or not readable. They are not signed: the body alone is."""

    topic: str = ""  # As it is written.
    event_id: str = ""  # The event's; a redelivery has the same.
    triggered_at: int | None = None  # When the event was, in ms; a redelivery has the same.
    shop_domain: str = ""
    is_test: bool = False  # Sent by a click in Shopify's admin; its content is made up.


def delivery_of(headers: Mapping[str, str]) -> Delivery:
    """Raises nothing. Header names are lower case, or the mapping does not mind."""
    return Delivery(
        topic=_readable(headers.get("x-shopify-topic", "")),
        event_id=_readable(headers.get("x-shopify-event-id", "")) or _readable(headers.get("x-shopify-webhook-id", "")),
        triggered_at=_time(headers.get("x-shopify-triggered-at", "")),
        shop_domain=_readable(headers.get("x-shopify-shop-domain", "")).lower(),
        is_test=headers.get("x-shopify-test", "").strip().lower() == "true",
    )


def is_signed(body: bytes, signature: str, secrets: Iterable[bytes]) -> bool:
    """Whether the body's HMAC-SHA256 under one of the secrets is the signature (base64). Takes as long either way."""
    try:
        given = base64.b64decode(signature.strip(), validate=True)
    except (binascii.Error, ValueError):  # ValueError: not ASCII.
        return False
    matches = [hmac.compare_digest(hmac.digest(secret, body, "sha256"), given) for secret in secrets]
    return any(matches)


def _readable(text: str) -> str:
    text = text.strip()
    return text if text.isascii() and text.isprintable() and len(text) <= _LONGEST_ID else ""


def _time(text: str) -> int | None:
    try:
        return parse_rfc3339(text.strip())
    except BadTime:
        return None

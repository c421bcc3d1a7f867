"""Cart activity as the gateway writes it, made fast: each form is encoded once, and what differs is filled in.

What is filled in has a fixed width, so that Avro's lengths stay true.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from trolleybus.contracts.cart import CartActivity, CartLine
from trolleybus.contracts.money import Money
from trolleybus.envelope import Envelopes, rfc3339
from trolleybus.telemetry import continue_trace

STORE = "bench"
FORMS = 40
"""Forms of each kind, with other products, prices and quantities."""

_ID, _EVENT = "11111111-1111-5111-8111-111111111111", "22222222-2222-5222-8222-222222222222"
_CART, _HASH, _AT = "33333333", "4" * 32, 1_700_000_000_123
_TRACE = f"00-{'5' * 32}-{'6' * 16}-01"
_STEPS = ("started", "contact", "shipping", "payment")


@dataclass(frozen=True, slots=True)
class Encoded:
    """One record as Kafka takes it."""

    key: bytes
    value: bytes
    headers: list[tuple[str, str | bytes | None]]


class Templates:
    """Forms of one store's activity. Times must be of the years 2004 to 2039, whose Avro longs are equally long."""

    def __init__(self, envelopes: Envelopes, seed: int = 1) -> None:
        self._random = Random(seed)
        self._forms: dict[str, list[bytes]] = {}
        for kind in (
            "product_viewed", "lines_added", "lines_set", "checkout_step", "snapshot", "order_placed", "cart_emptied"
        ):  # fmt: skip
            with continue_trace(_TRACE):
                wrapped = [envelopes.wrap(_activity(kind, self._random)) for _ in range(FORMS)]
            self._forms[kind] = [_opened(one.value or b"") for one in wrapped]
        self._headers = [(name, value) for name, value in wrapped[0].headers]
        self._at_ms, self._at, self._time = 0, b"", b""

    def record(self, kind: str, cart: int, at_ms: int) -> Encoded:
        """A record of a cart, of its own id."""
        if at_ms != self._at_ms:
            self._at_ms, self._at, self._time = at_ms, _long(at_ms), rfc3339(at_ms).encode()
        drawn = self._random.getrandbits(128)
        own, event = _uuid(drawn), _uuid(drawn ^ _SPREAD)
        number = b"%08d" % cart
        forms = self._forms[kind]
        value = forms[drawn % len(forms)] % {
            b"id": own,
            b"event": event,
            b"cart": number,
            b"hash": b"%032x" % (cart * _SPREAD & _MASK),
            b"at": self._at,
        }
        key = key_of(cart)
        filled = {
            "ce_id": own,
            "ce_time": self._time,
            "ce_subject": key,
            "traceparent": b"00-%032x-%016x-01" % (drawn, drawn >> 64),
        }
        return Encoded(key, value, [(name, filled.get(name, known)) for name, known in self._headers])


_SPREAD = 0x9E3779B97F4A7C15F39CC0605CEDC835
_MASK = (1 << 128) - 1


def key_of(cart: int) -> bytes:
    """The record key of a cart by its number."""
    return b"%s:cart-%08d" % (STORE.encode(), cart)


def _uuid(bits: int) -> bytes:
    text = b"%032x" % bits
    return b"%s-%s-5%s-8%s-%s" % (text[:8], text[8:12], text[13:16], text[17:20], text[20:])


def _opened(value: bytes) -> bytes:
    """The form of an encoded record, with places where the marked values stood."""
    form = value.replace(b"%", b"%%")
    for mark, place in (
        (_ID.encode(), b"%(id)b"),
        (_EVENT.encode(), b"%(event)b"),
        (_HASH.encode(), b"%(hash)b"),
        (_CART.encode(), b"%(cart)b"),
        (_long(_AT), b"%(at)b"),
    ):
        if mark not in form:
            raise ValueError(f"{mark!r} does not stand in the encoded record")
        form = form.replace(mark, place)
    return form


def _long(value: int) -> bytes:
    """Avro's long of a positive number."""
    left, out = value << 1, bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


def _activity(kind: str, random: Random) -> CartActivity:
    has_lines = kind in ("lines_added", "lines_set", "snapshot")
    own: dict[str, dict[str, Any]] = {
        "product_viewed": {"product_id": f"P{random.randrange(200):03}"},
        "checkout_step": {"step": random.choice(_STEPS)},
        "order_placed": {"order_id": f"order-{_CART}", "total": _euros(random)},
    }
    return CartActivity(
        id=_ID,
        store_id=STORE,
        occurred_at=_AT,
        received_at=_AT,
        source="native",
        source_event_id=_EVENT,
        config_version=1,
        kind=kind,
        cart_id=f"cart-{_CART}",
        customer_id=f"customer-{_CART}",
        identities=(f"customer:v1:{_HASH}", f"email:v1:{_HASH}"),
        session_id=f"session-{_CART}",
        device="mobile",
        email=f"shopper-{_CART}@example.com",
        currency="EUR",
        lines=tuple(_line(product, random) for product in random.sample(range(200), random.randint(1, 3)))
        if has_lines
        else (),
        locale="es-ES",
        country="ES",
        **own.get(kind, {}),
    )


def _line(number: int, random: Random) -> CartLine:
    product = f"P{number:03}"
    return CartLine(
        line_id=product,
        product_id=product,
        name="Oak desk lamp",
        quantity=random.randint(1, 3),
        unit_price=_euros(random),
        url=f"https://shop.example.com/products/{product}",
        category="Lamps",
    )


def _euros(random: Random) -> Money:
    return Money(minor=random.randrange(500, 20_000), currency="EUR")

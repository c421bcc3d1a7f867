"""What a line of each format tells: one adapter a format, as for what comes over HTTP."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from pydantic import ValidationError

from services.ingest.adapters import native
from services.ingest.adapters.seam import Arrival, Refused
from services.ingest.adapters.segment.history import imported
from services.ingest.api.bodies import hash_of, parse
from services.ingest.api.payloads import CartEvent, Customer, Event, Order, flaws_of
from services.ingest.domain.clock import UNSET_CLOCKS_MS
from services.ingest.domain.translation import Flaw, Translation
from trolleybus.http import Problem

Format = Callable[[object, Arrival], Translation]
P = TypeVar("P", bound=Event)

_ORDER_EVENTS = frozenset({"order_placed", "order_paid", "order_refunded", "order_cancelled"})


def read(line: bytes | None, take: Format, arrival: Arrival) -> Translation:
    """What a line tells; raises Refused."""
    if line is None:
        raise Refused(Flaw("", "the line is longer than 1 MiB"))
    try:
        document = parse(line)
    except Problem as problem:
        raise Refused(Flaw("", f"not JSON: {problem.detail}")) from None
    return take(document, replace(arrival, raw_hash=partial(hash_of, document)))


def native_line(document: object, arrival: Arrival) -> Translation:
    """A body of one of the native endpoints: its event says which; without one, an order has an order_id."""
    if not isinstance(document, dict):
        raise Refused(Flaw("", "a line is a JSON object"))
    event = document.get("event")
    if event in _ORDER_EVENTS or (event is None and "order_id" in document):
        return _native(document, Order, native.order, arrival)
    if event is not None:
        return _native(document, CartEvent, native.cart_event, arrival)
    return _native(document, Customer, native.customer, arrival)


def _native(
    document: Mapping[str, Any], payload: type[P], adapter: Callable[[P, Arrival], Translation], arrival: Arrival
) -> Translation:
    try:
        event = payload.model_validate(document)
    except ValidationError as error:
        raise Refused(*flaws_of(error, payload)) from None
    times = (event.sent_at, event.occurred_at)
    arrived = next((at for at in times if at is not None and at >= UNSET_CLOCKS_MS), None)
    if arrived is None:
        raise Refused(Flaw("/occurred_at", "an event of the past says when it happened, in 2000 or later"))
    return adapter(event, replace(arrival, received_at=min(arrived, arrival.received_at), imported=True))


FORMATS: Mapping[str, Format] = {"native": native_line, "segment": imported}

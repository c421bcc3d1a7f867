"""The short way for plain cart events: in C where that is built (see hatch_build.py), else in Python. Both give the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any, Final

from services.ingest.adapters import native_plain
from services.ingest.adapters.seam import Arrival
from services.ingest.api.bodies import Items
from services.ingest.domain.sealed import Sealed
from trolleybus.codec import Codec
from trolleybus.contracts.cart import CartActivity
from trolleybus.envelope import Envelopes

COMPILED: Final = find_spec("services.ingest.adapters.native_machine") is not None
"""Whether it is C that reads and seals; a module that is there and cannot be loaded is an error."""

Seal = Callable[[Any, Arrival, int, int], Sequence[Sealed]]


@dataclass(frozen=True, slots=True)
class ShortWay:
    """From the bytes of a body whose events are all plain to those of records, past payload and adapter.

    `read` gives None where one is not; `seal` takes the items of what was read, from one to before another, and raises Odd."""

    read: Callable[[bytes], Items | None]
    seal: Seal


def short_way(codec: Codec, envelopes: Envelopes, largest: int) -> ShortWay:
    """`largest` is that of a record, in bytes."""
    if COMPILED:
        from services.ingest.adapters import native_machine  # noqa: PLC0415 - not there everywhere

        layout = partial(codec.layout, CartActivity, native_machine.PATHS)
        sealing = native_machine.Sealing(layout, envelopes.frame(CartActivity), largest)
        return ShortWay(native_machine.read, sealing.seal)
    seal = native_plain.Sealer(codec.template(CartActivity, native_plain.ACTIVITY), envelopes, largest).seal
    return ShortWay(
        native_plain.read,
        lambda events, arrival, start, stop: [seal(event, arrival) for event in events[start:stop]],
    )

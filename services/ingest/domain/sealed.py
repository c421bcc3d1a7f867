"""A cart event whose record is bytes already: nothing of it need change on its way to Kafka."""

from collections.abc import Callable
from typing import Any, ClassVar, final

from msgspec import Struct

from services.ingest.domain.people import Identity
from services.ingest.domain.translation import Translation


@final
class Sealed(Struct, gc=False):
    """What is still asked of it. It names its cart, ends none, is of today and has no marks."""

    event_id: str
    kind: str
    identities: tuple[Identity, ...]
    """One or none."""
    identity: str
    """Its hash; "" for none."""
    customer_id: str
    cart_id: str
    occurred_at: int
    outgoing: Any
    """What goes to Kafka, an Outgoing or a parcel that has all of its attributes: no decision looks into it."""
    long_form: Callable[[], Translation]
    """The same with its record as an object, where something must change after all."""

    left_out: ClassVar[tuple[()]] = ()


Event = Translation | Sealed

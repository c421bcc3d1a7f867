"""The Segment source: messages of its tracking API, e-commerce spec v2; the field map is docs/sources/segment.md."""

from services.ingest.adapters.seam import Arrival, Refused
from services.ingest.adapters.segment import commerce, people
from services.ingest.adapters.segment.message import SOURCE, TYPES, message_of
from services.ingest.domain.translation import Flaw, Translation

__all__ = ["SOURCE", "TYPES", "translation"]

NAMES = ", ".join(TYPES)


def translation(payload: object, arrival: Arrival, kind: str = "") -> Translation:
    """What one message tells. `kind` is its type where the address says it, else the message does. Raises Refused."""
    if not isinstance(payload, dict):
        raise Refused(Flaw("", "a message is a JSON object"))
    kind = kind or str(payload.get("type", ""))
    message = message_of(payload, kind, arrival)
    match kind:
        case "track":
            return commerce.translation(message)
        case "identify":
            return people.identified(message)
        case "alias":
            return people.merged(message)
        case "page" | "screen" | "group":
            return message.left_aside(kind)
        case _:
            raise Refused(Flaw("/type", f"a message is one of {NAMES}"))

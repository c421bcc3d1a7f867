"""Messages of the past: they arrived when they say they did."""

from dataclasses import replace

from services.ingest.adapters.fields import Fields
from services.ingest.adapters.seam import Arrival, Refused
from services.ingest.adapters.segment import translation
from services.ingest.domain.translation import Flaw, Translation


def imported(payload: object, arrival: Arrival) -> Translation:
    """As translation, with the historic arrival: receivedAt, else timestamp, else sentAt. Raises Refused for a message
    without one."""
    left_out: list[Flaw] = []
    arrived = Fields(payload, "", left_out).time("receivedAt", "timestamp", "originalTimestamp", "sentAt")
    if arrived is None:
        raise Refused(Flaw("/timestamp", "a message of the past carries its timestamp"), *left_out)
    received_at = min(arrived, arrival.received_at)
    return translation(payload, replace(arrival, received_at=received_at, sent_at=None, imported=True))

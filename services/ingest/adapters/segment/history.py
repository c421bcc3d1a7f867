"""Messages of the past: they arrived when they say they did."""

from dataclasses import replace

from services.ingest.adapters.fields import Fields
from services.ingest.adapters.seam import Arrival, Refused
from services.ingest.adapters.segment import translation
from services.ingest.domain.clock import UNSET_CLOCKS_MS
from services.ingest.domain.translation import Flaw, Translation


def imported(payload: object, arrival: Arrival) -> Translation:
    """As translation, with the historic arrival: receivedAt, else timestamp, else sentAt; of a clock that was set. Raises
    Refused for a message without one."""
    left_out: list[Flaw] = []
    fields = Fields(payload, "", left_out)
    times = (fields.time(name) for name in ("receivedAt", "timestamp", "originalTimestamp", "sentAt"))
    arrived = next((at for at in times if at is not None and at >= UNSET_CLOCKS_MS), None)
    if arrived is None:
        raise Refused(Flaw("/timestamp", "a message of the past carries its timestamp, of 2000 or later"), *left_out)
    received_at = min(arrived, arrival.received_at)
    return translation(payload, replace(arrival, received_at=received_at, sent_at=None, imported=True))

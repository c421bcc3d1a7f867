"""Records that a service could not handle."""

from trolleybus.deadletter.records import Parked, Parking, original_headers, park

__all__ = ["Parked", "Parking", "original_headers", "park"]

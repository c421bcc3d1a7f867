"""What campaigns decide, in figures."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram

from trolleybus.contracts.customers import CustomerProfile
from trolleybus.contracts.journeys import HeldOut, JourneyEntered, JourneyExited, JourneySkipped, StepDecided
from trolleybus.contracts.messages import MessageRequested, MessageWithdrawn
from trolleybus.contracts.records import Record


class CampaignsMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._entered = Counter("trolleybus_journeys_entered", "Carts that entered a campaign.", registry=registry)
        self._held_out = Counter("trolleybus_journeys_held_out", "Carts kept unwritten.", registry=registry)
        self._skipped = Counter("trolleybus_journeys_skipped", "Carts not taken.", ["rule"], registry=registry)
        self._exited = Counter("trolleybus_journeys_exited", "Journeys that ended.", ["reason"], registry=registry)
        self._steps = Counter("trolleybus_steps_decided", "Steps decided.", ["decision", "rule"], registry=registry)
        self._requested = Counter("trolleybus_messages_requested", "Messages asked for.", registry=registry)
        self._withdrawn = Counter("trolleybus_messages_withdrawn", "Requests taken back.", registry=registry)
        self._profiles = Counter("trolleybus_profiles_published", "Profiles published.", registry=registry)
        self.failures = Counter("trolleybus_journey_turns_failed", "Turns to be tried again.", registry=registry)
        self.lateness = Histogram(
            "trolleybus_journey_turn_late_seconds",
            "From the due time of a journey's turn to the turn.",
            buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600),
            registry=registry,
        )

    def count(self, told: Iterable[Record]) -> None:
        """After the commit."""
        for record in told:
            match record:
                case JourneyEntered():
                    self._entered.inc()
                case HeldOut():
                    self._held_out.inc()
                case JourneySkipped():
                    self._skipped.labels(record.rule).inc()
                case JourneyExited():
                    self._exited.labels(record.reason).inc()
                case StepDecided():
                    self._steps.labels(record.decision, record.rule).inc()
                case MessageRequested():
                    self._requested.inc()
                case MessageWithdrawn():
                    self._withdrawn.inc()
                case CustomerProfile():
                    self._profiles.inc()
                case _:
                    pass

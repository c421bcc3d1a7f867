"""What the detector counts and measures."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.abandonment.domain.engine import Note

LATENESS_BUCKETS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 1, 2, 5, 15, 60, 300, 3600)


class AbandonmentMetrics:
    """Each on the given registry, so that tests have their own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.records = Counter(
            "trolleybus_detector_records",
            "Records of cart.activity by what became of them",
            ["result"],
            registry=registry,
        )
        for note in Note:
            self.records.labels(note.value)
        self.parked = Counter("trolleybus_detector_parked", "Records parked, by reason", ["reason"], registry=registry)
        self.effects = Counter(
            "trolleybus_detector_effects", "Records told on recovery.carts", ["record"], registry=registry
        )
        self.levels = Counter(
            "trolleybus_detector_levels_fired", "Levels fired, by their seconds", ["level_seconds"], registry=registry
        )
        self.lateness = Histogram(
            "trolleybus_detector_level_lateness_seconds",
            "From a level's due time to the append of its record; imported history left out",
            buckets=LATENESS_BUCKETS,
            registry=registry,
        )
        self.replayed = Counter(
            "trolleybus_detector_records_replayed",
            "Records read again below the state and passed over",
            registry=registry,
        )
        self.gaps = Counter("trolleybus_detector_gaps", "Times that offsets held no record any more", registry=registry)
        self.fenced = Counter(
            "trolleybus_detector_fenced",
            "Times that another worker had taken over a partition before this one knew",
            registry=registry,
        )
        self.restarts = Counter(
            "trolleybus_detector_restarts",
            "Times that work began anew from the rows after Kafka refused",
            registry=registry,
        )
        self.lag = Gauge("trolleybus_detector_lag_records", "Records not applied yet", ["partition"], registry=registry)
        self.clock_behind = Gauge(
            "trolleybus_detector_clock_behind_seconds",
            "How far a partition's clock is behind",
            ["partition"],
            registry=registry,
        )
        self.timers = Gauge(
            "trolleybus_detector_timers_waiting", "Carts that wait for a time", ["partition"], registry=registry
        )
        self.recovery_remaining = Gauge(
            "trolleybus_detector_recovery_remaining_records",
            "Offsets of the changelog still to be read before the partition is worked on",
            ["partition"],
            registry=registry,
        )
        self.recovery_seconds = Gauge(
            "trolleybus_detector_recovery_seconds", "Time from the last assignment until work began", registry=registry
        )
        self.partitions = Gauge(
            "trolleybus_detector_partitions",
            "Partitions of this worker, by what it does with them",
            ["role"],
            registry=registry,
        )

    def forget(self, partition: int) -> None:
        """A partition went to another worker."""
        for gauge in (self.lag, self.clock_behind, self.timers, self.recovery_remaining):
            gauge.remove(str(partition))

"""What the detector counts and measures."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.abandonment.domain.engine import Note

LATENESS_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 15, 60, 300, 3600)


class AbandonmentMetrics:
    """Each on the given registry, so that tests have their own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.records = Counter(
            "detector_records", "Records of cart.activity by what became of them", ["result"], registry=registry
        )
        for note in Note:
            self.records.labels(note.value)
        self.parked = Counter("detector_parked", "Records parked, by reason", ["reason"], registry=registry)
        self.effects = Counter("detector_effects", "Records told on recovery.carts", ["record"], registry=registry)
        self.levels = Counter(
            "detector_levels_fired", "Levels fired, by their seconds", ["level_seconds"], registry=registry
        )
        self.lateness = Histogram(
            "detector_level_lateness_seconds",
            "From a level's due time to the acknowledgement of its record; imported history left out",
            buckets=LATENESS_BUCKETS,
            registry=registry,
        )
        self.replayed = Counter("detector_records_replayed", "Records read again below the state", registry=registry)
        self.gaps = Counter("detector_gaps", "Times that records were missing and were read again", registry=registry)
        self.lag = Gauge("detector_lag_records", "Records not applied yet", ["partition"], registry=registry)
        self.clock_behind = Gauge(
            "detector_clock_behind_seconds",
            "How far a partition's clock is behind the wall",
            ["partition"],
            registry=registry,
        )
        self.timers = Gauge("detector_timers_waiting", "Carts that wait for a time", ["partition"], registry=registry)
        self.rebuild_seconds = Gauge(
            "detector_rebuild_seconds", "Time that the last rebuild of timers from the table took", registry=registry
        )

    def forget(self, partition: int) -> None:
        """A partition went to another worker."""
        for gauge in (self.lag, self.clock_behind, self.timers):
            gauge.remove(str(partition))

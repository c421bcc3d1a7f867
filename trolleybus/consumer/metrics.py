"""What a process's consumers tell Prometheus. Make one for a process and hand it to all of them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_PLACE = ["consumer", "topic", "partition"]


class ConsumerMetrics:
    """Topics are named logically (orders)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.lag = Gauge(
            "trolleybus_consumer_lag_records",
            "Records of a partition that are not handled yet.",
            _PLACE,
            registry=registry,
        )
        self.handled = Counter(
            "trolleybus_consumer_handled_records", "Records whose effects are committed.", _PLACE, registry=registry
        )
        self.parked = Counter(
            "trolleybus_consumer_parked_records",
            "Records put into the dead letter topic, or held where a topic never skips.",
            [*_PLACE, "reason"],
            registry=registry,
        )
        self.retries = Counter(
            "trolleybus_consumer_retries",
            "Attempts that failed and were made again.",
            [*_PLACE, "reason"],
            registry=registry,
        )
        self.lost = Counter(
            "trolleybus_consumer_lost_records",
            "Records deleted by Kafka before they were read.",
            _PLACE,
            registry=registry,
        )
        self.fenced = Counter(
            "trolleybus_consumer_fenced",
            "Batches rolled back because another owner had moved on.",
            _PLACE,
            registry=registry,
        )
        self.batch_seconds = Histogram(
            "trolleybus_consumer_batch_seconds",
            "Time from a batch's first attempt to its commit.",
            ["consumer", "topic"],
            buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=registry,
        )

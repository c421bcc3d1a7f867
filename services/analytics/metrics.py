"""What analytics tells Prometheus besides its consumer's and its HTTP figures."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class AnalyticsMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._records = Counter(
            "trolleybus_analytics_projected_records", "Records joined into the facts.", ["topic"], registry=registry
        )
        self._seconds = Histogram(
            "trolleybus_analytics_project_seconds",
            "Time to join one batch into the facts, before its commit.",
            buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
            registry=registry,
        )
        self.query_seconds = Histogram(
            "trolleybus_analytics_figures_seconds",
            "Time to draw all figures of one dashboard from the facts.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
            registry=registry,
        )
        self.streams = Gauge(
            "trolleybus_analytics_streams", "Pages that listen to the stream of changes.", registry=registry
        )

    def projected(self, topic: str, records: int, seconds: float) -> None:
        self._records.labels(topic).inc(records)
        self._seconds.observe(seconds)

"""What messaging tells Prometheus beside the library's figures."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_WAITS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class MessagingMetrics:
    """One a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.barrier_seconds = Histogram(
            "trolleybus_messaging_barrier_seconds",
            "From asking for the ends until the projection has passed them.",
            buckets=_WAITS,
            registry=registry,
        )
        self.barrier_failures = Counter(
            "trolleybus_messaging_barrier_failures",
            "Barriers that nothing went through: timeout, unavailable, above_the_end.",
            ["reason"],
            registry=registry,
        )
        self.claims = Counter("trolleybus_messaging_claims", "Messages claimed.", registry=registry)
        self.released = Counter(
            "trolleybus_messaging_released",
            "Claims given back or expired before a call.",
            ["reason"],
            registry=registry,
        )
        self.answers = Counter(
            "trolleybus_messaging_answers", "Answers of providers.", ["provider", "answer"], registry=registry
        )
        self.call_seconds = Histogram(
            "trolleybus_messaging_call_seconds", "Calls of providers.", ["provider"], buckets=_WAITS, registry=registry
        )
        self.lateness_seconds = Histogram(
            "trolleybus_messaging_lateness_seconds",
            "From when a message was due, or asked for if that was later, until its call.",
            buckets=(*_WAITS, 30, 60, 300, 1800),
            registry=registry,
        )
        self.refusals = Counter(
            "trolleybus_messaging_refusals", "Messages refused or deferred.", ["outcome", "rule"], registry=registry
        )
        self.states = Gauge(
            "trolleybus_messaging_open_messages", "Messages that are not settled.", ["state"], registry=registry
        )
        self.holds = Gauge("trolleybus_messaging_holds", "Holds in force.", registry=registry)

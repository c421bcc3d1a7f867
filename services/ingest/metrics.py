"""What the gateway measures."""

from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from trolleybus.gathered import Gathered


class IngestMetrics:
    """Labels are bounded: sources, kinds and topics are closed lists; no store, no key, no person."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "trolleybus_ingest_events_total",
            "Events by what became of them (accepted, refused, unacknowledged)",
            ["source", "kind", "outcome"],
            registry=registry,
        )
        self.records = Counter(
            "trolleybus_ingest_records_total", "Records acknowledged by Kafka", ["topic"], registry=registry
        )
        self.marked = Counter("trolleybus_ingest_marked_total", "Events marked", ["mark"], registry=registry)
        self.webhooks = Counter(
            "trolleybus_ingest_webhooks_total",
            "Webhooks by topic and what became of them (accepted, duplicate, ignored, test, refused, unsigned, other_shop)",
            ["source", "topic", "outcome"],
            registry=registry,
        )
        self.turned_away = Counter(
            "trolleybus_ingest_turned_away_total",
            "Requests turned away before Kafka (overloaded, slow_broker, store_share, crowded, rate_limit)",
            ["reason"],
            registry=registry,
        )
        self.ack_seconds = Histogram(
            "trolleybus_ingest_ack_seconds",
            "From handing a request's records to Kafka to the last acknowledgement",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
            registry=registry,
        )
        self.in_flight = Gauge(
            "trolleybus_ingest_records_in_flight",
            "Records that wait for Kafka's acknowledgement",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.valkey_failures = Counter(
            "trolleybus_ingest_valkey_failures_total",
            "Times that Valkey did not answer and the gateway went on without it",
            ["purpose"],
            registry=registry,
        )
        self.identity_lookups = Counter(
            "trolleybus_ingest_identity_lookups_total",
            "Events by what the map told of their shopper: remembered here, known or stranger to Valkey, unasked while it"
            " was away",
            ["answer"],
            registry=registry,
        )
        self.identity_writes = Counter(
            "trolleybus_ingest_identity_writes_total",
            "Events that the identity map learned from (written), or could not keep (lost)",
            ["outcome"],
            registry=registry,
        )
        self.partings = Counter(
            "trolleybus_ingest_identity_partings_total",
            "Events on a device that another customer had used before",
            registry=registry,
        )
        self._gathered = Gathered()
        # Asking a metric for its labels takes longer than counting; these are counted for each event.
        self._lookup = cache(self.identity_lookups.labels)
        self._event = cache(self.events.labels)
        self._record = cache(self.records.labels)

    def count_events(self, source: str, kinds: Sequence[str], outcome: str) -> None:
        """One event more of each kind."""
        for kind, number in _counted(kinds):
            self._gathered.add(self._event(source, kind, outcome), number)

    def count_marks(self, marks: Sequence[str]) -> None:
        """One event more with each mark."""
        for mark, number in _counted(marks):
            self.marked.labels(mark).inc(number)

    def count_records(self, topics: Sequence[str]) -> None:
        """One record more in each topic."""
        for topic, number in _counted(topics):
            self._gathered.add(self._record(topic), number)

    def count_lookups(self, answer: str, number: int = 1) -> None:
        """So many events of whose shopper the map told this."""
        self._gathered.add(self._lookup(answer), number)

    def acknowledged(self, seconds: float) -> None:
        """How long Kafka took for a request's records."""
        self._gathered.observe(self.ack_seconds, seconds)

    def waiting(self, records: int) -> None:
        """Records that wait for Kafka's acknowledgement now."""
        self._gathered.set(self.in_flight, records)


def _counted(names: Sequence[str]) -> Iterable[tuple[str, int]]:
    if names and names.count(names[0]) < len(names):
        return Tally(names).items()
    return [(name, len(names)) for name in names[:1]]

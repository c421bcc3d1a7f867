"""What every service measures of its HTTP side."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from trolleybus.gathered import Gathered

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Where the processes of one service keep their metrics, as prometheus-client names it."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def shown(registry: CollectorRegistry) -> bytes:
    """The metrics as Prometheus reads them: of all processes together where several share the port."""
    if SHARED_FOLDER not in os.environ:
        return generate_latest(registry)
    whole = CollectorRegistry()
    MultiProcessCollector(whole)  # type: ignore[no-untyped-call]  # prometheus-client has no types there
    return generate_latest(whole)


class HttpMetrics:
    """Labels are bounded: routes are templates ("none" when nothing matched), methods the known ones."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._gathered = Gathered()
        self._found: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._requests = Counter(
            "trolleybus_http_requests_total",
            "Requests answered, by route template and status (0: cut off before an answer)",
            ["method", "route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "trolleybus_http_request_seconds",
            "Time from a request's first byte to the end of its answer",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=registry,
        )

    def observe(self, method: str, route: str, status: int, seconds: float | None) -> None:
        counted, timed = self._of(method, route, status)
        counted.inc()
        if seconds is not None:
            timed.observe(seconds)

    def observe_soon(self, method: str, route: str, status: int, seconds: float) -> None:
        """As observe, at the end of the event loop's pass."""
        counted, timed = self._of(method, route, status)
        self._gathered.add(counted)
        self._gathered.observe(timed, seconds)

    def _of(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        method = method if method in _METHODS else "OTHER"
        place = method, route, status
        found = self._found.get(place)  # Asking a metric for its labels takes longer than counting.
        if found is None:
            counted, timed = self._requests.labels(method, route, str(status)), self._seconds.labels(method, route)
            found = self._found[place] = counted, timed
        return found

"""The detector's benchmarks, and the figures that each gives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping

from tests.bench.detector import many_carts, memory, rate, takeover, timeliness
from tests.bench.figures import Figure
from tests.bench.ground import Ground

PARTS: Mapping[Callable[[Ground], AsyncIterator[Figure]], tuple[str, ...]] = {
    rate.measure: ("detector.events_per_second", "detector.transactions_cost"),
    many_carts.measure: (
        "detector.rate_at_1m_carts",
        "detector.rate_at_1m_carts_uniform",
        "detector.rss_at_1m_carts_mib",
    ),
    timeliness.measure: ("detector.due_to_topic_p50_ms", "detector.due_to_topic_p99_ms"),
    takeover.measure_cold: ("detector.takeover_1m_carts_seconds",),
    takeover.measure_standby: ("detector.takeover_standby_seconds",),
    memory.measure: ("detector.rss_growth_over_20m_events_mib",),
}

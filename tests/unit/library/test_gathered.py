"""Figures told once a pass are those that the metrics would have counted one by one."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from trolleybus.gathered import Gathered, observe_all

BOUNDS = (0.25, 1.0, 2.5)


def told(registry: CollectorRegistry) -> list[str]:
    """Without the times at which metrics were made."""
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


@given(st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, 2.5, 3.0, float("inf")]) | st.floats(0, 4, width=16)))
def test_observing_all_is_observing_each(values: list[float]) -> None:
    together, apart = CollectorRegistry(), CollectorRegistry()
    observe_all(Histogram("seconds", "", buckets=BOUNDS, registry=together), values)
    each = Histogram("seconds", "", buckets=BOUNDS, registry=apart)
    for value in values:
        each.observe(value)
    assert [line for line in told(together) if "_sum" not in line] == [
        line for line in told(apart) if "_sum" not in line
    ]  # Floats added in another order.
    assert together.get_sample_value("seconds_count") == len(values)


async def test_what_was_gathered_in_a_pass_is_told_after_it_once() -> None:
    registry = CollectorRegistry()
    counter = Counter("events", "", ["kind"], registry=registry)
    histogram = Histogram("seconds", "", buckets=BOUNDS, registry=registry)
    gauge = Gauge("waiting", "", registry=registry)
    gathered = Gathered()
    for _ in range(3):
        gathered.add(counter.labels("a"))
        gathered.observe(histogram, 0.5)
    gathered.add(counter.labels("b"), 5)
    gathered.set(gauge, 4)
    gathered.set(gauge, 2)
    await asyncio.sleep(0)
    gathered.add(counter.labels("a"))
    await asyncio.sleep(0)
    assert registry.get_sample_value("events_total", {"kind": "a"}) == 4
    assert registry.get_sample_value("events_total", {"kind": "b"}) == 5
    assert registry.get_sample_value("seconds_bucket", {"le": "1.0"}) == 3
    assert registry.get_sample_value("seconds_sum") == 1.5
    assert registry.get_sample_value("waiting") == 2

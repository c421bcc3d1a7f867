"""Leases: together never more than the limit, over any time, whatever the clocks do."""

from hypothesis import example, given
from hypothesis import strategies as st

from services.ingest.domain.buckets import LEASE_S, Bucket, Lease, Limit, Plan

LARGEST = 50

limits = st.builds(
    lambda rate, spare: Limit(rate, LARGEST + rate // 10 + 1 + spare), st.integers(1, 500), st.integers(0, 1000)
)
# Which process, how long after the last, how many events.
steps = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([0.0, 0.001, 0.02, 0.1, 0.6, 3.0]), st.integers(1, LARGEST))
)


@given(limits, st.lists(steps, min_size=1, max_size=3).map(lambda many: [step for one in many for step in one] * 3))
@example(Limit(100, 200), [(number % 3, 0.02, 5) for number in range(300)])
def test_over_any_time_no_more_passes_than_the_limit_says(limit: Limit, story: list[tuple[int, float, int]]) -> None:
    plan = Plan.of(limit, LARGEST)
    bucket, leases, now = Bucket(plan, 0.0), [Lease(), Lease(), Lease()], 0.0
    passed: list[tuple[float, int]] = []
    for process, pause, events in story:
        now += pause
        lease = leases[process]
        if lease.held(now) < events:
            grant = bucket.grant(now, events, lease.ask(now, events, plan.chunk))
            if grant.tokens:
                lease.add(now, grant.tokens, now + plan.lease_s)
        if lease.held(now) >= events:
            lease.spend(now, events)
            passed.append((now, events))
        assert lease.older >= 0
        assert lease.newer >= 0
    for start, (begin, _) in enumerate(passed):
        total = 0
        for at, events in passed[start:]:
            total += events
            assert total <= limit.burst + limit.per_second * (at - begin) + 1


@given(limits)
@example(Limit(199, 159))
def test_a_rested_bucket_takes_the_largest_request(limit: Limit) -> None:
    plan = Plan.of(limit, LARGEST)
    assert 0.1 <= plan.lease_s <= LEASE_S
    bucket = Bucket(plan, 0.0)
    bucket.grant(0.0, 1, plan.bucket)
    assert bucket.grant(plan.bucket / limit.per_second + 1, LARGEST, LARGEST).tokens == LARGEST


def test_a_bucket_fills_at_its_rate() -> None:
    bucket = Bucket(Plan.of(Limit(10, 100), LARGEST), 0.0)
    assert bucket.grant(0.0, 1, 1000).tokens == 90
    assert bucket.grant(0.05, 1, 5).tokens == 0
    assert bucket.grant(0.15, 1, 5).tokens == 1
    assert bucket.grant(2.0, 5, 1000).tokens == 19


@given(limits, st.lists(st.floats(-1e6, 1e6), max_size=30))
def test_no_step_of_a_clock_fills_more_than_the_bucket_or_stops_it(limit: Limit, clocks: list[float]) -> None:
    plan = Plan.of(limit, LARGEST)
    bucket = Bucket(plan, 0.0)
    for now in clocks:
        assert 0 <= bucket.grant(now, 1, plan.bucket).tokens <= plan.bucket
    after = clocks[-1] if clocks else 0.0
    assert bucket.grant(after + plan.bucket / limit.per_second + 1, 1, plan.bucket).tokens > 0


def test_a_lease_ends_with_its_time_and_what_is_left_keeps_its_own() -> None:
    lease = Lease()
    lease.add(0.0, 10, 1.0)
    lease.spend(0.5, 6)
    lease.add(0.5, 20, 1.5)
    assert lease.held(0.9) == 24
    assert lease.held(1.1) == 20
    lease.spend(0.9, 5)
    assert (lease.older, lease.newer) == (0, 19)
    assert lease.held(1.6) == 0


def test_a_process_asks_for_more_while_it_spends_quickly_and_for_less_when_it_rests() -> None:
    lease = Lease()
    asked = []
    for number in range(6):
        wanted = lease.ask(number * 0.01, 1, 16)
        asked.append(wanted)
        lease.add(number * 0.01, wanted, number * 0.01 + 1)
        lease.spend(number * 0.01, wanted)
    assert asked == [1, 2, 4, 8, 16, 16]
    lease.add(10.0, 16, 11.0)
    lease.spend(10.0, 3)
    assert lease.is_short(10.8, 1.0)
    assert lease.ask(10.8, 1, 16) == 3


def test_a_bucket_gives_nothing_where_it_holds_less_than_is_needed_and_keeps_what_it_has() -> None:
    bucket = Bucket(Plan.of(Limit(1, 100), LARGEST), 0.0)
    held = bucket.grant(0.0, 1, bucket.plan.bucket - 5).remaining
    assert held == 5
    refused = bucket.grant(0.0, 6, 10)
    assert (refused.tokens, refused.remaining) == (0, 5)
    assert bucket.grant(0.0, 5, 10).tokens == 5

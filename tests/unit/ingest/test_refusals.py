"""A flood of refusals is told slowly, and nobody else's wait for it."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.refusals import Refusals

FLOOD = st.lists(st.tuples(st.sampled_from("ab"), st.floats(0.0, 0.1)), min_size=1, max_size=300)


def test_a_single_refusal_is_told_at_once() -> None:
    refusals = Refusals(per_second=10, longest_s=1)
    assert refusals.wait_s("a", 5.0) == 0
    assert refusals.wait_s("b", 5.0) == 0
    assert refusals.wait_s("a", 5.2) == 0


@given(FLOOD)
def test_of_one_store_no_more_are_told_a_second_unless_they_have_waited_longest(flood: list[tuple[str, float]]) -> None:
    refusals = Refusals(per_second=20, longest_s=0.5)
    told: dict[str, list[tuple[float, float]]] = {"a": [], "b": []}
    now = 100.0
    for store, later in flood:
        now += later
        wait = refusals.wait_s(store, now)
        assert 0 <= wait <= 0.5 + 1e-9
        told[store].append((now + wait, wait))
    for times in told.values():
        for (earlier, _), (at, wait) in pairwise(times):
            assert at - earlier >= 1 / 20 - 1e-9 or wait >= 0.5 - 1e-9


@given(FLOOD)
def test_a_stores_refusals_are_told_as_if_the_others_were_not_there(flood: list[tuple[str, float]]) -> None:
    together, alone = Refusals(), Refusals()
    now = 100.0
    for store, later in flood:
        now += later
        wait = together.wait_s(store, now)
        if store == "a":
            assert wait == alone.wait_s(store, now)

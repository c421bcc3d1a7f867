from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from trolleybus.contracts import ids

PARTS = st.lists(st.text(max_size=12), min_size=1, max_size=4)


@given(PARTS, PARTS)
def test_P2_different_causes_give_different_ids_and_the_same_give_the_same(one: list[str], other: list[str]) -> None:
    assert (ids.derived_id(*one) == ids.derived_id(*other)) == (one == other)


@given(PARTS)
def test_an_id_is_a_uuid_of_version_5(parts: list[str]) -> None:
    assert UUID(ids.derived_id(*parts)).version == 5


def test_ids_do_not_change_between_releases() -> None:
    event = ids.source_event("store", "native", "evt-1")
    episode = ids.episode("store", "cart", ids.record_of(event, "CartActivity"))
    journey = ids.journey("campaign", episode)
    assert event == "76d78eac-824f-540c-b63f-0680fd651ec2"
    assert episode == "4ec98893-7bd4-5d1d-bd34-e186b45ea513"
    assert ids.abandonment(episode, 900) == "2ddd07ac-5570-5fa5-8a81-fd103d3ccad9"
    assert ids.message(journey, 0, "email", 1) == "0ae0d6f6-f12e-5c25-8d85-64adbe0190d9"


def test_parts_that_read_alike_when_joined_stay_apart() -> None:
    assert ids.source_event("a", "b:c", "d") != ids.source_event("a:b", "c", "d")


@given(st.text(max_size=12), st.text(max_size=12), st.text(max_size=12), st.integers() | st.text(max_size=5))
def test_ids_that_are_written_out_are_those_of_their_parts(one: str, two: str, three: str, number: int | str) -> None:
    assert ids.source_event(one, two, three) == ids.derived_id("event", one, two, three)
    assert ids.record_of(one, two, number) == ids.derived_id("record", one, two, number)

"""A parked record keeps all that it was."""

from hypothesis import given
from hypothesis import strategies as st

from trolleybus.deadletter.records import (
    Parked,
    Parking,
    marked,
    original_headers,
    park,
    parking_of,
    replay_marker,
    restored,
)

NAMES = st.text("abcdefghij_-", min_size=1, max_size=12).filter(lambda name: not name.startswith("dlt_"))
HEADERS = st.lists(st.tuples(NAMES, st.binary(max_size=20)), max_size=6)


@given(st.binary(max_size=30), st.binary(max_size=60), HEADERS, st.text(max_size=2000))
def test_a_parked_record_can_be_restored_byte_by_byte(
    key: bytes, value: bytes, headers: list[tuple[str, bytes]], detail: str
) -> None:
    parking = Parking(reason="ValueError", detail=detail, topic="orders.v1", partition=3, offset=17, parked_at=5)
    letter = park("campaigns.orders.dlt", key, value, headers, parking)
    read = parking_of(dict(letter.headers))
    assert read is not None
    assert (read.reason, read.topic, read.partition, read.offset, read.parked_at) == (
        "ValueError", "orders.v1", 3, 17, 5,
    )  # fmt: skip
    parked = Parked(
        topic="campaigns.orders.dlt", partition=0, offset=2, key=key, value=letter.value, headers=letter.headers,
        parking=read,
    )  # fmt: skip
    back = restored(parked)
    assert (back.topic, back.key, back.value, list(back.headers)) == ("orders.v1", key, value, headers)


def test_a_record_parked_twice_tells_of_the_last_time_only() -> None:
    first = Parking(reason="a", topic="orders.v1", partition=0, offset=1, parked_at=1)
    letter = park("x.dlt", b"k", b"v", [("ce_id", b"1")], first)
    second = park(
        "x.dlt", b"k", b"v", letter.headers, Parking(reason="b", topic="t", partition=0, offset=2, parked_at=2)
    )
    assert [value for name, value in second.headers if name == "dlt_reason"] == [b"b"]
    assert original_headers(second.headers) == [("ce_id", b"1")]


def test_a_replay_marker_names_the_parked_record_and_is_no_parked_record() -> None:
    parking = Parking(reason="a", topic="orders.v1", partition=0, offset=1, parked_at=1)
    parked = Parked(topic="x.dlt", partition=2, offset=9, key=b"k", value=b"v", headers=[], parking=parking)
    marker = replay_marker(parked, 77)
    assert marked(dict(marker.headers)) == (parked.place, 77) == ("2:9", 77)
    assert parking_of(dict(marker.headers)) is None
    assert marker.topic == "x.dlt"

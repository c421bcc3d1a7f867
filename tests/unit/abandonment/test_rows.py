"""What the detector keeps of a cart comes back as it was, whatever the values."""

from __future__ import annotations

from dataclasses import fields
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.abandonment.domain.activity import Activity, Line, activity_of, line_of
from services.abandonment.domain.contents import Contents, Entry, Increment
from services.abandonment.domain.effects import contract_line
from services.abandonment.domain.seen import MAX_SEEN, NONE_SEEN, Seen, compact
from services.abandonment.domain.state import ROW_VERSION, CartState, Fired, Status, pack
from trolleybus.contracts.cart import CartActivity, CartLine
from trolleybus.contracts.money import Money

texts = st.text(max_size=8)
numbers = st.integers(-(2**63), 2**63 - 1)
some_texts = st.lists(texts, max_size=3).map(tuple)
amounts = st.builds(Money, minor=numbers, currency=texts)
contract_lines = st.builds(
    CartLine,
    **dict.fromkeys(("line_id", "product_id", "variant_id", "name", "url", "image_url", "category", "brand"), texts),
    quantity=numbers,
    unit_price=amounts,
    discount=amounts,
    price_rounded=st.booleans(),
)
lines = contract_lines.map(line_of)
uuids = st.integers(0, 2**128 - 1).map(lambda number: str(UUID(int=number)))
contents = st.builds(
    Contents,
    floor_at=numbers,
    floor_id=texts,
    discount=numbers,
    discount_currency=texts,
    entries=st.lists(st.builds(Entry, at=numbers, id=texts, line=lines), max_size=3).map(tuple),
    increments=st.lists(
        st.builds(Increment, at=numbers, id=texts, lines=st.lists(lines, max_size=2).map(tuple)), max_size=3
    ).map(tuple),
)
levels = st.lists(st.builds(Fired, seconds=numbers, due_at=numbers, episode_id=texts), max_size=3).map(tuple)
OTHERS = {
    "packed": contents.map(pack),
    "seen": st.builds(Seen, uuids=st.binary(max_size=64), others=some_texts),
    "fired": levels,
    "earlier": levels,
    "status": st.sampled_from(Status.__args__),  # type: ignore[attr-defined]  # of a Literal
}
states = st.builds(
    CartState,
    **{
        item.name: OTHERS.get(item.name, {int: numbers, str: texts}.get(item.type, some_texts))
        for item in msgspec.structs.fields(CartState)
    },
)


@given(states)
@settings(max_examples=150, deadline=None)
def test_a_state_comes_back_from_its_row_as_it_was(state: CartState) -> None:
    assert CartState.from_row(state.to_row()) == state


@given(contract_lines)
def test_a_line_comes_back_to_the_contract_as_it_was(line: CartLine) -> None:
    assert contract_line(line_of(line)) == line
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(line_of(line)), type=Line) == line_of(line)


@given(
    st.builds(
        CartActivity,
        **{
            item.name: {"int": numbers, "str": texts, "bool": st.booleans(), "Money": amounts}.get(
                getattr(item.type, "__name__", ""), some_texts
            )
            for item in fields(CartActivity)
            if item.name != "lines"
        },
        lines=st.lists(contract_lines, max_size=2).map(tuple),
    )
)
@settings(max_examples=60, deadline=None)
def test_an_activity_tells_what_its_record_told(record: CartActivity) -> None:
    activity = activity_of(record)
    for name in Activity.__struct_fields__:
        told = getattr(record, name.removesuffix("_currency"), None)
        match told:
            case Money():
                assert getattr(activity, name) == (told.currency if name.endswith("_currency") else told.minor)
            case _ if name == "lines":
                assert tuple(contract_line(line) for line in activity.lines) == record.lines
            case _:
                assert getattr(activity, name) == told


@given(states, st.data())
@settings(max_examples=60, deadline=None)
def test_P8_a_damaged_row_is_refused(state: CartState, data: st.DataObject) -> None:
    row = state.to_row()
    cut = data.draw(st.integers(0, len(row) - 1))
    with pytest.raises(ValueError, match="a cart's row"):
        CartState.from_row(row[:cut])
    with pytest.raises(ValueError, match="a cart's row"):
        CartState.from_row(row + b"\0")


@pytest.mark.parametrize(
    "row",
    [
        b"",
        b"[1]",
        b'[1,"store"]',
        msgspec.msgpack.encode([ROW_VERSION + 1, "store", "cart"]),
        msgspec.msgpack.encode([ROW_VERSION, "store"]),
        msgspec.msgpack.encode([ROW_VERSION, "store", 5]),
        msgspec.msgpack.encode([ROW_VERSION, "store", "cart", "tomorrow's status"]),
        msgspec.msgpack.encode([*msgspec.msgpack.decode(CartState(store_id="s", cart_id="c").to_row()), 0]),
        msgspec.msgpack.encode({"store_id": "store", "cart_id": "cart"}),
    ],
)
def test_P8_a_row_of_another_make_is_refused(row: bytes) -> None:
    with pytest.raises(ValueError, match=f"not one of version {ROW_VERSION}"):
        CartState.from_row(row)


@given(st.lists(st.one_of(uuids, uuids.map(str.upper), texts), max_size=30, unique=True), st.data())
def test_P2_exactly_the_ids_that_were_heard_are_known(heard: list[str], data: st.DataObject) -> None:
    seen = NONE_SEEN
    for id_ in heard:
        assert not seen.knows(compact(id_))
        seen = seen.plus(compact(id_))
    assert all(seen.knows(compact(id_)) for id_ in heard)
    for id_ in data.draw(st.lists(st.one_of(uuids, texts), max_size=5)):
        assert seen.knows(compact(id_)) == (id_ in heard)


def test_P2_an_id_found_across_two_others_is_not_known() -> None:
    one, two = bytes(range(16)), bytes(range(16, 32))
    across = (one + two)[8:24]
    seen = NONE_SEEN.plus(one).plus(two)
    assert not seen.knows(across)
    assert seen.plus(across).knows(across)


@pytest.mark.parametrize("name", ["{0:032x}", "urn-{0}"])
def test_the_last_ids_of_either_form_are_remembered(name: str) -> None:
    heard = [str(UUID(int=number)) if name == "{0:032x}" else name.format(number) for number in range(MAX_SEEN + 1)]
    seen = NONE_SEEN
    for id_ in heard:
        seen = seen.plus(compact(id_))
    assert [seen.knows(compact(id_)) for id_ in heard] == [False] + [True] * MAX_SEEN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "e-1",
        "0B0C0D0E-0000-0000-0000-000000000000",
        "0b0c0d0e-0000-0000-0000-00000000000g",
        "0b0c0d0e-0000-0000-0000-0000-0000000",
        "0b0c0d0e-0000-0000-0000-0000000 0000",
        "0b0c0d0e00000-0000-0000-00-000000000",
        "٠b0c0d0e-0000-0000-0000-000000000000",
    ],
)
def test_only_a_canonical_uuid_is_shortened(text: str) -> None:
    assert compact(text) == text
    assert compact("0b0c0d0e-0000-0000-0000-000000000000") == b"\x0b\x0c\x0d\x0e" + bytes(12)


def test_the_rows_of_usual_carts_are_small() -> None:
    state = CartState(store_id="store-1", cart_id="0b0c0d0e-0000-0000-0000-000000000000")
    for number in range(10):
        state.seen = state.seen.plus(compact(str(UUID(int=number))))
    assert len(state.to_row()) < 10 * 16 + 100

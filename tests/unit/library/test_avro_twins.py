"""The two implementations of trolleybus.avro say the same, whatever the schema, the bytes and the values."""

import gc
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from sys import getrefcount
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.avro_twins import PURE, Twin, compiled_twin, twin
from trolleybus.avro import BAD_BYTES, Shape, Unsupported

__all__ = ["twin"]

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.text("ab", min_size=60, max_size=70)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXT,
    "bytes": st.binary(max_size=4),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1) | st.integers(-200, 200),
    "float": st.floats(width=32),
    "double": st.floats(),
    "boolean": st.booleans(),
}
EMPTY: dict[str, Any] = {
    **{"string": "", "bytes": "", "int": 0, "long": 7, "float": 0.5, "double": 0.5, "boolean": False},
    **{"array": [], "map": {}, "record": {}},
}
PLAIN = st.sampled_from(sorted(VALUES))
MOMENT = st.just({"type": "long", "logicalType": "timestamp-millis"})


@pytest.fixture(scope="module")
def compiled() -> Twin:
    return compiled_twin()


def kind_of(written: Any) -> str:
    kind = written if isinstance(written, str) else written["type"]
    assert isinstance(kind, str)
    return kind


def record_of(types: list[Any]) -> dict[str, Any]:
    fields = [
        {"name": f"f{number}", "type": written, "default": EMPTY[kind_of(written)]}
        for number, written in enumerate(types)
    ]
    return {"type": "record", "name": "?", "fields": fields}


RECORDS = st.recursive(
    st.lists(PLAIN | MOMENT, max_size=4).map(record_of),
    lambda inner: st.lists(
        PLAIN
        | MOMENT
        | inner
        | st.builds(lambda items: {"type": "array", "items": items}, PLAIN | inner)
        | st.builds(lambda values: {"type": "map", "values": values}, PLAIN),
        min_size=1,
        max_size=5,
    ).map(record_of),
    max_leaves=5,
)


def named(written: Any, numbers: Any) -> Any:
    """A copy in which every record has a name of its own."""
    if isinstance(written, str):
        return written
    copy = {**written}
    if copy["type"] == "record":
        copy["name"] = f"R{next(numbers)}"
        copy["fields"] = [{**field, "type": named(field["type"], numbers)} for field in copy["fields"]]
    elif copy["type"] == "array":
        copy["items"] = named(copy["items"], numbers)
    return copy


SCHEMAS = RECORDS.map(lambda written: named(written, count()))


@st.composite
def older(draw: st.DrawFn, written: Any) -> Any:
    """The same without some of its fields, and with one that is not known here."""
    if isinstance(written, str):
        return written
    if written["type"] == "array":
        return {**written, "items": draw(older(written["items"]))}
    if written["type"] != "record":
        return written
    kept = [field for field in written["fields"] if draw(st.integers(0, 5))]
    fields = [{**field, "type": draw(older(field["type"]))} for field in kept]
    if draw(st.booleans()):
        place = draw(st.integers(0, len(fields)))
        fields.insert(place, {"name": "unknown", "type": draw(PLAIN)})
    return {**written, "fields": fields}


@st.composite
def shapes(draw: st.DrawFn, schema: Any) -> Shape[Any]:
    chosen: list[Any] = []
    for path, written in leaves(schema):
        if not draw(st.integers(0, 3)):
            continue
        kind = kind_of(written)
        if kind == "record":
            chosen.append((path, draw(shapes(written))))
        elif kind == "array" and kind_of(written["items"]) == "record":
            chosen.append((path, draw(shapes(written["items"]))))
        else:
            chosen.append(path)
    again = draw(st.booleans())
    if chosen and again:
        chosen.append(draw(st.sampled_from(chosen)))
    return Shape(lambda *found: found, tuple(draw(st.permutations(chosen))))


def leaves(schema: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Every second nested record as a whole, of the others the fields."""
    found: list[tuple[str, Any]] = []
    for number, field in enumerate(schema["fields"]):
        path, written = prefix + field["name"], field["type"]
        if kind_of(written) == "record" and number % 2:
            found += leaves(written, f"{path}.")
        else:
            found.append((path, written))
    return found


def values_of(written: Any) -> st.SearchStrategy[Any]:
    kind = kind_of(written)
    if kind == "record":
        return st.builds(SimpleNamespace, **{field["name"]: values_of(field["type"]) for field in written["fields"]})
    if kind == "array":
        return st.lists(values_of(written["items"]), max_size=3)
    if kind == "map":
        return st.dictionaries(TEXT, values_of(written["values"]), max_size=3)
    return VALUES[kind]


def same(pure: Callable[..., Any], compiled: Callable[..., Any], body: bytes) -> bool:
    """Whether both read the same (as text: a double that is no number equals nothing), or both refuse the bytes."""
    return read_compiled(compiled, body) == read_pure(pure, body)


def read_pure(read: Callable[..., Any], body: bytes) -> str | None:
    try:
        found, end = read(body, 2)
    except BAD_BYTES:
        return None
    return repr((found, end)) if end <= len(body) else None  # The caller compares the end.


def read_compiled(read: Callable[..., Any], body: bytes) -> str | None:
    try:
        found, end = read(body, 2)
    except BAD_BYTES:
        return None
    assert end <= len(body)  # It never looks behind the bytes, where Python has a zero of its own.
    return repr((found, end))


BYTE = st.sampled_from([0, 1, 2, 3, 127, 128, 129, 254, 255]) | st.integers(0, 255)
EDIT = st.tuples(st.integers(0, 10**6), st.integers(0, 2), st.lists(BYTE, max_size=3).map(bytes))


@given(data=st.data(), ours=SCHEMAS)
@settings(max_examples=300)
def test_P8_both_read_the_same_of_any_schema_and_any_bytes_or_refuse_both(
    compiled: Twin, data: st.DataObject, ours: Any
) -> None:
    schema = data.draw(older(ours))
    shape = data.draw(shapes(ours))
    try:
        pure = PURE.compile_reader(schema, shape, ours)
    except Unsupported:
        with pytest.raises(Unsupported):
            compiled.compile_reader(schema, shape, ours)
        return
    fast = compiled.compile_reader(schema, shape, ours)
    value = data.draw(values_of(schema))
    whole = PURE.compile_writer(schema, b"##")(value)
    assert compiled.compile_writer(schema, b"##")(value) == whole
    assert same(pure, fast, whole)
    assert read_pure(pure, whole) is not None
    for cut in range(2, len(whole)):
        assert same(pure, fast, whole[:cut])
    for edits in data.draw(st.lists(st.lists(EDIT, min_size=1, max_size=3), max_size=8)):
        broken = bytearray(whole[2:])
        for place, taken, put in edits:
            at = place % (len(broken) + 1)
            broken[at : at + taken] = put
        body = b"##" + bytes(broken)
        assert same(pure, fast, body)


@given(data=st.data(), schema=SCHEMAS, body=st.lists(BYTE, max_size=40).map(bytes))
@settings(max_examples=200)
def test_P8_both_read_the_same_of_bytes_that_nobody_wrote(
    compiled: Twin, data: st.DataObject, schema: Any, body: bytes
) -> None:
    shape = data.draw(shapes(schema))
    try:
        pure = PURE.compile_reader(schema, shape)
    except Unsupported:
        return
    assert same(pure, compiled.compile_reader(schema, shape), b"##" + body)


@st.composite
def given_fields(draw: st.DrawFn, schema: Any) -> tuple[Any, ...]:
    """Names of some fields; of an array of records at times with those of the records."""
    chosen: list[Any] = []
    for field in schema["fields"]:
        name, written = field["name"], field["type"]
        if not draw(st.integers(0, 2)):
            continue
        is_each = kind_of(written) == "array" and kind_of(written["items"]) == "record" and draw(st.booleans())
        chosen.append((name, draw(given_fields(written["items"]))) if is_each else name)
    return tuple(draw(st.permutations(chosen)))


def values_given(value: Any, names: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        getattr(value, one)
        if isinstance(one, str)
        else tuple(values_given(item, one[1]) for item in getattr(value, one[0]))
        for one in names
    )


NOTHING: dict[str, Any] = {"string": "", "bytes": b"", "array": [], "map": {}, "boolean": False}


def emptied(value: Any, schema: Any, names: tuple[Any, ...]) -> Any:
    """The same with nothing in the fields that are not given."""
    inner = {one if isinstance(one, str) else one[0]: None if isinstance(one, str) else one[1] for one in names}
    found = {}
    for field in schema["fields"]:
        name, written = field["name"], field["type"]
        kind = kind_of(written)
        if name not in inner:
            found[name] = emptied(None, written, ()) if kind == "record" else NOTHING.get(kind, 0)
        elif (names_of_items := inner[name]) is not None:
            found[name] = [emptied(item, written["items"], names_of_items) for item in getattr(value, name)]
        else:
            found[name] = getattr(value, name)
    return SimpleNamespace(**found)


@given(data=st.data(), schema=SCHEMAS)
@settings(max_examples=300)
def test_P8_values_at_hand_are_written_as_an_object_that_has_nothing_else(
    compiled: Twin, data: st.DataObject, schema: Any
) -> None:
    value, names = data.draw(values_of(schema)), data.draw(given_fields(schema))
    try:
        pure = PURE.compile_template(schema, names, b"##")
    except Unsupported:
        return
    fast = compiled.compile_template(schema, names, b"##")
    whole = PURE.compile_writer(schema, b"##")(emptied(value, schema, names))
    assert pure(values_given(value, names)) == whole
    assert fast(values_given(value, names)) == whole


def test_a_template_takes_as_many_values_as_it_names_and_no_name_that_is_none(twin: Twin) -> None:
    write = twin.compile_template(CART, ("id", ("lines", ("f0",))))
    assert write(("c", ((1,),)))
    for wrong in [("c",), ("c", (), 1), ("c", ((1, 2),)), ("c", ((),))]:
        with pytest.raises(ValueError, match="values"):
            write(wrong)
    for names in [("nothing",), ("id", "id"), (("id", ("f0",)),), (("lines", ("nothing",)),)]:
        with pytest.raises(LookupError):
            twin.compile_template(CART, names)


class Text(str):
    __slots__ = ()


class Whole:
    """What is a number without being one of Python's."""

    def __float__(self) -> float:
        return 2.5

    def __index__(self) -> int:
        return 2


ODD = [
    *(None, True, 0, 7, -1025, 1 << 62, 1 << 63, -(1 << 63), -(1 << 63) - 1, 1 << 200, 1.5, 1e300, float("inf")),
    *("", "x", "é", "\ud800", Text("é"), Text("x"), b"", b"x", bytearray(b"yz"), memoryview(b"yz"), object(), Whole()),
    *([], [1], ["x", None], ("a", "b"), [b"x"], {}, {"a": 1}, {1: 2}, {"a": "b"}, {"\ud800": "b"}, {"x"}, iter("ab")),
    *(SimpleNamespace(f0=1), SimpleNamespace(f0="x"), SimpleNamespace(), [SimpleNamespace(f0=2)]),
]
ONE_LONG = {"type": "record", "name": "Long", "fields": [{"name": "f0", "type": "long"}]}
TYPES: list[Any] = [
    *sorted(VALUES),
    *({"type": "array", "items": items} for items in ("string", "long", "bytes", ONE_LONG)),
    *({"type": "map", "values": values} for values in ("string", "long")),
    ONE_LONG,
]


def written_or_error(write: Callable[[Any], bytes], value: Any) -> bytes | type[Exception]:
    try:
        return write(value)
    except Exception as error:  # noqa: BLE001 - whatever it is, both must raise it
        return type(error)


@pytest.mark.parametrize("written", TYPES, ids=str)
def test_both_write_or_refuse_the_same_values(compiled: Twin, written: Any) -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "value", "type": written}]}
    pure, fast = PURE.compile_writer(schema), compiled.compile_writer(schema)
    for value in ODD:
        holder = SimpleNamespace(value=value)
        assert written_or_error(fast, holder) == written_or_error(pure, holder), value
    for write in (pure, fast):
        assert written_or_error(write, SimpleNamespace()) is AttributeError


def test_an_output_of_any_size_is_whole(compiled: Twin) -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "value", "type": {"type": "array", "items": "bytes"}}]}
    pure, fast = PURE.compile_writer(schema, b"#"), compiled.compile_writer(schema, b"#")
    for size in (*range(1000, 1040), 5000, 70_000, 1_000_000):
        holder = SimpleNamespace(value=[b"x" * size, b"y"])
        assert fast(holder) == pure(holder)


def test_an_offset_that_is_none_is_refused(compiled: Twin) -> None:
    read = compiled.compile_reader(ONE_LONG, Shape(lambda found: found, ("f0",)))
    for start in (-1, 2, 1 << 62):
        with pytest.raises(IndexError):
            read(b"\2", start)
    with pytest.raises(TypeError):
        read(bytearray(b"\2"), 0)  # type: ignore[arg-type]  # It could change while it is read.


def test_an_error_of_a_constructor_or_an_attribute_is_handed_on(compiled: Twin) -> None:
    def refuse(_: Any) -> Any:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        compiled.compile_reader(ONE_LONG, Shape(refuse, ("f0",)))(b"\2", 0)

    class Holder:
        @property
        def f0(self) -> int:
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        compiled.compile_writer(ONE_LONG)(Holder())


CART = {
    "type": "record",
    "name": "Cart",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "raw", "type": "bytes"},
        {"name": "tags", "type": {"type": "map", "values": "string"}},
        {"name": "lines", "type": {"type": "array", "items": {**ONE_LONG, "name": "Line"}}},
        {"name": "marks", "type": {"type": "array", "items": "string"}},
        {"name": "price", "type": "double"},
        {"name": "at", "type": "long"},
    ],
}


class Made:
    def __init__(self, *found: Any) -> None:
        self.found = found


@pytest.mark.parametrize("wanted", [True, False], ids=["wanted", "skipped"])
def test_nothing_is_left_behind_by_good_or_bad_bytes_and_values(compiled: Twin, wanted: bool) -> None:
    constant, line = "a default that is a constant", Shape(Made, ("f0",))
    ours = {**CART, "fields": [*CART["fields"], {"name": "extra", "type": "string", "default": constant}]}
    every: tuple[Any, ...] = ("id", "id", "raw", "tags", ("lines", line), "marks", "price", "at", "extra")
    read = compiled.compile_reader(CART, Shape(Made, every if wanted else ("extra",)), ours)
    write = compiled.compile_writer(CART)
    cart = {
        "id": "Größe" * 9,
        "raw": b"raw" * 500,
        "tags": {"größer": "x" * 70},
        "lines": [SimpleNamespace(f0=1 << 40), SimpleNamespace(f0=-5)],
        "marks": ["mark" * 20, "é"],
        "price": 9.5,
        "at": 1 << 60,
    }
    whole = write(SimpleNamespace(**cart))
    bad_carts = [SimpleNamespace(**{**cart, name: object()}) for name in cart]
    fill = compiled.compile_template(CART, (*[name for name in cart if name != "lines"], ("lines", ("f0",))))
    values = [value for name, value in cart.items() if name != "lines"]
    filled = (*values, ((1 << 40,), (-5,)))
    bad_fillings = [(*values, ((1,), (1, 2))), (*values, ((1,), [2])), (*values, ((object(),),)), tuple(values)]
    bad_fillings += [(*values[:at], object(), *values[at + 1 :], ()) for at in range(len(values))]
    bad_bytes = [whole[:cut] for cut in range(0, len(whole), 7)] + [whole[:3] + b"\xff" + whole[4:]]

    def go() -> None:
        for body in (whole, *bad_bytes):
            with suppress(*BAD_BYTES):
                read(body, 0)
        write(SimpleNamespace(**cart))
        for holder in bad_carts:
            assert isinstance(written_or_error(write, holder), type)
        fill(filled)
        for filling in bad_fillings:
            assert isinstance(written_or_error(fill, filling), type)

    def held() -> tuple[int, ...]:
        gc.collect()
        return (*map(getrefcount, (Made, constant, whole, None, "", cart["id"], cart["raw"], cart["tags"])),)

    for _ in range(3):
        go()
    tracemalloc.start()
    try:
        go()
        counts, (before, _) = held(), tracemalloc.get_traced_memory()
        for _ in range(60):
            go()
        after, (now, _) = held(), tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert now - before < 60 * 60  # Less than an object a round; caches of the interpreter may move by a few.
    assert all(abs(new - old) < 60 for new, old in zip(after, counts, strict=True)), (counts, after)


ROW = ("string", 0, 0, None)


@pytest.mark.parametrize(
    ("make", "wanted", "rows"),
    [
        (Made, 2, [ROW]),
        (Made, 1, [ROW, ROW]),
        (Made, 1, [("string", 7, 0, None)]),
        (Made, 1, [("again", 0, 0, None)]),
        (Made, 0, [("skip_fixed", -1, -8, None)]),
        (Made, 1, [("array", 0, 0, None)]),
        (Made, 1, [("enum", 0, 0, None)]),
        (None, 2, [ROW, ("string", 1, 0, None)]),
    ],
)
def test_the_machine_refuses_a_program_that_would_leave_its_memory(
    compiled: Twin, make: Any, wanted: int, rows: Any
) -> None:
    from trolleybus.avro.machine import Reading

    with pytest.raises((TypeError, ValueError, LookupError)):
        Reading(make, wanted, rows)


@pytest.mark.parametrize("rows", [[("again", "a", None)], [("array", "a", None)], [("skip_long", "a", None)]])
def test_the_machine_refuses_to_write_what_is_only_read(compiled: Twin, rows: Any) -> None:
    from trolleybus.avro.machine import Writing

    with pytest.raises((TypeError, ValueError)):
        Writing(rows)

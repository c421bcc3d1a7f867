"""Writers: an object's attributes, or values at hand, straight to the bytes of one schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trolleybus.avro import bytes_out
from trolleybus.avro.schema import Array, Map, Plain, RecordType, Type, empty, understand
from trolleybus.avro.shape import Names, places
from trolleybus.avro.source import Source

_RUNTIME = {
    "SHORT": bytes_out.SHORT,
    "integer": bytes_out.integer,
    "double": bytes_out.double,
    "single": bytes_out.single,
    "join": b"".join,
}


def compile_writer(schema: Any, prefix: bytes = b"") -> Callable[[Any], bytes]:
    """A function from an object, whose attributes are named as the schema's fields, to the prefix and its bytes.

    Raises Unsupported; the function raises what a value of the wrong type or size makes it raise.
    """
    return _generate(schema, prefix).compiled("write")


def compile_template(schema: Any, names: Names, prefix: bytes = b"") -> Callable[[tuple[Any, ...]], bytes]:
    """A function from the values of the named fields, in the order of the names, to the prefix and the record's bytes. What
    is not named is empty: no text, no items, zero, false.

    Raises Unsupported, and LookupError for a name that no field has; the function raises as a writer's does.
    """
    source = Source("def write(r)", **_RUNTIME)
    pieces = _Generator(source).template("r", understand(schema), names)
    source.line("return join((")
    source.lines([source.constant(prefix), *pieces])
    source.line("))")
    return source.compiled("write")


def writer_source(schema: Any) -> str:
    """The source of what compile_writer compiles, for people to read."""
    return _generate(schema, b"").text


def _generate(schema: Any, prefix: bytes) -> Source:
    source = Source("def write(r)", **_RUNTIME)
    pieces = _Generator(source).record("r", understand(schema))
    source.line("return join((")
    source.lines([source.constant(prefix), *pieces])
    source.line("))")
    return source


class _Generator:
    """Writes lines that prepare values, and hands back the expressions of the bytes in their order."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def record(self, holder: str, record: RecordType) -> list[str]:
        """The pieces of a record whose object a local holds."""
        values = [self._source.local() for _ in record.fields]
        for value, field in zip(values, record.fields, strict=True):
            self._source.line(f"{value} = {holder}.{self._source.attribute(field.name)}")
        return [
            piece
            for value, field in zip(values, record.fields, strict=True)
            for piece in self._pieces(value, field.type)
        ]

    def template(self, holder: str, record: RecordType, names: Names) -> list[str]:
        """The pieces of a record, of which a local holds the named values."""
        wanted = places(record, names)
        values = [self._source.local() for _ in wanted]
        self._source.line(f"[{', '.join(values)}] = {holder}")
        pieces = []
        for field in record.fields:
            if field.name not in wanted:
                pieces.append(self._source.constant(empty(field.type)))
                continue
            place, inner = wanted[field.name]
            pieces += self._each(values[place], *inner) if inner else self._pieces(values[place], field.type)
        return pieces

    def _each(self, value: str, items: RecordType, names: Names) -> list[str]:
        item = self._source.local()
        self._items(value, f"for {item} in {value}", lambda: self.template(item, items, names))
        return [value]

    def _pieces(self, value: str, written: Type) -> list[str]:  # noqa: PLR0911 - one for each type
        match written:
            case Plain("string"):
                self._source.line(f"{value} = {value}.encode()")
                return [_integer(f"len({value})"), value]
            case Plain("bytes"):
                return [_integer(f"len({value})"), value]
            case Plain("int" | "long"):
                return [_integer(value)]
            case Plain("boolean"):
                return [f'b"\\1" if {value} else b"\\0"']
            case Plain("double"):
                return [f"double({value})"]
            case Plain("float"):
                return [f"single({value})"]
            case RecordType():
                return self.record(value, written)
            case Array():
                item = self._source.local()
                self._items(value, f"for {item} in {value}", lambda: self._pieces(item, written.items))
            case Map():
                key, item = self._source.local(), self._source.local()
                self._items(
                    value,
                    f"for {key}, {item} in {value}.items()",
                    lambda: [*self._pieces(key, Plain("string")), *self._pieces(item, written.values)],
                )
        return [value]

    def _items(self, value: str, each: str, pieces: Callable[[], list[str]]) -> None:
        """Replace the local that holds many items by their bytes: one block, or none."""
        line, block, parts = self._source.line, self._source.block, self._source.local()
        with block(f"if {value}"):
            line(f"{parts} = [{_integer(f'len({value})')}]")
            with block(each):
                each_piece = pieces()
                line(f"{parts} += (")
                self._source.lines(each_piece)
                line(")")
            line(f'{parts}.append(b"\\0")')
            line(f"{value} = join({parts})")
        with block("else"):
            line(f'{value} = b"\\0"')


def _integer(value: str) -> str:
    near = bytes_out.NEAR
    if value.isidentifier():
        return f"SHORT[{value}] if {-near} <= {value} < {near} else integer({value})"
    return f"SHORT[n] if (n := {value}) < {near} else integer(n)"

"""Readers: bytes of one schema straight to the objects wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar, cast

from trolleybus.avro import bytes_in
from trolleybus.avro.schema import WIDTH, Array, Map, Plain, RecordType, Type
from trolleybus.avro.shape import Shape
from trolleybus.avro.source import Source
from trolleybus.avro.steps import Step, plan, resolved

T = TypeVar("T")

_EMPTY: Final = {
    "string": '""',
    "bytes": 'b""',
    "int": "0",
    "long": "0",
    "boolean": "False",
    "array": "()",
    "map": "{}",
}
"""What a zero byte is, of a type for which it is something whole."""
_RUNTIME = {
    "LENGTH": bytes_in.LENGTH,
    "SIGNED": bytes_in.SIGNED,
    "TRUTH": bytes_in.TRUTH,
    "double": bytes_in.double,
    "single": bytes_in.single,
    "integer": bytes_in.integer,
    "skip_integer": bytes_in.skip_integer,
    "six_bytes": bytes_in.six_bytes,
    "MOMENT_BITS": bytes_in.MOMENT_BITS,
    "NOT_SIX": (0,) * 6,
    "span": bytes_in.span,
    "block": bytes_in.block,
}


def compile_reader(schema: Any, shape: Shape[T], local: Any = None) -> Callable[[bytes, int], tuple[T, int]]:
    """A function from bytes and the offset where a record starts to the object wanted and the offset where it ends.

    Schemas are JSON values: the writer's, and ours, whose defaults stand in for fields that the writer lacks. The
    function raises BAD_BYTES, or returns another end than that of the bytes, if these do not follow the schema: the
    caller compares the end. Raises Unsupported; LookupError for a shape that our schema has no fields for.
    """
    return cast(Callable[[bytes, int], tuple[T, int]], _generate(schema, shape, local).compiled("read"))


def reader_source(schema: Any, shape: Shape[Any], local: Any = None) -> str:
    """The source of what compile_reader compiles, for people to read."""
    return _generate(schema, shape, local).text


def _generate(schema: Any, shape: Shape[Any], local: Any) -> Source:
    writer, ours = resolved(schema, local)
    source = Source("def read(b, i)", **_RUNTIME)
    source.line("last_six = len(b) - 6")
    result = _Generator(source).shaped(writer, ours, shape)
    source.line(f"return {result}, i")
    return source


class _Generator:
    """Writes the reading of each field in the order of bytes; b are the bytes, i is the index of the next."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def shaped(self, writer: RecordType, ours: RecordType, shape: Shape[Any] | None) -> str:
        """Read a record; the expression of the object made of it."""
        steps, constants, makers, make, arguments = plan(writer, ours, shape)
        constant = self._source.constant
        found = self._record(list(steps))
        found |= {path: constant(value) for path, value in constants.items()}
        found |= {path: f"{constant(maker)}()" for path, maker in makers.items()}
        return f"{constant(make)}({', '.join(found[path] for path in arguments)})"

    def _record(self, steps: list[Step]) -> dict[str, str]:
        """Read fields; the locals of what is wanted of them, by path."""
        found: dict[str, str] = {}
        for number, step in enumerate(steps):
            rest = steps[number + 1 :]
            if 0 < step.opens < len(rest) and all(map(_may_be_zero, [step, *rest])):
                return found | self._tail(step, rest)
            found |= self._field(step)
        return found

    def _field(self, step: Step) -> dict[str, str]:
        if step.path is None:
            self._skip(step.written)
            return {}
        return {step.path: self._value(step.written, step.ours, step.shape)}

    def _tail(self, first: Step, rest: list[Step]) -> dict[str, str]:
        """Read the last fields of a record at one look where all are empty, as they often are from an amount on."""
        line, block, width = self._source.line, self._source.block, 1 + len(rest)
        zeros = self._source.constant(bytes(width))
        with block(f"if b[i] or b[i + {first.opens}] or b[i : i + {width}] != {zeros}"):
            found = self._field(first) | self._record(rest)
        with block("else"):
            for step in [first, *rest]:
                if step.path is not None:
                    line(f"{found[step.path]} = {_EMPTY[_kind(step.written)]}")
            line(f"i += {width}")
        return found

    def _value(self, writer: Type, ours: Type, shape: Shape[Any] | None) -> str:
        """Read a value; the local that holds it."""
        result = self._source.local()
        if isinstance(writer, RecordType) and isinstance(ours, RecordType):
            self._source.line(f"{result} = {self.shaped(writer, ours, shape)}")
        elif isinstance(writer, Array) and isinstance(ours, Array):
            self._array(result, writer, ours, shape)
        elif isinstance(writer, Map):
            self._map(result, writer)
        elif isinstance(writer, Plain):
            self._plain(result, writer)
        return result

    def _plain(self, result: str, written: Plain) -> None:
        line, block, kind = self._source.line, self._source.block, written.kind
        match kind:
            case "string" | "bytes":
                line("n = b[i]")
                line("i += 1")
                with block("if n"):
                    line("j = i + LENGTH[n]")
                    with block("if n > 127"):
                        line("n = b[i]")
                        with block("if n < 128"):
                            line("i += 1")
                            line("j += 1 + (n << 6)")
                        with block("else"):
                            line("i, j = span(b, i - 1)")
                    line(f"{result} = b[i:j]" + (".decode()" if kind == "string" else ""))
                    line("i = j")
                with block("else"):
                    line(f"{result} = " + ('""' if kind == "string" else 'b""'))
            case "int" | "long":
                line("n = b[i]")
                with block("if n < 128"):
                    line(f"{result} = SIGNED[n]")
                    line("i += 1")
                with block("else"):
                    if written.moment:
                        self._six_bytes(result)
                    else:
                        self._two_bytes(result)
            case "boolean":
                line(f"{result} = TRUTH[b[i]]")
                line("i += 1")
            case _:
                line(f"{result} = {'double' if kind == 'double' else 'single'}(b, i)[0]")
                line(f"i += {WIDTH[kind]}")

    def _two_bytes(self, result: str) -> None:
        line, block = self._source.line, self._source.block
        line("m = b[i + 1]")
        with block("if m < 128"):
            line("n += (m << 7) - 128")
            line(f"{result} = n >> 1 ^ -(n & 1)")
            line("i += 2")
        with block("else"):
            line(f"{result}, i = integer(b, i)")

    def _six_bytes(self, result: str) -> None:
        line, block = self._source.line, self._source.block
        line("n, c, d, e, f, g = six_bytes(b, i) if i <= last_six else NOT_SIX")
        with block("if g < 128 and f > 127 and e > 127 and d > 127 and c > 127"):
            line("n += (c << 7) + (d << 14) + (e + (f << 7) + (g << 14) << 21) - MOMENT_BITS")
            line(f"{result} = n >> 1 ^ -(n & 1)")
            line("i += 6")
        with block("else"):
            line(f"{result}, i = integer(b, i)")

    def _array(self, result: str, writer: Array, ours: Array, shape: Shape[Any] | None) -> None:
        line, block = self._source.line, self._source.block
        items = self._source.local()
        line("n = b[i]")
        line("i += 1")
        with block("if n"):
            line(f"{items} = []")
            with self._blocks():
                if isinstance(writer.items, RecordType) and isinstance(ours.items, RecordType):
                    item = self.shaped(writer.items, ours.items, shape)
                else:
                    item = self._value(writer.items, ours.items, shape)
                line(f"{items}.append({item})")
            line(f"{result} = tuple({items})")
        with block("else"):
            line(f"{result} = ()")

    def _map(self, result: str, writer: Map) -> None:
        line, key = self._source.line, self._source.local()
        line(f"{result} = {{}}")
        line("n = b[i]")
        line("i += 1")
        with self._blocks():
            self._plain(key, Plain("string"))
            line(f"{result}[{key}] = {self._value(writer.values, writer.values, None)}")

    @contextmanager
    def _blocks(self) -> Iterator[None]:
        """What follows is for each item of an array or a map, whose first block's count begins with the byte n."""
        line, block = self._source.line, self._source.block
        with block("while n"):
            with block("if n > 127 or n & 1"):
                line("n, i = block(b, i - 1)")
            with block("else"):
                line("n >>= 1")
            with block("for _ in range(n)"):
                yield
            line("n = b[i]")
            line("i += 1")

    def _skip(self, written: Type) -> None:
        line = self._source.line
        match written:
            case Plain("string" | "bytes"):
                line("n = b[i]")
                line("i = i + 1 + LENGTH[n] if n < 128 else span(b, i)[1]")
            case Plain("int" | "long"):
                line("i = i + 1 if b[i] < 128 else skip_integer(b, i)")
            case Plain(kind):
                line(f"i += {WIDTH[kind]}")
            case RecordType():
                for field in written.fields:
                    self._skip(field.type)
            case Array():
                self._skip_items(written.items)
            case Map():
                self._skip_items(Plain("string"), written.values)

    def _skip_items(self, *item: Type) -> None:
        line = self._source.line
        line("n = b[i]")
        line("i += 1")
        with self._blocks():
            if len(item) == 1 and isinstance(item[0], Plain) and item[0].kind in WIDTH:
                line("b[i]  # a count that lies ends with the bytes")
            for part in item:
                self._skip(part)


def _kind(written: Type) -> str:
    match written:
        case Plain():
            return written.kind
        case RecordType():
            return "record"
    return "array" if isinstance(written, Array) else "map"


def _may_be_zero(step: Step) -> bool:
    return _kind(step.written) in _EMPTY

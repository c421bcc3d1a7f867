"""What stands in for a field that the writer did not know: our schema's default."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from trolleybus.avro.schema import Array, Field, Plain, RecordType, Type, Unsupported
from trolleybus.avro.shape import Shape, argument


def default_of(writer: RecordType, ours: RecordType, path: str, shape: Shape[Any] | None) -> Callable[[], Any]:
    """Makes what is wanted at a path that the writer has not; raises LookupError if our schema has not either."""
    name, _, rest = path.partition(".")
    field = ours.field(name)
    if field is None:
        raise LookupError(f"{ours.name} has no field {name!r}")
    written = writer.field(name)
    if written is None:
        return partial(argument, (path, shape) if shape else path, {name: _whole(field)})
    if isinstance(written.type, RecordType) and isinstance(field.type, RecordType):
        return default_of(written.type, field.type, rest, shape)
    raise LookupError(f"{name!r} of {ours.name} is no record with a field {rest!r}")


def _whole(field: Field) -> Any:
    if field.default is None:
        raise Unsupported(f"{field.name!r} is not written and has no default")
    return _completed(field.type, field.default[0])


def _completed(ours: Type, value: Any) -> Any:
    """A default with the defaults of what it leaves out."""
    match ours:
        case RecordType():
            return {
                field.name: _completed(field.type, value[field.name]) if field.name in value else _whole(field)
                for field in ours.fields
            }
        case Array():
            return [_completed(ours.items, item) for item in value]
        case Plain("bytes"):
            return value.encode("latin-1")  # How Avro writes bytes in JSON.
    return value

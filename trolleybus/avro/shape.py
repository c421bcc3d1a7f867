"""What is wanted of a record, or given for one: constructors and fields in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Generic, TypeAlias, TypeVar, cast, get_args, get_origin, get_type_hints

from trolleybus.avro.schema import Array, RecordType

T = TypeVar("T")

Names: TypeAlias = Sequence["str | tuple[str, Names]"]
"""Fields whose values are given; one with names of its own is an array of records, each given as a tuple of those values."""


@dataclass(frozen=True, slots=True)
class Shape(Generic[T]):
    """How an object is made of a record.

    A field is a name, a leaf of a nested record by its path ("unit_price.minor"), or a name with the shape of the
    record, or of each record of the array, that stands there. Arrays become tuples, maps dictionaries.
    """

    make: Callable[..., T]
    fields: tuple[str | tuple[str, Shape[Any]], ...]

    def of_values(self, values: Mapping[str, Any]) -> T:
        """The object, made of a record's plain values."""
        return self.make(*(argument(field, values) for field in self.fields))


def places(record: RecordType, names: Names) -> dict[str, tuple[int, tuple[RecordType, Names] | None]]:
    """Where the values of named fields stand, and of an array of records what each item is of; raises LookupError."""
    found: dict[str, tuple[int, tuple[RecordType, Names] | None]] = {}
    for place, one in enumerate(names):
        name, inner = (one, None) if isinstance(one, str) else one
        field = record.field(name)
        if field is None or name in found:
            raise LookupError(f"{record.name} has no field {name!r}, or it is named twice")
        if inner is None:
            found[name] = place, None
        elif isinstance(field.type, Array) and isinstance(field.type.items, RecordType):
            found[name] = place, (field.type.items, inner)
        else:
            raise LookupError(f"{name!r} of {record.name} is no array of records")
    return found


def argument(field: str | tuple[str, Shape[Any]], values: Any) -> Any:
    """What one field of a shape takes from a record's plain values."""
    path, shape = (field, None) if isinstance(field, str) else field
    value = values
    for name in path.split("."):
        value = value[name]
    if isinstance(value, list | tuple):
        return tuple(value) if shape is None else tuple(shape.of_values(item) for item in value)
    if shape is None:
        return dict(value) if isinstance(value, Mapping) else value
    return shape.of_values(value)


def shape_of(kind: type[T]) -> Shape[T]:
    """The whole of a record's dataclass, nested records as theirs."""
    hashable: Any = kind
    return _shape_of(hashable)


@cache
def _shape_of(kind: Any) -> Shape[Any]:
    hints = get_type_hints(kind)
    return Shape(_positional(kind), tuple(_whole(field.name, hints[field.name]) for field in fields(kind)))


def _whole(name: str, hint: Any) -> str | tuple[str, Shape[Any]]:
    nested = get_args(hint)[0] if get_origin(hint) is tuple else hint
    return (name, shape_of(cast(type[Any], nested))) if is_dataclass(nested) else name


def _positional(kind: type[T]) -> Callable[..., T]:
    """A keyword-only dataclass's constructor with its arguments in the order of its fields."""
    names = [field.name for field in fields(cast(Any, kind))]
    parameters = ", ".join(f"v{number}" for number in range(len(names)))
    arguments = ", ".join(f"{name}=v{number}" for number, name in enumerate(names))
    # The names are attributes of a dataclass in this code.
    return cast(Callable[..., T], eval(f"lambda {parameters}: make({arguments})", {"make": kind}))  # noqa: S307

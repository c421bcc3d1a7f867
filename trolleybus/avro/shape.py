"""What is wanted of a record: a constructor and the fields that are its positional arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Generic, TypeVar, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


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

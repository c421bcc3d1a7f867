"""What a reader does with each field that was written, in the order of bytes; made once, before any bytes are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from trolleybus.avro.defaults import default_of
from trolleybus.avro.schema import RecordType, Type, check_resolution, understand
from trolleybus.avro.shape import Shape

_UNCHANGING: Final = (str, int, float, bytes)


class Step(NamedTuple):
    """A field of a record, or of one nested in it whose leaves are wanted or skipped by themselves."""

    path: str | None  # None: not wanted.
    written: Type
    ours: Type
    shape: Shape[Any] | None
    opens: int = 0  # Of how many fields it is the first, if it opens a nested record.


class Plan(NamedTuple):
    """How one record becomes what a shape wants of it."""

    steps: tuple[Step, ...]
    constants: dict[str, Any]
    """What is wanted, was not written and cannot be changed, by path."""
    makers: dict[str, Callable[[], Any]]
    """What makes that which could be changed anew for each record, by path."""
    make: Callable[..., Any]
    arguments: tuple[str, ...]
    """The paths of what the constructor takes."""


def resolved(schema: Any, local: Any) -> tuple[RecordType, RecordType]:
    """The writer's schema and ours as trees, from JSON values; raises Unsupported if one cannot be read as the other."""
    writer = understand(schema)
    ours = writer if local is None else understand(local)
    check_resolution(writer, ours)
    return writer, ours


def plan(writer: RecordType, ours: RecordType, shape: Shape[Any] | None) -> Plan:
    """Raises LookupError for a shape that our schema has no fields for, and for none."""
    if shape is None:
        raise LookupError(f"{writer.name} is wanted, but not in which shape")
    wanted = dict(map(_path_and_shape, shape.fields))
    steps = tuple(_steps(writer, ours, wanted))
    found = {step.path for step in steps}
    makers = {path: default_of(writer, ours, path, inner) for path, inner in wanted.items() if path not in found}
    made = {path: make() for path, make in makers.items()}
    constants = {path: value for path, value in made.items() if isinstance(value, _UNCHANGING)}
    return Plan(
        steps,
        constants,
        {path: make for path, make in makers.items() if path not in constants},
        shape.make,
        tuple(_path_and_shape(field)[0] for field in shape.fields),
    )


def _steps(
    writer: RecordType, ours: RecordType | None, wanted: Mapping[str, Shape[Any] | None], prefix: str = ""
) -> Iterator[Step]:
    for field in writer.fields:
        path, known = prefix + field.name, ours.field(field.name) if ours else None
        if known is not None and path in wanted:
            yield Step(path, field.type, known.type, wanted[path])
        elif isinstance(field.type, RecordType):
            theirs = known.type if known and isinstance(known.type, RecordType) else None
            steps = list(_steps(field.type, theirs, wanted, f"{path}."))
            yield from (step._replace(opens=0 if number else len(steps)) for number, step in enumerate(steps))
        else:
            yield Step(None, field.type, field.type, None)


def _path_and_shape(field: str | tuple[str, Shape[Any]]) -> tuple[str, Shape[Any] | None]:
    return (field, None) if isinstance(field, str) else field

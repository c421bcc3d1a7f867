"""The short way to a payload: events that are plainly right. Whatever is odd in any way is left to the payload's own model,
which reads it or says what is wrong; where the short way gives an answer, it is the model's.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from services.ingest.api.payloads import (
    LARGEST_QUANTITY,
    LONGEST_ID,
    LONGEST_TEXT,
    MOST_LINES,
    Amount,
    Currency,
    Id,
    Line,
    Lines,
    Long,
    Needed,
    Payload,
    Quantity,
    Text,
    Time,
)
from services.ingest.domain import plain
from services.ingest.domain.clock import BadTime, parse_rfc3339

P = TypeVar("P", bound=Payload)
Read = Callable[[Any], Any]


class Odd(Exception):
    """Not plainly right; the model knows more."""


def reader_of(model: type[P]) -> Callable[[object], P]:
    """Reads JSON objects as the model does, or raises Odd."""
    hints = get_type_hints(model, include_extras=True)
    readers = {name: _reader(hints[name]) for name in model.model_fields}
    defaults = {
        name: field.get_default(call_default_factory=True)
        for name, field in model.model_fields.items()
        if not field.is_required()
    }
    if not all(isinstance(value, str | tuple | NoneType) for value in defaults.values()):
        return _always_odd  # Values that change could not be shared.
    needed = model.model_fields.keys() - defaults.keys()
    return _compiled(model, readers, defaults, needed)


def _compiled(
    model: type[P], readers: Mapping[str, Read], defaults: Mapping[str, object], needed: set[str]
) -> Callable[[object], P]:
    new, put = model.__new__, object.__setattr__

    def read(item: object) -> P:
        if type(item) is not dict:
            raise Odd
        values = {}
        for name, value in item.items():
            if value is not None:
                take = readers.get(name)
                if take is None:
                    raise Odd
                values[name] = take(value)
        if not needed <= values.keys():
            raise Odd
        one = new(model)
        put(one, "__dict__", {**defaults, **values})
        put(one, "__pydantic_fields_set__", set(values))
        put(one, "__pydantic_extra__", None)
        put(one, "__pydantic_private__", None)
        return one

    return read


def _reader(hint: Any) -> Read:
    for known, read in _READERS:
        if hint == known:
            return read
    inner = [one for one in get_args(hint) if one is not NoneType]
    if get_origin(hint) is Literal:
        return _one_of(frozenset(inner))
    return _reader(inner[0]) if len(inner) == 1 else _always_odd


def _always_odd(_value: object) -> Any:
    raise Odd


def _one_of(known: frozenset[str]) -> Read:
    def read(value: object) -> str:
        if type(value) is str and value in known:
            return value
        raise Odd

    return read


def _id(value: object) -> str:
    if type(value) is not str or len(value) > LONGEST_ID:
        raise Odd
    value = value.strip()
    if not value.isprintable():
        raise Odd
    return value


def _needed(value: object) -> str:
    return _id(value) or _always_odd(value)


def _long(value: object) -> str:
    if type(value) is not str or "\0" in value or not (value.isascii() or value.isprintable()):
        raise Odd
    return value


def _text(value: object) -> str:
    if len(text := _long(value)) > LONGEST_TEXT:
        raise Odd
    return text


def _currency(value: object) -> str:
    if type(value) is str and len(value) == 3 and value.isascii() and value.isalpha() and value.isupper():
        return value
    raise Odd


def _amount(value: object) -> Decimal:
    if type(value) not in (str, int, float):
        raise Odd
    try:
        return _price(value)
    except plain.BadValue:
        raise Odd from None


_price = lru_cache(maxsize=8192, typed=True)(plain.amount)  # A shop has few prices.


def time_of(value: object) -> int:
    if type(value) is not str:
        raise Odd
    try:
        return parse_rfc3339(value)
    except BadTime:
        raise Odd from None


def _quantity(value: object) -> int:
    if type(value) is int and 0 <= value <= LARGEST_QUANTITY:
        return value
    raise Odd


def _lines(value: object) -> tuple[Line, ...]:
    if type(value) is not list or len(value) > MOST_LINES:
        raise Odd
    return tuple([_line(one) for one in value])


_READERS: tuple[tuple[object, Read], ...] = (
    (Id, _id),
    (Needed, _needed),
    (Text, _text),
    (Long, _long),
    (Currency, _currency),
    (Amount, _amount),
    (Time, time_of),
    (Quantity, _quantity),
    (Lines, _lines),
)
_line = reader_of(Line)

"""Reading an object that others filled in: what cannot be read is left out, and said to be."""

from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

from services.ingest.domain import plain
from services.ingest.domain.clock import BadTime, parse_rfc3339
from services.ingest.domain.translation import Flaw

LONGEST_ID = 200
LONGEST_TEXT = 500
LARGEST_QUANTITY = 100_000
MOST_OBJECTS = 500

T = TypeVar("T")


class Fields:
    """One object of a message, at a JSON pointer. Each reader takes the first of the names that has a value."""

    __slots__ = ("_left_out", "at", "values")

    def __init__(self, values: object, at: str, left_out: list[Flaw]) -> None:
        self.values: dict[str, object] = values if isinstance(values, dict) else {}
        self.at = at
        self._left_out = left_out

    def inner(self, name: str) -> "Fields":
        return Fields(self.values.get(name), f"{self.at}/{name}", self._left_out)

    def each(self, name: str) -> "list[Fields] | None":
        """The objects of a list; None where there is no list."""
        found = self.values.get(name)
        if not isinstance(found, list):
            return None
        if len(found) > MOST_OBJECTS:
            self.leave_out(name, f"only the first {MOST_OBJECTS} are read")
        at = f"{self.at}/{name}"
        return [Fields(value, f"{at}/{index}", self._left_out) for index, value in enumerate(found[:MOST_OBJECTS])]

    def text(self, *names: str) -> str:
        return self._read(names, _text, "")

    def id(self, *names: str) -> str:
        return self._read(names, _id, "")

    def ids(self, name: str) -> list[str]:
        """The ids of a list; those that are none are left out."""
        found = self.values.get(name)
        named = {str(index): one for index, one in enumerate(found[:MOST_OBJECTS])} if isinstance(found, list) else {}
        inner = Fields(named, f"{self.at}/{name}", self._left_out)
        return [value for value in map(inner.id, named) if value]

    def amount(self, *names: str) -> Decimal | None:
        return self._read(names, plain.amount, None)

    def quantity(self, *names: str) -> int | None:
        return self._read(names, _quantity, None)

    def currency(self, *names: str) -> str:
        return self._read(names, plain.currency, "")

    def time(self, *names: str) -> int | None:
        """Milliseconds since the epoch; a time without an offset is UTC."""
        return self._read(names, _time, None)

    def has(self, *names: str) -> bool:
        """Whether one of them has a value."""
        return bool(self._present(names))

    def where(self, *names: str) -> str:
        """The pointer to the one of them that has a value."""
        return f"{self.at}/{self._present(names) or names[0]}"

    def leave_out(self, name: str, why: str) -> None:
        self._left_out.append(Flaw(f"{self.at}/{name}", why))

    def _present(self, names: tuple[str, ...]) -> str:
        return next((name for name in names if self.values.get(name) not in (None, "")), "")

    def _read(self, names: tuple[str, ...], read: Callable[[object], T], absent: T) -> T:
        for name in names:
            value = self.values.get(name)
            if value is None or value == "":
                continue
            try:
                return read(value)
            except (plain.BadValue, BadTime) as error:
                self.leave_out(name, str(error))
        return absent


def _text(value: object) -> str:
    """One line of what can be seen, of bounded length."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise plain.BadValue("a text is expected")
    text = str(value)[: LONGEST_TEXT * 4]
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return text.strip()[:LONGEST_TEXT]


def _id(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise plain.BadValue("an id is a text or a number")
    try:
        text = str(value).strip()
    except ValueError:  # A whole number of more digits than Python writes.
        raise plain.BadValue(f"an id has at most {LONGEST_ID} characters") from None
    if len(text) > LONGEST_ID:
        raise plain.BadValue(f"an id has at most {LONGEST_ID} characters")
    if not text.isprintable():
        raise plain.BadValue("an id has no control characters")
    return text


def _quantity(value: object) -> int:
    number = plain.amount(value)
    if number != number.to_integral_value() or number > LARGEST_QUANTITY:
        raise plain.BadValue(f"a quantity is a whole number up to {LARGEST_QUANTITY}")
    return int(number)


def _time(value: object) -> int:
    if not isinstance(value, str):
        raise BadTime("a time is written as ISO 8601, such as 2026-03-01T18:30:00Z")
    text = value.strip()
    try:
        return parse_rfc3339(text)
    except BadTime:
        return parse_rfc3339(f"{text}Z" if "T" in text or " " in text else f"{text}T00:00:00Z")

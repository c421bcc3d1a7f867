"""What is in a cart, merged by event time whatever the order of arrival.

A snapshot or an emptied cart sets a *floor*: what is not newer no longer counts. Above it each line is a register: the
newest `lines_set` or `lines_removed` decides, and the increments newer than that are added. Ties go by record id.

Bounds, beyond which order of arrival may matter: MAX_LINES lines (tombstones go first, then the oldest lines) and
MAX_DIFFERENCES lines of increments (the oldest are folded into their lines; what is older than a fold no longer counts there).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import NamedTuple

from trolleybus.contracts.cart import CartActivity, CartLine
from trolleybus.contracts.money import Money

MAX_LINES = 500
MAX_DIFFERENCES = 256
LARGEST_QUANTITY = 1_000_000

CONTENT_KINDS = frozenset({"snapshot", "lines_set", "lines_added", "lines_removed", "cart_emptied"})


class Stamp(NamedTuple):
    """Place of a record in event time; ids settle ties."""

    at: int
    id: str


NO_FLOOR = Stamp(0, "")


class Entry(NamedTuple):
    """One line as last set; a quantity of 0 or less is a tombstone."""

    stamp: Stamp
    line: CartLine


class Increment(NamedTuple):
    """Differences to lines, by one record."""

    at: int
    lines: tuple[CartLine, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """A value: the functions below return a new one and leave theirs as it was."""

    floor: Stamp = NO_FLOOR
    discount: Money = Money()
    entries: Mapping[str, Entry] = field(default_factory=dict)
    increments: Mapping[str, Increment] = field(default_factory=dict)

    def lines(self) -> tuple[CartLine, ...]:
        """The lines in the cart now, MAX_LINES at most, in the order in which they came."""
        held = islice((line for line in _merged(self).values() if line.quantity > 0), MAX_LINES)
        return tuple(
            replace(line, quantity=LARGEST_QUANTITY) if line.quantity > LARGEST_QUANTITY else line for line in held
        )

    def holds_items(self) -> bool:
        lines = _merged(self).values() if self.increments else (entry.line for entry in self.entries.values())
        return any(line.quantity > 0 for line in lines)

    def earliest(self) -> int:
        """Event time of the oldest record that put in what is in the cart; the cart must hold an item."""
        held = {key for key, line in _merged(self).items() if line.quantity > 0}
        set_at = [entry.stamp.at for key, entry in self.entries.items() if key in held and entry.line.quantity > 0]
        added_at = [stamp.at for stamp, line in _increments(self) if line.line_id in held and line.quantity > 0]
        return min(set_at + added_at)


def merge(contents: Contents, record: CartActivity, at: int) -> Contents:
    """The contents with a record of CONTENT_KINDS taken in; `at` is the record's event time."""
    stamp = Stamp(at, record.id)
    if stamp <= contents.floor:
        return contents
    if record.kind in ("snapshot", "cart_emptied"):
        lines = _distinct(record.lines) if record.kind == "snapshot" else {}
        return _raise_floor(contents, stamp, lines, record.discount)
    if record.kind == "lines_added":
        added = tuple(_distinct(record.lines).values())
        increments = {**contents.increments, record.id: Increment(at, added)}
        return _bounded(replace(contents, increments=increments))
    removed = record.kind == "lines_removed"
    entries = dict(contents.entries)
    for key, line in _distinct(record.lines).items():
        known = entries.get(key)
        if known is None or stamp > known.stamp:
            entries[key] = Entry(stamp, CartLine(line_id=key) if removed else line)
    return _bounded(replace(contents, entries=entries))


def newer_than(contents: Contents, at: int) -> Contents:
    """The contents without what is of that time or older."""
    floor = Stamp(at, "\U0010ffff")
    return contents if floor <= contents.floor else _raise_floor(contents, floor, {}, Money())


def line_key(line: CartLine) -> str:
    """What identifies a line within its cart; "" where the record names nothing."""
    if line.line_id:
        return line.line_id
    return f"{line.product_id}:{line.variant_id}" if line.product_id or line.variant_id else ""


def _raise_floor(contents: Contents, floor: Stamp, lines: Mapping[str, CartLine], discount: Money) -> Contents:
    entries = {key: Entry(floor, line) for key, line in lines.items()}
    entries.update({key: entry for key, entry in contents.entries.items() if entry.stamp > floor})
    increments = {id_: item for id_, item in contents.increments.items() if Stamp(item.at, id_) > floor}
    return _bounded(Contents(floor, discount, entries, increments))


def _distinct(lines: Iterable[CartLine]) -> dict[str, CartLine]:
    """Lines by key; quantities of one line told twice in one record add up, and its last mention describes it."""
    distinct: dict[str, CartLine] = {}
    for line in lines:
        key = line_key(line)
        known = distinct.get(key)
        distinct[key] = replace(
            line, line_id=key, quantity=line.quantity if known is None else line.quantity + known.quantity
        )
    return distinct


def _merged(contents: Contents) -> dict[str, CartLine]:
    """Every line, those without a piece left among them."""
    lines = {key: entry.line for key, entry in contents.entries.items()}
    for _, difference in _increments(contents):
        key = difference.line_id
        lines[key] = _plus(lines.get(key) or CartLine(line_id=key), difference)
    return lines


def _increments(contents: Contents) -> list[tuple[Stamp, CartLine]]:
    """The differences that count, oldest first: those newer than their line was last set."""
    counting = []
    for id_, item in contents.increments.items():
        stamp = Stamp(item.at, id_)
        for line in item.lines:
            entry = contents.entries.get(line.line_id)
            if entry is None or stamp > entry.stamp:
                counting.append((stamp, line))
    counting.sort(key=lambda difference: difference[0])
    return counting


def _plus(line: CartLine, difference: CartLine) -> CartLine:
    """The line after a difference; what the difference does not tell stays as it was."""
    return CartLine(
        line_id=line.line_id,
        product_id=difference.product_id or line.product_id,
        variant_id=difference.variant_id or line.variant_id,
        name=difference.name or line.name,
        quantity=line.quantity + difference.quantity,
        unit_price=difference.unit_price if difference.unit_price.currency else line.unit_price,
        discount=difference.discount if difference.discount.currency else line.discount,
        url=difference.url or line.url,
        image_url=difference.image_url or line.image_url,
        category=difference.category or line.category,
        brand=difference.brand or line.brand,
        price_rounded=difference.price_rounded if difference.unit_price.currency else line.price_rounded,
    )


def _bounded(contents: Contents) -> Contents:
    differences = sum(len(item.lines) for item in contents.increments.values())
    if differences > MAX_DIFFERENCES:
        contents = _fold_oldest(contents, differences - MAX_DIFFERENCES)
    if len(contents.entries) > MAX_LINES:
        oldest_first = sorted(contents.entries, key=lambda key: _keeping_order(contents.entries[key]))
        surplus = set(oldest_first[: len(contents.entries) - MAX_LINES])
        kept = {key: entry for key, entry in contents.entries.items() if key not in surplus}
        contents = replace(contents, entries=kept)
    return contents


def _keeping_order(entry: Entry) -> tuple[bool, Stamp]:
    return entry.line.quantity > 0, entry.stamp


def _fold_oldest(contents: Contents, surplus: int) -> Contents:
    entries, kept = dict(contents.entries), dict(contents.increments)
    for id_ in sorted(kept, key=lambda id_: (contents.increments[id_].at, id_)):
        if surplus <= 0:
            break
        increment = kept.pop(id_)
        surplus -= len(increment.lines)
        stamp = Stamp(increment.at, id_)
        for difference in increment.lines:
            key = difference.line_id
            known = entries.get(key)
            if known is None or stamp > known.stamp:
                entries[key] = Entry(stamp, _plus(known.line if known else CartLine(line_id=key), difference))
    return replace(contents, entries=entries, increments=kept)

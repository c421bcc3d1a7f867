"""What is in a cart, merged by event time whatever the order of arrival.

A snapshot or an emptied cart sets a *floor*: what is not newer no longer counts. Above it each line is a register: the
newest `lines_set` or `lines_removed` decides, and the increments newer than that are added. Ties go by record id.

Bounds, beyond which order of arrival may matter: MAX_LINES lines (tombstones go first, then the oldest lines) and
MAX_DIFFERENCES lines of increments (the oldest are folded into their lines; what is older than a fold no longer counts there).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from operator import itemgetter

import msgspec
from msgspec.structs import replace

from services.abandonment.domain.activity import Activity, Line

MAX_LINES = 500
MAX_DIFFERENCES = 256
LARGEST_QUANTITY = 1_000_000
_PLACE = itemgetter(0, 1)
LARGEST_ID = "\U0010ffff"
"""Greater than every record's id."""

CONTENT_KINDS = frozenset({"snapshot", "lines_set", "lines_added", "lines_removed", "cart_emptied"})


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One line as the record of that time and id set it; a quantity of 0 or less is a tombstone."""

    at: int
    id: str
    line: Line


class Increment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Differences to lines, by the record of that time and id."""

    at: int
    id: str
    lines: tuple[Line, ...]


class Contents(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A value: the functions below return another one. One entry a line, one increment a record; both as they came."""

    floor_at: int = 0
    floor_id: str = ""
    discount: int = 0  # On the whole cart, minor units.
    discount_currency: str = ""
    entries: tuple[Entry, ...] = ()
    increments: tuple[Increment, ...] = ()

    def lines(self) -> tuple[Line, ...]:
        """The lines in the cart now, MAX_LINES at most, in the order in which they came."""
        merged = _merged(self).values() if self.increments else [entry.line for entry in self.entries]
        held = [line for line in merged if line.quantity > 0][:MAX_LINES]
        return tuple(
            [replace(line, quantity=LARGEST_QUANTITY) if line.quantity > LARGEST_QUANTITY else line for line in held]
        )

    def holds_items(self) -> bool:
        if not self.increments:
            return _any_piece(self.entries)
        lessened = {line.line_id for item in self.increments for line in item.lines if line.quantity < 0}
        return _any_piece(self.entries, lessened) or max(_quantities(self).values(), default=0) > 0

    def earliest(self) -> int:
        """Event time of the oldest record that put in what is in the cart; the cart must hold an item."""
        held = {key for key, quantity in _quantities(self).items() if quantity > 0}
        set_at = [entry.at for entry in self.entries if entry.line.line_id in held and entry.line.quantity > 0]
        added_at = [at for at, _, line in _counting(self) if line.line_id in held and line.quantity > 0]
        return min(set_at + added_at)

    def reaches_before(self, at: int) -> bool:
        """Whether any record in it is older than that."""
        for entry in self.entries:
            if entry.at < at:
                return True
        return bool(self.increments) and any(item.at < at for item in self.increments)


NOTHING = Contents()


def merge(contents: Contents, activity: Activity, at: int) -> Contents:
    """The contents with a record of CONTENT_KINDS taken in; `at` is the record's event time."""
    id_ = activity.id
    if not _is_newer(at, id_, contents.floor_at, contents.floor_id):
        return contents
    match activity.kind:
        case "cart_emptied":
            return _raise_floor(contents, at, id_, (), activity.discount, activity.discount_currency)
        case "snapshot":
            lines = _distinct(activity.lines)
            return _raise_floor(contents, at, id_, lines, activity.discount, activity.discount_currency)
        case "lines_added":
            return _add(contents, Increment(at, id_, tuple(_distinct(activity.lines))))
        case "lines_removed":
            gone = [Line(line.line_id) for line in _distinct(activity.lines)]
            return _set(contents, at, id_, gone)
    return _set(contents, at, id_, _distinct(activity.lines))


def newer_than(contents: Contents, at: int) -> Contents:
    """The contents without what is of that time or older."""
    if not _is_newer(at, LARGEST_ID, contents.floor_at, contents.floor_id):
        return contents
    return _raise_floor(contents, at, LARGEST_ID, (), 0, "")


def line_key(line: Line) -> str:
    """What identifies a line within its cart; "" where the record names nothing."""
    if line.line_id:
        return line.line_id
    return f"{line.product_id}:{line.variant_id}" if line.product_id or line.variant_id else ""


def _any_piece(entries: tuple[Entry, ...], but: Container[str] = ()) -> bool:
    for entry in entries:  # noqa: SIM110 - asked at each change of a cart, and any() costs three times as much
        if entry.line.quantity > 0 and entry.line.line_id not in but:
            return True
    return False


def _is_newer(at: int, id_: str, than_at: int, than_id: str) -> bool:
    return at > than_at or (at == than_at and id_ > than_id)


def _raise_floor(
    contents: Contents, at: int, id_: str, lines: Iterable[Line], discount: int, discount_currency: str
) -> Contents:
    entries = {line.line_id: Entry(at, id_, line) for line in lines}
    for entry in contents.entries:
        if entry.at >= at and _is_newer(entry.at, entry.id, at, id_):
            entries[entry.line.line_id] = entry
    increments = tuple([item for item in contents.increments if _is_newer(item.at, item.id, at, id_)])
    return Contents(at, id_, discount, discount_currency, _bounded(entries), increments)


def _set(contents: Contents, at: int, id_: str, lines: Iterable[Line]) -> Contents:
    entries = {entry.line.line_id: entry for entry in contents.entries}
    for line in lines:
        known = entries.get(line.line_id)
        if known is None or _is_newer(at, id_, known.at, known.id):
            entries[line.line_id] = Entry(at, id_, line)
    return replace(contents, entries=_bounded(entries))


def _add(contents: Contents, added: Increment) -> Contents:
    increments = {item.id: item for item in contents.increments}
    increments[added.id] = added
    surplus = sum([len(item.lines) for item in increments.values()]) - MAX_DIFFERENCES
    if surplus > 0:
        return _fold_oldest(contents, increments, surplus)
    return replace(contents, increments=tuple(increments.values()))


def _distinct(lines: tuple[Line, ...]) -> Iterable[Line]:
    """Lines by key; quantities of one line told twice in one record add up, and its last mention describes it."""
    distinct: dict[str, Line] = {}
    for line in lines:
        key = line_key(line)
        known = distinct.get(key)
        if known is not None:
            distinct[key] = replace(line, line_id=key, quantity=line.quantity + known.quantity)
        else:
            distinct[key] = line if line.line_id else replace(line, line_id=key)
    return distinct.values()


def _merged(contents: Contents) -> dict[str, Line]:
    """Every line, those without a piece left among them."""
    lines = {entry.line.line_id: entry.line for entry in contents.entries}
    for _, _, difference in sorted(_counting(contents), key=_PLACE):
        key = difference.line_id
        lines[key] = _plus(lines.get(key) or Line(key), difference)
    return lines


def _quantities(contents: Contents) -> dict[str, int]:
    """Pieces of every line."""
    quantities = {entry.line.line_id: entry.line.quantity for entry in contents.entries}
    for _, _, difference in _counting(contents):
        quantities[difference.line_id] = quantities.get(difference.line_id, 0) + difference.quantity
    return quantities


def _counting(contents: Contents) -> Iterator[tuple[int, str, Line]]:
    """The differences that count, with the place in event time of each: those newer than their line was last set."""
    entries = {entry.line.line_id: entry for entry in contents.entries}
    for item in contents.increments:
        for line in item.lines:
            entry = entries.get(line.line_id)
            if entry is None or _is_newer(item.at, item.id, entry.at, entry.id):
                yield item.at, item.id, line


def _plus(line: Line, difference: Line) -> Line:
    """The line after a difference; what the difference does not tell stays as it was."""
    priced = difference if difference.price_currency else line
    discounted = difference if difference.discount_currency else line
    return Line(
        line_id=line.line_id,
        product_id=difference.product_id or line.product_id,
        variant_id=difference.variant_id or line.variant_id,
        name=difference.name or line.name,
        quantity=line.quantity + difference.quantity,
        price=priced.price,
        price_currency=priced.price_currency,
        discount=discounted.discount,
        discount_currency=discounted.discount_currency,
        url=difference.url or line.url,
        image_url=difference.image_url or line.image_url,
        category=difference.category or line.category,
        brand=difference.brand or line.brand,
        price_rounded=priced.price_rounded,
    )


def _bounded(entries: dict[str, Entry]) -> tuple[Entry, ...]:
    surplus = len(entries) - MAX_LINES
    if surplus <= 0:
        return tuple(entries.values())
    leaving = set(sorted(entries, key=lambda key: _keeping_order(entries[key]))[:surplus])
    return tuple(entry for key, entry in entries.items() if key not in leaving)


def _keeping_order(entry: Entry) -> tuple[bool, int, str]:
    return entry.line.quantity > 0, entry.at, entry.id


def _fold_oldest(contents: Contents, increments: dict[str, Increment], surplus: int) -> Contents:
    entries = {entry.line.line_id: entry for entry in contents.entries}
    for item in sorted(increments.values(), key=lambda item: (item.at, item.id)):
        if surplus <= 0:
            break
        del increments[item.id]
        surplus -= len(item.lines)
        for difference in item.lines:
            key = difference.line_id
            known = entries.get(key)
            if known is None or _is_newer(item.at, item.id, known.at, known.id):
                line = _plus(known.line if known else Line(key), difference)
                entries[key] = Entry(item.at, item.id, line)
    return replace(contents, entries=_bounded(entries), increments=tuple(increments.values()))

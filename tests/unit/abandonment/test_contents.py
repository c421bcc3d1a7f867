"""The bounds of a cart's contents, and how lines are merged."""

from __future__ import annotations

from services.abandonment.domain.activity import activity_of
from services.abandonment.domain.contents import MAX_DIFFERENCES, MAX_LINES, NOTHING, Contents, merge, newer_than
from tests.unit.abandonment.records import activity, euros, line
from trolleybus.contracts.cart import CartActivity, CartLine


def merged(*records: CartActivity) -> Contents:
    contents = NOTHING
    for record in records:
        contents = plus(contents, record)
    return contents


def plus(contents: Contents, record: CartActivity) -> Contents:
    return merge(contents, activity_of(record), record.occurred_at)


def quantities(contents: Contents) -> dict[str, int]:
    return {item.line_id: item.quantity for item in contents.lines()}


def test_a_removal_that_arrives_before_its_addition_still_removes() -> None:
    contents = merged(activity("lines_removed", 5, line("a")), activity("lines_added", 1, line("a", 3)))
    assert not contents.holds_items()


def test_a_snapshot_replaces_what_is_older_and_keeps_what_is_newer() -> None:
    contents = merged(
        activity("lines_added", 1, line("a", 1)),
        activity("lines_set", 9, line("b", 4)),
        activity("lines_added", 9, line("a", 2), id="later"),
        activity("snapshot", 5, line("a", 7), discount=euros(100)),
    )
    assert quantities(contents) == {"a": 9, "b": 4}
    assert (contents.discount, contents.discount_currency) == (100, "EUR")


def test_equal_times_go_by_id() -> None:
    one, two = activity("lines_set", 1, line("a", 1), id="x"), activity("lines_set", 1, line("a", 2), id="y")
    assert quantities(merged(one, two)) == quantities(merged(two, one)) == {"a": 2}


def test_a_difference_keeps_the_description_that_it_does_not_tell() -> None:
    contents = merged(
        activity("lines_added", 1, line("a", 3, price=700)),
        activity("lines_added", 2, CartLine(line_id="a", quantity=-1)),
    )
    (held,) = contents.lines()
    assert (held.quantity, held.name, held.price, held.price_currency) == (2, "a", 700, "EUR")


def test_a_line_without_its_own_id_goes_by_product_and_variant() -> None:
    shirt = CartLine(product_id="shirt", variant_id="red", quantity=1)
    contents = merged(activity("lines_added", 1, shirt), activity("lines_added", 2, shirt))
    assert quantities(contents) == {"shirt:red": 2}


def test_one_line_told_twice_in_a_record_adds_up() -> None:
    assert quantities(merged(activity("snapshot", 1, line("a", 1), line("a", 2)))) == {"a": 3}


def test_lines_are_bounded_and_tombstones_go_first() -> None:
    contents = merged(activity("lines_removed", 1, *(line(f"gone-{n}") for n in range(100))))
    contents = plus(contents, activity("lines_set", 2, *(line(f"kept-{n}") for n in range(MAX_LINES))))
    assert len(contents.entries) == MAX_LINES
    assert len(contents.lines()) == MAX_LINES
    contents = plus(contents, activity("lines_set", 3, line("newest")))
    assert len(contents.lines()) == MAX_LINES
    assert "newest" in quantities(contents)


def test_increments_are_bounded_and_the_sum_is_kept() -> None:
    contents = merged(*(activity("lines_added", number, line("a")) for number in range(1, 1001)))
    assert len(contents.increments) == MAX_DIFFERENCES
    assert quantities(contents) == {"a": 1000}


def test_a_duplicate_of_a_folded_increment_no_longer_counts() -> None:
    records = [activity("lines_added", number, line("a")) for number in range(1, 1001)]
    assert quantities(plus(merged(*records), records[0])) == {"a": 1000}


def test_lines_of_increments_alone_are_bounded_too() -> None:
    contents = merged(*(activity("lines_added", n, *(line(f"{n}-{m}") for m in range(50))) for n in range(1, 400)))
    assert len(contents.lines()) == MAX_LINES
    assert len(contents.entries) <= MAX_LINES
    assert sum(len(item.lines) for item in contents.increments) <= MAX_DIFFERENCES


def test_newer_than_keeps_only_what_is_newer() -> None:
    contents = merged(activity("snapshot", 1, line("a")), activity("lines_added", 3, line("b")))
    kept = newer_than(contents, contents.entries[0].at + 1)
    assert quantities(kept) == {"b": 1}


def test_newer_than_never_lowers_the_floor() -> None:
    emptied = merged(activity("cart_emptied", 9))
    kept = newer_than(emptied, emptied.floor_at - 5)
    late = activity("lines_added", 7, line("a"))
    assert not plus(kept, late).holds_items()

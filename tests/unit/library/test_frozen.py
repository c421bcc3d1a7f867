"""Values that are made for each event: equal by value, hashable, copied with changes."""

from dataclasses import fields, is_dataclass, replace

from trolleybus.contracts.cart import CartActivity, CartLine
from trolleybus.contracts.money import Money


def test_values_are_equal_and_found_by_what_they_hold() -> None:
    one, same, other = (CartLine(line_id=name, unit_price=Money(minor=1, currency="EUR")) for name in "aab")
    assert one == same
    assert {one, same, other} == {one, other}
    assert hash(one) == hash(same)


def test_a_copy_with_a_change_leaves_the_first_as_it_was() -> None:
    first = CartActivity(id="1", kind="snapshot")
    changed = replace(first, kind="order_placed")
    assert (first.kind, changed.kind, changed.id) == ("snapshot", "order_placed", "1")


def test_they_are_dataclasses_without_a_dictionary_of_their_own() -> None:
    assert is_dataclass(CartActivity)
    assert fields(CartActivity)[0].name == "id"
    assert not hasattr(CartActivity(), "__dict__")

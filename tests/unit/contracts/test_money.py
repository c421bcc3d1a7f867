from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trolleybus.contracts.cart import CartLine
from trolleybus.contracts.money import LARGEST_MINOR, BadAmount, Money, by_currency, exponent, from_decimal
from trolleybus.contracts.values import cart_value


@pytest.mark.parametrize(
    ("amount", "currency", "minor", "rounded"),
    [
        ("12.34", "EUR", 1234, False),
        (12.34, "EUR", 1234, False),
        ("0.125", "EUR", 12, True),
        ("0.135", "EUR", 14, True),
        ("1000", "JPY", 1000, False),
        ("1.5", "JPY", 2, True),
        ("1.234", "KWD", 1234, False),
        ("-3.10", "USD", -310, False),
    ],
)
def test_an_amount_becomes_minor_units(amount: str | float, currency: str, minor: int, rounded: bool) -> None:
    assert from_decimal(amount, currency) == (Money(minor=minor, currency=currency), rounded)


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-inf", "12,50", "", "1e40", "ten", "9" * 30])
def test_P8_what_is_no_amount_is_refused(amount: str) -> None:
    with pytest.raises(BadAmount):
        from_decimal(amount, "EUR")


@pytest.mark.parametrize("currency", ["", "eur", "EURO", "E1R", "ÉUR"])
def test_a_currency_is_three_capitals(currency: str) -> None:
    with pytest.raises(BadAmount):
        from_decimal("1", currency)


@given(st.integers(-(10**12), 10**12), st.sampled_from(["EUR", "JPY", "KWD", "CLF"]))
def test_what_is_shown_reads_back_as_the_same_money(minor: int, currency: str) -> None:
    shown = str(Money(minor=minor, currency=currency)).split()[0]
    assert from_decimal(shown, currency) == (Money(minor=minor, currency=currency), False)


@given(st.decimals(-(10**9), 10**9, allow_nan=False, places=6), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_rounding_moves_an_amount_by_half_a_minor_unit_at_most(amount: Decimal, currency: str) -> None:
    money, rounded = from_decimal(amount, currency)
    distance = abs(Decimal(money.minor) - amount.scaleb(exponent(currency)))
    assert distance <= Decimal("0.5")
    assert rounded == (distance != 0)
    assert abs(money.minor) <= LARGEST_MINOR


@given(st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(["EUR", "USD"]))))
def test_sums_never_cross_currencies(amounts: list[tuple[int, str]]) -> None:
    totals = by_currency(Money(minor=minor, currency=currency) for minor, currency in amounts)
    for currency in ("EUR", "USD"):
        assert totals.get(currency, 0) == sum(minor for minor, of in amounts if of == currency)


def line(quantity: int, price: int, discount: int = 0, currency: str = "EUR") -> CartLine:
    return CartLine(
        quantity=quantity,
        unit_price=Money(minor=price, currency=currency),
        discount=Money(minor=discount, currency=currency if discount else ""),
    )


def test_a_carts_value_is_its_lines_after_discounts() -> None:
    lines = [line(2, 1000, 300), line(1, 500)]
    assert cart_value(lines, Money(minor=200, currency="EUR"), "EUR") == Money(minor=2000, currency="EUR")


def test_a_carts_value_is_never_below_zero_and_leaves_other_currencies_out() -> None:
    assert cart_value([line(1, 100, 500)], Money(), "EUR").minor == 0
    assert cart_value([line(1, 100), line(1, 900, currency="USD")], Money(), "EUR").minor == 100

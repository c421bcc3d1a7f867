"""The state of a cart in one word."""

import pytest

from services.analytics.domain.carts import CartTimes, State, state_of

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("state", "times", "due", "sent"),
    [
        ("open", {}, [], []),
        ("abandoned", {}, [2 * HOUR], []),
        ("abandoned", {}, [2 * HOUR], [HOUR // 2]),  # That message was about an earlier time.
        ("written_to", {}, [2 * HOUR], [3 * HOUR]),
        ("returned", {"last_activity_at": 4 * HOUR, "last_item_at": HOUR}, [2 * HOUR], [3 * HOUR]),
        ("ordered", {"ordered_at": 2 * HOUR}, [], []),
        ("ordered", {"ordered_at": HOUR - 60_000}, [], []),  # Within the order's shadow.
        ("recovered", {"ordered_at": 3 * HOUR, "recovered_at": 3 * HOUR}, [2 * HOUR], []),
        ("open", {"ordered_at": HOUR // 2, "recovered_at": HOUR // 2}, [], []),  # Bought, then filled again.
        ("emptied", {"emptied_at": 2 * HOUR}, [], []),
        ("open", {"emptied_at": HOUR // 2}, [], []),
        ("expired", {"expired_at": 9 * HOUR}, [2 * HOUR], [3 * HOUR]),
    ],
)
def test_a_cart_is_in_the_state_that_a_person_would_name(
    state: State, times: dict[str, int], due: list[int], sent: list[int]
) -> None:
    assert state_of(CartTimes(**{"last_item_at": HOUR, "last_activity_at": HOUR} | times), due, sent) == state

"""What is probably no shopper is marked, where the store wants that."""

import tracemalloc
from collections import Counter
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.adapters.native import cart_event
from services.ingest.adapters.seam import Refused
from services.ingest.api.payloads import CartEvent
from services.ingest.domain.marks import BOT, of_agent
from services.ingest.domain.pace import MINUTE_MS, Pace
from tests.unit.ingest.given import STORE, arrival
from trolleybus.contracts.cart import CartActivity

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"

DECLARED = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    f"{CHROME} Chrome/120.0.0.0 Safari/537.36 (compatible; Googlebot/2.1)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; YandexMarket/2.0; +http://yandex.com/bots)",
    "Mozilla/5.0 (compatible; Baiduspider/2.0)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2)",
    f"{CHROME} Chrome/119.0 Safari/537.36 (compatible; AdsBot-Google)",
    "Mediapartners-Google",
    "facebookexternalhit/1.1",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0)",
    f"{CHROME} HeadlessChrome/120.0.0.0 Safari/537.36",
    f"{CHROME} Chrome/79.0 Safari/537.36 Chrome-Lighthouse",
    f"{CHROME} Chrome/107.0 Safari/537.36 DareBoost",
    "python-requests/2.31.0",
    "curl/8.5.0",
    "Wget/1.21",
    "Java/17.0.2",
    "Pingdom.com_bot_version_1.4",
    "Some Shop Checker (owner@example.com)",
]
PEOPLE = [
    "",
    f"{CHROME} Chrome/142.0.0.0 Safari/537.36",
    f"{CHROME} Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
    f"{CHROME} Chrome/110.0.0.0 Safari/537.36 OPR/96.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 "
    "Instagram 300.0.0.0 (iPhone15,2; iOS 18_1; es_ES)",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 [FBAN/FBIOS;FBAV/470.0.0]",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 GSA/300.0 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 SamsungBrowser/25.0 Chrome/121.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 9; CUBOT_X18_Plus) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; CUBOT NOTE 20) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; U; Android 12; de-de) AppleWebKit/537.36 UCBrowser/13.4 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 13) AppleWebKit/537.36 Chrome/120.0 YaBrowser/24.1 Mobile Safari/537.36",
    "okhttp/4.12.0",
    "MyShop/3.2 (com.example.shop; build:12; iOS 18.1.0) Alamofire/5.9",
    "MyShop/12 CFNetwork/1568.200.51 Darwin/24.1.0",
    "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8)",
    "Dart/3.5 (dart:io)",
    "Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) AppleWebKit/537.36 Version/7.0 TV Safari/537.36",
]


@pytest.mark.parametrize("agent", DECLARED)
def test_who_declares_to_be_a_program_is_marked(agent: str) -> None:
    assert of_agent(agent) == ("bot",)


@pytest.mark.parametrize("agent", PEOPLE)
def test_browsers_and_apps_of_people_are_not_marked(agent: str) -> None:
    assert of_agent(agent) == ()


@given(st.text(max_size=2000))
def test_any_agent_can_be_read(agent: str) -> None:
    assert of_agent(agent) in ((), ("bot",))


def marks_of(event: dict[str, Any], **changes: Any) -> tuple[str, ...]:
    told = CartEvent.model_validate({"event": "cart_emptied", "event_id": "e1", **event})
    last = cart_event(told, arrival(**changes)).records[-1]
    assert isinstance(last, CartActivity)
    return last.marks


def test_a_session_without_shopper_and_cart_is_marked_and_not_refused() -> None:
    assert marks_of({"session_id": "s1"}) == ("incomplete",)
    assert marks_of({"session_id": "s1", "anonymous_id": "a1"}) == ()
    assert marks_of({"session_id": "s1", "cart_id": "c1"}) == ()
    with pytest.raises(Refused):
        marks_of({})


def test_a_store_may_want_no_marks() -> None:
    plain = replace(STORE, unmarked=("bot", "incomplete"))
    assert marks_of({"cart_id": "c1", "user_agent": "curl/8"}) == ("bot",)
    assert marks_of({"cart_id": "c1", "user_agent": "curl/8"}, store=plain) == ()
    assert marks_of({"session_id": "s1"}, store=plain) == ()


def test_where_the_proxy_says_the_shopper_is_counts_only_where_the_event_says_nothing() -> None:
    told = CartEvent.model_validate({"event": "cart_emptied", "event_id": "e1", "cart_id": "c1", "country": "PT"})
    (record,) = cart_event(told, arrival(country="FR")).records
    assert isinstance(record, CartActivity)
    assert record.country == "PT"
    (record,) = cart_event(told.model_copy(update={"country": ""}), arrival(country="FR")).records
    assert isinstance(record, CartActivity)
    assert record.country == "FR"


def test_what_comes_from_a_crowd_is_marked_where_the_store_wants_it() -> None:
    told = CartEvent.model_validate({"event": "cart_emptied", "event_id": "e1", "cart_id": "c1"})
    for store, wanted in ((STORE, (BOT,)), (replace(STORE, unmarked=(BOT,)), ())):
        for agent in ("", "curl/8.5.0", CHROME):
            (record,) = cart_event(told, arrival(store=store, is_crowd=True, user_agent=agent)).records
            assert isinstance(record, CartActivity)
            assert record.marks == wanted


class Touch(NamedTuple):
    customer_id: str
    occurred_at: int


def is_beyond(pace: Pace, store_id: str, shopper: str, at: int) -> bool:
    return pace.beyond(store_id, [Touch(shopper, at)]) == [0]


def test_what_comes_together_is_counted_one_after_the_other() -> None:
    pace = Pace(most_a_minute=2)
    first = [Touch("a", 1), None, Touch("b", 1), Touch("a", 2), Touch("a", 3), Touch("a", MINUTE_MS), Touch("a", 4)]
    assert pace.beyond("s", first) == [4, 6]
    assert pace.beyond("s", [Touch("b", 2), Touch("b", MINUTE_MS), Touch("b", 3)]) == [2]


TOUCHES = st.builds(Touch, st.sampled_from("ab"), st.sampled_from([0, MINUTE_MS - 1, MINUTE_MS, 3 * MINUTE_MS]))


@given(st.lists(st.tuples(st.sampled_from("st"), st.lists(st.none() | TOUCHES, max_size=6)), max_size=12))
def test_the_pace_is_what_counting_one_by_one_gives(calls: list[tuple[str, list[Touch | None]]]) -> None:
    pace, counts = Pace(most_a_minute=2), Counter[tuple[str, str, int]]()
    for store_id, touches in calls:
        wanted = []
        for place, touch in enumerate(touches):
            if touch is not None:
                minute = store_id, touch.customer_id, touch.occurred_at // MINUTE_MS
                counts[minute] += 1
                if counts[minute] > 2:
                    wanted.append(place)
        assert pace.beyond(store_id, touches) == wanted


def test_more_in_a_minute_than_a_person_can_do_is_beyond_the_pace() -> None:
    pace = Pace(most_a_minute=3)
    assert [is_beyond(pace, "s", "a", MINUTE_MS + at) for at in range(5)] == [False, False, False, True, True]
    assert not is_beyond(pace, "s", "b", MINUTE_MS)
    assert not is_beyond(pace, "other", "a", MINUTE_MS)


def test_what_was_sent_late_counts_in_its_own_minute() -> None:
    pace = Pace(most_a_minute=3)
    assert not any(is_beyond(pace, "s", "a", minute * MINUTE_MS) for minute in range(50))


def test_the_pace_is_kept_of_so_many_and_no_more() -> None:
    pace = Pace(most_a_minute=1, most_kept=100)
    is_beyond(pace, "s", "a", 0)
    for number in range(60):
        is_beyond(pace, "s", f"x{number}", 0)
    assert is_beyond(pace, "s", "a", 0)
    for number in range(10_000):
        is_beyond(pace, "s", f"y{number}", 0)
    assert sum(len(shoppers) for half in (pace._counts, pace._before) for shoppers in half.values()) <= 100


def test_what_is_kept_of_agents_is_bounded_however_long_they_are() -> None:
    tracemalloc.start()
    try:
        for number in range(300):
            assert of_agent(f"{number} of a browser {'x' * 50_000} bot") == ()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2_000_000

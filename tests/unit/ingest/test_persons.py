"""Who is one person: links, merges, partings; which cart is theirs."""

from services.ingest.domain.people import Identity
from services.ingest.domain.persons import STRANGER, Acquaintances, Standing, standing
from services.ingest.domain.remembering import MOST_CARTS, MOST_IDENTITIES, Sighting
from tests.unit.ingest.given import NOW, hashed


def one(text: str) -> Identity:
    """`customer:u1` and the like."""
    kind, _, value = text.partition(":")
    return Identity(kind, hashed(kind, value), value)


class Map:
    """A map that nobody loses, told in words: seen("customer:u1 anonymous:a1", "c1")."""

    def __init__(self) -> None:
        self.known = Acquaintances(lambda _: None)
        self.now = NOW

    def seen(self, who: str, cart: str = "", *, ends: bool = False) -> None:
        self.now += 1000
        self.known.see(Sighting(tuple(map(one, who.split())), cart, ends, self.now))

    def asks(self, who: str) -> Standing:
        return standing(self.known.person, [one(name) for name in who.split()])

    def cart_of(self, who: str) -> str:
        return self.asks(who).open_cart

    def named(self, who: str) -> set[str]:
        return set(self.asks(who).identities)


def hashes(who: str) -> set[str]:
    return {one(name).hash for name in who.split()}


def test_a_stranger_has_no_cart_and_no_identity_beyond_the_events() -> None:
    assert Map().asks("anonymous:a1") == STRANGER


def test_a_cart_that_was_named_is_open_until_an_order_ends_it() -> None:
    shop = Map()
    shop.seen("anonymous:a1", "c1")
    assert shop.cart_of("anonymous:a1") == "c1"
    shop.seen("anonymous:a1", "c1", ends=True)
    assert shop.cart_of("anonymous:a1") == ""


def test_a_guests_order_by_email_finds_the_cart_and_all_that_was_known_of_the_buyer() -> None:
    shop = Map()
    shop.seen("anonymous:a1", "c1")
    shop.seen("anonymous:a1 email:guest@example.com", "c1")
    assert shop.cart_of("email:guest@example.com") == "c1"
    assert shop.named("email:guest@example.com") == hashes("anonymous:a1 email:guest@example.com")


def test_a_login_in_mid_cart_takes_the_cart_along() -> None:
    shop = Map()
    shop.seen("anonymous:a1", "c1")
    shop.seen("customer:u1 anonymous:a1")
    assert shop.cart_of("customer:u1") == "c1"


def test_two_devices_of_one_login_are_one_person_and_each_keeps_its_own_cart_in_hand() -> None:
    shop = Map()
    shop.seen("customer:u1 anonymous:phone", "c1")
    shop.seen("customer:u1 anonymous:laptop", "c2")
    assert shop.cart_of("anonymous:phone") == "c1"
    assert shop.cart_of("anonymous:laptop") == "c2"
    assert shop.cart_of("customer:u1") == "c2"
    assert shop.named("anonymous:phone") == hashes("customer:u1 anonymous:phone anonymous:laptop")


def test_a_cart_that_is_one_on_all_devices_is_ended_on_all() -> None:
    shop = Map()
    shop.seen("customer:u1 anonymous:phone", "c1")
    shop.seen("customer:u1 anonymous:laptop", "c1")
    shop.seen("customer:u1", "c1", ends=True)
    assert shop.cart_of("anonymous:phone") == ""


def test_a_checkouts_token_finds_its_cart_before_one_touched_later() -> None:
    shop = Map()
    shop.seen("customer:u1 checkout:t1", "c1")
    shop.seen("customer:u1", "c2")
    assert shop.cart_of("customer:u1 checkout:t1") == "c1"
    assert shop.cart_of("customer:u1") == "c2"


def test_an_alias_makes_one_person_of_two_whom_nobody_had_seen_together() -> None:
    shop = Map()
    shop.seen("customer:old", "c1")
    shop.seen("customer:new email:shopper@example.com", "c2")
    shop.seen("customer:new customer:old")
    assert shop.named("email:shopper@example.com") == hashes("customer:old customer:new email:shopper@example.com")
    shop.seen("customer:new", "c2", ends=True)
    assert shop.cart_of("customer:old") == "c1"


def test_a_new_login_on_a_shared_device_parts_from_the_former_customer_and_their_cart() -> None:
    shop = Map()
    shop.seen("customer:first anonymous:a1", "c1")
    login = shop.asks("customer:second anonymous:a1")
    assert login.open_cart == ""
    assert list(login.stand_ins) == [one("anonymous:a1").hash]
    assert set(login.identities) == hashes("customer:second")
    shop.seen("customer:second anonymous:a1", "c2")
    later = shop.asks("anonymous:a1")
    assert later.open_cart == "c2"
    assert later.stand_ins[one("anonymous:a1").hash] == (one("anonymous:a1"), one("customer:second"))
    assert set(later.identities) == hashes("customer:second")
    assert shop.cart_of("customer:first") == "c1"


def test_the_former_customer_who_comes_back_has_the_device_and_the_cart_again() -> None:
    shop = Map()
    shop.seen("customer:first anonymous:a1", "c1")
    shop.seen("customer:second anonymous:a1", "c2")
    back = shop.asks("customer:first anonymous:a1")
    assert (back.open_cart, back.stand_ins) == ("c1", {})
    shop.seen("customer:first anonymous:a1")
    assert shop.cart_of("anonymous:a1") == "c1"
    assert shop.asks("customer:second anonymous:a1").open_cart == "c2"


def test_a_guests_email_on_a_shared_device_that_is_the_former_customers_gives_the_device_back() -> None:
    shop = Map()
    shop.seen("customer:first anonymous:a1 email:first@example.com", "c1")
    shop.seen("customer:second anonymous:a1", "c2")
    assert shop.asks("anonymous:a1 email:first@example.com").stand_ins == {}


def test_one_address_with_two_accounts_is_one_person() -> None:
    shop = Map()
    shop.seen("customer:first email:shopper@example.com", "c1")
    shop.seen("customer:second email:shopper@example.com")
    assert shop.cart_of("customer:second") == "c1"


def test_a_person_stays_bounded_and_keeps_the_strong_and_the_latest() -> None:
    shop = Map()
    for number in range(100):
        shop.seen(f"customer:u1 anonymous:a{number} checkout:t{number}", f"c{number}")
    person = shop.known.person(one("customer:u1").hash)
    assert person is not None
    assert (len(person.own), len(person.carts)) == (MOST_IDENTITIES, MOST_CARTS)
    assert shop.cart_of("customer:u1") == "c99"
    assert hashes("customer:u1 anonymous:a99 checkout:t99") <= shop.named("customer:u1")


def test_what_was_seen_already_is_nothing_new() -> None:
    shop = Map()
    shop.seen("customer:u1 anonymous:a1", "c1")
    again = Sighting((one("customer:u1"), one("anonymous:a1")), "c1", False, shop.now + 60_000)
    assert shop.known.see(again) is None

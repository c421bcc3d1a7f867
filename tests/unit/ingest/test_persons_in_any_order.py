"""Any interleaving of shoppers' events: what the gateway writes, read as the detector and the send gate read it."""

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from services.ingest.adapters.draft import Draft, Named
from services.ingest.domain.persons import Acquaintances, Person, standing
from services.ingest.domain.settlement import settled, sighting_of
from services.ingest.domain.translation import Canonical, Translation
from services.messaging.domain.people import merge
from tests.unit.ingest.given import NOW, arrival, hashed
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.customers import CustomerUpdated, IdentitiesLinked
from trolleybus.contracts.orders import OrderPlaced


class Shop:
    """The gateway's pure part with a map; the log; the detector's carts and the gate's persons."""

    def __init__(self) -> None:
        self.map = Acquaintances(lambda _: None)
        self.count = 0
        self.log: list[Canonical] = []
        self.cart_names: defaultdict[str, set[str]] = defaultdict(set)
        self.ended: set[str] = set()
        self.person_of: dict[str, str] = {}

    def tell(
        self, who: dict[str, str], cart_id: str = "", *, order: bool = False, is_noted: bool = True
    ) -> tuple[Canonical, ...]:
        self.count += 1
        plain = _event(f"e{self.count}", who, cart_id, order=order)
        found = standing(self.map.person, plain.identities)
        one = settled(plain, found)
        assert {record.id for record in one.records} <= {record.id for record in plain.records}
        if is_noted and (sighting := sighting_of(one)) is not None:
            self.map.see(sighting)
        for record in one.records:
            self._read(record)
        self.log += one.records
        return one.records

    def lose_map(self) -> None:
        self.map = Acquaintances(lambda _: None)

    def _read(self, record: Canonical) -> None:
        if isinstance(record, CartActivity):
            assert record.cart_id
            if record.kind == "order_placed":
                self.ended.add(record.cart_id)
            else:
                self.ended.discard(record.cart_id)
                self.cart_names[record.cart_id] |= set(record.identities)
        if isinstance(record, CustomerUpdated | IdentitiesLinked):
            merged = merge([record.identities], self.person_of)
            for identity, label in self.person_of.items():
                self.person_of[identity] = merged.relabelled.get(label, label)
            self.person_of.update(merged.labels)

    def gate_stops(self, cart_id: str, order: OrderPlaced) -> bool:
        """The send gate's rule: the same cart, or an identity of the buyer among those of the cart's person."""
        if order.cart_id == cart_id:
            return True
        persons = {self.person_of[one] for one in self.cart_names[cart_id] if one in self.person_of}
        everyone = self.cart_names[cart_id] | {one for one, label in self.person_of.items() if label in persons}
        return not everyone.isdisjoint(order.identities)


def _event(event_id: str, who: dict[str, str], cart_id: str, *, order: bool) -> Translation:
    tokens = tuple((kind, who[kind]) for kind in ("checkout", "device") if kind in who)
    named = Named(
        channel="orders" if order else "carts",
        own_id=event_id,
        customer_id=who.get("customer", ""),
        anonymous_id=who.get("anonymous", ""),
        email=who.get("email", ""),
        phone=who.get("phone", ""),
        cart_id=cart_id,
        tokens=tokens,
    )
    draft = Draft("native", named, arrival())
    at = NOW + int(event_id[1:])
    records: list[Canonical] = [*draft.person_records(at, "checkout")]
    if order:
        records.insert(0, OrderPlaced(**draft.stamp("OrderPlaced", at), order_id=event_id, cart_id=cart_id))
    kind = "order_placed" if order else "snapshot"
    records.append(CartActivity(**draft.stamp("CartActivity", at), kind=kind, cart_id=cart_id))
    return draft.translation("order_placed" if order else "cart_updated", records)


KINDS = {
    "customer": ("u1",),
    "anonymous": ("a1", "a2"),
    "email": ("shopper@example.com", "other@example.com"),
    "phone": ("+34600111222",),
    "checkout": ("t1", "t2"),
    "device": ("d1",),
}
SOME = st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=3, unique=True).flatmap(
    lambda kinds: st.fixed_dictionaries({kind: st.sampled_from(KINDS[kind]) for kind in kinds})
)


class OneShopper(RuleBasedStateMachine):
    """Every event is one shopper's, by whatever ids; the map, or what it should have learned, is lost at any point."""

    def __init__(self) -> None:
        super().__init__()
        self.shop = Shop()
        self.together: dict[str, str] = {}  # Identities that an event named together, or that touched one cart.

    @rule(who=SOME, cart_id=st.sampled_from(["", "", "c1", "c2"]), is_noted=st.booleans())
    def does_something_with_a_cart(self, who: dict[str, str], cart_id: str, is_noted: bool) -> None:
        self._joined(who)
        self.shop.tell(who, cart_id, is_noted=is_noted)

    @rule(who=SOME, cart_id=st.sampled_from(["", "", "", "c1"]), is_noted=st.booleans())
    def orders(self, who: dict[str, str], cart_id: str, is_noted: bool) -> None:
        self._joined(who)
        open_carts = set(self.shop.cart_names) - self.shop.ended
        records = self.shop.tell(who, cart_id, order=True, is_noted=is_noted)
        (order,) = (record for record in records if isinstance(record, OrderPlaced))
        buyer = self.together[next(iter(order.identities))]
        for cart in open_carts:
            if buyer in {self.together[one] for one in self.shop.cart_names[cart]}:
                assert cart in self.shop.ended or self.shop.gate_stops(cart, order)

    @rule()
    def the_map_is_lost(self) -> None:
        self.shop.lose_map()

    def _joined(self, who: dict[str, str]) -> None:
        names = [hashed(kind, value) for kind, value in who.items()]
        merged = merge([names], self.together)
        for identity, label in self.together.items():
            self.together[identity] = merged.relabelled.get(label, label)
        self.together.update(merged.labels)


class TwoShoppersOfOneDevice(RuleBasedStateMachine):
    """They log in by turns on one device, and have others of their own. What each does there is theirs until the other logs in."""

    def __init__(self) -> None:
        super().__init__()
        self.shop = Shop()
        self.at_device = "first"
        self.carts: defaultdict[str, set[str]] = defaultdict(set)

    @initialize(cart_id=st.sampled_from(["", "first-c1"]), had_one=st.booleans())
    def the_first_comes(self, cart_id: str, had_one: bool) -> None:
        if had_one:
            self._tell("first", {"anonymous": "shared"}, cart_id)
        self._tell("first", _login("first"), cart_id)

    @rule(who=st.sampled_from(["first", "second"]), cart=st.sampled_from(["", "c1", "c2"]))
    def one_logs_in(self, who: str, cart: str) -> None:
        self.at_device = who
        self._tell(who, _login(who), cart and f"{who}-{cart}")

    @rule(
        ids=st.sets(st.sampled_from(["customer", "email", "checkout"]), max_size=2),
        cart=st.sampled_from(["", "c1"]),
        order=st.booleans(),
    )
    def whoever_is_there_goes_on(self, ids: set[str], cart: str, order: bool) -> None:
        who = self.at_device
        self._tell(who, {"anonymous": "shared", **_own(who, ids)}, cart and f"{who}-{cart}", order=order)

    @rule(
        who=st.sampled_from(["first", "second"]),
        ids=st.sets(st.sampled_from(["customer", "email", "anonymous", "checkout"]), min_size=1),
        cart=st.sampled_from(["", "c1"]),
        order=st.booleans(),
    )
    def one_goes_on_elsewhere(self, who: str, ids: set[str], cart: str, order: bool) -> None:
        self._tell(who, _own(who, ids), cart and f"{who}-{cart}", order=order)

    @invariant()
    def nobody_takes_them_for_one(self) -> None:
        everyone = {who: {hashed(kind, value) for kind, value in _own(who, set(_OWN)).items()} for who in _BOTH}
        persons = {who: {self.shop.person_of.get(one, one) for one in everyone[who]} for who in _BOTH}
        assert persons["first"].isdisjoint(persons["second"])
        known = {who: {_name(self.shop.map.person(one)) for one in everyone[who]} - {""} for who in _BOTH}
        assert known["first"].isdisjoint(known["second"])
        assert self.carts["first"].isdisjoint(self.carts["second"])

    def _tell(self, who: str, ids: dict[str, str], cart_id: str, *, order: bool = False) -> None:
        records = self.shop.tell(ids, cart_id, order=order)
        self.carts[who] |= {record.cart_id for record in records if isinstance(record, CartActivity)}
        other = "second" if who == "first" else "first"
        strangers = {hashed(kind, value) for kind, value in _own(other, set(_OWN)).items()}
        for record in records:
            assert strangers.isdisjoint(getattr(record, "identities", ()))
            if isinstance(record, OrderPlaced):
                assert not any(self.shop.gate_stops(cart, record) for cart in self.carts[other])


_BOTH = ("first", "second")
_OWN = ("customer", "email", "anonymous", "checkout")


def _own(who: str, kinds: set[str]) -> dict[str, str]:
    return {kind: f"{who}@example.com" if kind == "email" else f"{who}-{kind}" for kind in sorted(kinds)}


def _login(who: str) -> dict[str, str]:
    return {"anonymous": "shared", "customer": f"{who}-customer"}


def _name(person: Person | None) -> str:
    return person.name if person is not None else ""


ENOUGH = settings(max_examples=60, stateful_step_count=20, deadline=None)


def test_P3_whatever_is_lost_of_the_map_the_order_ends_the_cart_or_the_gate_matches_its_person() -> None:
    run_state_machine_as_test(OneShopper, settings=ENOUGH)


def test_two_shoppers_of_one_device_are_never_made_one_and_no_order_of_one_stops_the_others_cart() -> None:
    run_state_machine_as_test(TwoShoppersOfOneDevice, settings=ENOUGH)


@settings(deadline=None)
@given(st.lists(st.tuples(SOME, st.sampled_from(["", "c1", "c2"])), min_size=1, max_size=8), SOME)
def test_with_the_map_whole_an_order_without_a_cart_ends_one_that_its_buyer_has_open(
    done: list[tuple[dict[str, str], str]], buyer: dict[str, str]
) -> None:
    shop = Shop()
    theirs: dict[str, str] = {}
    for who, cart_id in [*done, (buyer, "")]:
        merged = merge([[hashed(kind, value) for kind, value in who.items()]], theirs)
        theirs = {one: merged.relabelled.get(label, label) for one, label in theirs.items()} | merged.labels
        if who is not buyer:
            shop.tell(who, cart_id)
    me = theirs[hashed(*next(iter(buyer.items())))]
    mine = {cart for cart, names in shop.cart_names.items() if me in {theirs[one] for one in names}}
    shop.tell(buyer, order=True)
    assert not mine or shop.ended & mine

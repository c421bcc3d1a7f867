"""What a process remembers of persons, and that its short way says what the long one does."""

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.people import Identity
from services.ingest.domain.persons import learn, owner
from services.ingest.domain.remembering import Sighting
from services.ingest.domain.sealed import Sealed
from services.ingest.identity.memory import FRESH_S, MOST, Memory

HOUR = 3_600_000
IDENTITIES = [Identity(kind, f"{kind}:v1:{name}", name) for kind, name in (("customer", "a"), ("anonymous", "b"))]
SIGHTINGS = st.builds(
    Sighting,
    identities=st.lists(st.sampled_from(IDENTITIES), min_size=1, max_size=2, unique=True).map(tuple),
    cart_id=st.sampled_from(["c1", "c1", "c2", ""]),
    ends_cart=st.sampled_from([False, False, True]),
    at=st.sampled_from([HOUR, 2 * HOUR - 1, 2 * HOUR, 25 * HOUR, 26 * HOUR]),
)


@given(st.lists(SIGHTINGS, max_size=40))
def test_a_sighting_is_new_exactly_where_something_is_learned_of_it(sightings: list[Sighting]) -> None:
    memory = Memory()
    for sighting in sightings:
        for _ in range(2):  # The second time by the short way, where there is one.
            learned = learn(memory.person, sighting)
            assert memory.see(sighting, 0.0) == (learned is not None)
            if learned is not None:
                assert all(memory.person(identity) == learned.person for identity in learned.pointing)


def is_usual(memory: Memory, now: float, identity: str, cart_id: str, at: int) -> bool:
    named = (Identity(identity.partition(":")[0], identity, "key"),)
    event = Sealed("e", "cart_updated", named, identity, "key", cart_id, at, None, lambda: None)  # type: ignore[arg-type,return-value]
    return memory.unusual([event], now) == []


@given(st.lists(st.tuples(SIGHTINGS, st.sampled_from([0.0, 4.0, FRESH_S + 1])), max_size=40))
def test_what_is_usual_changes_nothing_and_teaches_nothing(sightings: list[tuple[Sighting, float]]) -> None:
    memory, now = Memory(), 0.0
    for sighting, later in sightings:
        now += later
        identity, cart_id, at = sighting.identities[0].hash, sighting.cart_id, sighting.at
        if is_usual(memory, now, identity, cart_id, at):
            alone = Sighting(sighting.identities[:1], cart_id, False, at)
            assert memory.are_fresh(alone.identities, now)
            assert owner(memory.person, alone.identities) is not None
            assert learn(memory.person, alone) is None
        for _ in range(3):
            memory.see(sighting, now)


NAME = IDENTITIES[1].hash
ADA = Sighting(tuple(IDENTITIES[1:]), "c1", False, HOUR)


def memory_of_ada() -> Memory:
    memory = Memory()
    for _ in range(2):
        memory.see(ADA, 0.0)
    return memory


def test_a_shopper_in_one_cart_is_usual_until_something_changes() -> None:
    memory = memory_of_ada()
    assert is_usual(memory, 1.0, NAME, "c1", HOUR)
    assert not is_usual(memory, 1.0, NAME, "c2", HOUR)
    assert not is_usual(memory, 1.0, NAME, "c1", 3 * HOUR)
    assert not is_usual(memory, FRESH_S, NAME, "c1", HOUR)
    memory.see(ADA._replace(ends_cart=True, at=HOUR + 1), 1.0)
    assert not is_usual(memory, 1.0, NAME, "c1", HOUR)


def test_a_shopper_who_was_asked_for_anew_is_not_usual_until_seen_again() -> None:
    memory = memory_of_ada()
    memory.put(NAME, None, FRESH_S)
    assert not is_usual(memory, FRESH_S, NAME, "c1", HOUR)
    for _ in range(2):
        memory.see(ADA, FRESH_S)
    assert is_usual(memory, 2 * FRESH_S - 1, NAME, "c1", HOUR)
    assert not is_usual(memory, 2 * FRESH_S, NAME, "c1", HOUR)


def test_what_is_remembered_is_bounded() -> None:
    memory = Memory()
    for number in range(3 * MOST):
        ada = Sighting((Identity("anonymous", f"anonymous:v1:{number}", str(number)),), "c1", False, HOUR)
        for _ in range(2):
            memory.see(ada, 0.0)
    assert len(memory._young) + len(memory._old) <= MOST
    assert len(memory._heard) <= MOST

"""What a process remembers of persons, and that its short way says what the long one does."""

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.people import Identity
from services.ingest.domain.persons import learn
from services.ingest.domain.remembering import Sighting
from services.ingest.identity.memory import Memory

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

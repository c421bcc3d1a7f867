"""Persons met lately, in this process: bounded, and believed for a short while only."""

from collections.abc import Iterable, Sequence

from services.ingest.domain.people import Identity
from services.ingest.domain.persons import Person, affected, learn, nothing_new_until
from services.ingest.domain.remembering import Sighting
from services.ingest.domain.sealed import Event, Sealed

FRESH_S = 30.0
"""Some clicks of one visitor. An older answer is asked for anew when its shopper is seen again, beside that event's answer."""
BELIEVED_S = 60.0
"""How old an answer may be for an event that names its cart; what is older is asked for first."""
MOST = 20_000

_Entry = tuple[Person | None, float]


_Heard = tuple[str, int, float]
"""Of an identity that touched a cart: the cart, the time (ms) before which that cart's events say nothing new, and when the
identity was asked for. No NamedTuple: Python takes those apart slowly, and it is done for each event."""


class Memory:
    """Identities and whose they are. The half that was not used for longest goes when it is full."""

    def __init__(self) -> None:
        self._young: dict[str, _Entry] = {}
        self._old: dict[str, _Entry] = {}
        self._heard: dict[str, _Heard] = {}  # By identity, until it is asked for anew or something is learned of it.

    def person(self, identity: str) -> Person | None:
        entry = self._young.get(identity) or self._entry(identity)
        return entry[0] if entry is not None else None

    def is_fresh(self, identity: str, now: float) -> bool:
        """Whether it was asked for just now, whatever the answer was."""
        entry = self._young.get(identity) or self._entry(identity)
        return entry is not None and now - entry[1] < FRESH_S

    def are_fresh(self, identities: Iterable[Identity], now: float, for_s: float = FRESH_S) -> bool:
        """Whether all were asked for less than so many seconds ago."""
        for one in identities:
            entry = self._young.get(one.hash) or self._entry(one.hash)
            if entry is None or now - entry[1] >= for_s:
                return False
        return True

    def unusual(self, events: Sequence[Event], now: float) -> list[int]:
        """The places of the events but those of one identity that goes on in its cart: for them there is nothing to look up, and
        nothing to learn from them. Each takes a look into a table too large for the processor's caches; hence this form."""
        heard_of, oldest = self._heard.get, now - FRESH_S
        found: list[int] = []
        for place, event in enumerate(events):
            if type(event) is Sealed:
                heard = heard_of(event.identity)
                if heard is not None:
                    cart_id, until, asked_at = heard
                    if cart_id == event.cart_id and event.occurred_at < until and asked_at > oldest:
                        continue
            found.append(place)
        return found

    def put(self, identity: str, person: Person | None, now: float) -> None:
        if len(self._young) >= MOST // 2:
            self._old, self._young = self._young, {}
        self._young[identity] = (person, now)
        self._heard.pop(identity, None)

    def see(self, sighting: Sighting, now: float) -> bool:
        """Whether it says something new."""
        sole = sighting.identities[0].hash if len(sighting.identities) == 1 and not sighting.ends_cart else ""
        heard = self._heard.get(sole)
        if heard is not None and heard[0] == sighting.cart_id and sighting.at < heard[1]:
            return False
        learned = learn(self.person, sighting)
        if learned is None:
            self._hear(sole, sighting)
            return False
        for identity in list(affected(learned, self.person)):
            self.put(identity, learned.person, now)
        return True

    def _hear(self, identity: str, sighting: Sighting) -> None:
        person, asked_at = self._young.get(identity) or self._entry(identity) or (None, 0.0)
        if person is None or identity not in person.own:
            return
        if len(self._heard) >= MOST:
            self._heard.clear()
        self._heard[identity] = (sighting.cart_id, nothing_new_until(person, sighting), asked_at)

    def _entry(self, identity: str) -> _Entry | None:
        """Used again, so kept."""
        entry = self._old.get(identity)
        if entry is not None and len(self._young) < MOST // 2:
            self._young[identity] = entry
        return entry

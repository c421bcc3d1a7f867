"""Sightings into a space of Valkey: read, learn, write; what somebody else changed in between comes back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.ingest.domain.persons import Acquaintances, Learned, Person
from services.ingest.domain.remembering import Sighting
from services.ingest.identity.space import IdentitySpace, Page, Unit, document, elsewhere


@dataclass(frozen=True, slots=True)
class Lesson:
    """What became of sightings: whose each identity is now, and the numbers of those that must be tried again."""

    persons: Mapping[str, Person | None]
    late: Sequence[int]


@dataclass(slots=True)
class _Group:
    """Sightings that touch each other's persons, so that they are written together."""

    numbers: list[int] = field(default_factory=list)
    marks: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)  # Of persons that were read.
    learned: list[Learned] = field(default_factory=list)


async def write(space: IdentitySpace, sightings: Sequence[Sighting]) -> Lesson | None:
    """Two round trips; None without Valkey."""
    identities = {one.hash for sighting in sightings for one in sighting.identities}
    page = await space.read(identities)
    if page is None:
        return None
    known = Acquaintances(page.persons.get)
    groups = [group for group in _grouped(sightings, known) if group.learned]
    late: Sequence[int] = ()
    if groups:
        failed = await space.write([_unit(group, page, sightings, known) for group in groups], page.space)
        if failed is None:
            return None
        late = [number for index in failed for number in groups[index].numbers]
    again = {one.hash for number in late for one in sightings[number].identities}
    return Lesson({one: known.person(one) for one in identities - again}, late)


def _grouped(sightings: Sequence[Sighting], known: Acquaintances) -> list[_Group]:
    group_of: dict[str, _Group] = {}
    for number, sighting in enumerate(sightings):
        hashes = [one.hash for one in sighting.identities]
        names = {person.name for one in hashes if (person := known.person(one)) is not None}
        learned = known.see(sighting)
        marks = {*hashes, *names, *((learned.person.name,) if learned else ())}
        met = {id(found): found for mark in marks if (found := group_of.get(mark)) is not None}
        group, *others = met.values() or (_Group(),)
        for other in others:
            group.numbers += other.numbers
            group.marks |= other.marks
            group.names |= other.names
            group.learned += other.learned
        group.numbers.append(number)
        group.marks |= marks
        group.names |= names
        if learned is not None:
            group.learned.append(learned)
        group_of.update(dict.fromkeys(group.marks, group))
    return list({id(group): group for group in group_of.values()}.values())


def _unit(group: _Group, page: Page, sightings: Sequence[Sighting], known: Acquaintances) -> Unit:
    """The last of each person; the pointers of all identities that were seen, so that these live on."""
    unit = Unit(versions={name: page.versions[name] for name in group.names if name in page.versions})
    for learned in group.learned:
        name = learned.person.name
        unit.documents[name] = document(learned.person, page.versions.get(name, 0) + 1)
        unit.documents.update(dict.fromkeys(learned.merged, elsewhere(name)))
    for number in group.numbers:
        for one in sightings[number].identities:
            before, now = page.persons[one.hash], known.person(one.hash)
            unit.names[one.hash] = before.name if before is not None else ""
            if now is not None:
                unit.pointers[one.hash] = now.name
    return unit

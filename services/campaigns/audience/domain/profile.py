"""A customer's profile, folded from updates: the last word on each trait wins, whatever the order of arrival."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from trolleybus.contracts import ids
from trolleybus.contracts.customers import CustomerProfile, CustomerUpdated

_PROPERTY = "properties."
PLAIN_TRAITS = ("anonymous_id", "email", "phone", "first_name", "last_name", "locale", "time_zone", "country")


@dataclass(frozen=True, slots=True, order=True)
class Word:
    """What was said of a trait, and when; ties go by the record's id."""

    at: int
    by: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    store_id: str
    customer_id: str
    traits: Mapping[str, Word] = field(default_factory=dict)
    identities: frozenset[str] = frozenset()
    first_seen_at: int = 0

    def value(self, trait: str) -> str:
        word = self.traits.get(trait)
        return word.value if word else ""

    @property
    def updated_at(self) -> int:
        return max((word.at for word in self.traits.values()), default=self.first_seen_at)

    def properties(self) -> dict[str, str]:
        return {
            name.removeprefix(_PROPERTY): word.value
            for name, word in sorted(self.traits.items())
            if name.startswith(_PROPERTY) and word.value
        }


def fold(profile: Profile, update: CustomerUpdated) -> Profile:
    traits = dict(profile.traits)
    for name, word in _words(update):
        known = traits.get(name)
        if known is None or word > known:
            traits[name] = word
    seen = [at for at in (profile.first_seen_at, update.occurred_at) if at]
    return Profile(
        store_id=profile.store_id,
        customer_id=profile.customer_id,
        traits=traits,
        identities=profile.identities | set(update.identities),
        first_seen_at=min(seen, default=0),
    )


def record(profile: Profile, cause_id: str) -> CustomerProfile:
    """The whole profile, as it is published after an update."""
    return CustomerProfile(
        id=ids.record_of(cause_id, "CustomerProfile"),
        store_id=profile.store_id,
        occurred_at=profile.updated_at,
        customer_id=profile.customer_id,
        identities=tuple(sorted(profile.identities)),
        properties=profile.properties(),
        first_seen_at=profile.first_seen_at,
        anonymous_id=profile.value("anonymous_id"),
        email=profile.value("email"),
        phone=profile.value("phone"),
        first_name=profile.value("first_name"),
        last_name=profile.value("last_name"),
        locale=profile.value("locale"),
        time_zone=profile.value("time_zone"),
        country=profile.value("country"),
    )


def says_the_same(before: Profile, after: Profile) -> bool:
    """Whether a reader of the profile would see no difference."""
    return record(before, "") == record(after, "")


def _words(update: CustomerUpdated) -> Iterable[tuple[str, Word]]:
    def word(value: str) -> Word:
        return Word(update.occurred_at, update.id, value)

    for trait in PLAIN_TRAITS:
        value = getattr(update, trait)
        if value:
            yield trait, word(value)
    for name, value in update.properties.items():
        yield _PROPERTY + name, word(value)
    for name in update.removed:
        yield name if name in PLAIN_TRAITS else _PROPERTY + name, word("")

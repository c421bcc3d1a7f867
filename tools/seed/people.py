"""Customers with addresses, languages and a word on being written to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from trolleybus.contracts import ids
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.customers import CustomerUpdated, IdentitiesLinked
from trolleybus.contracts.identity import IdentityHasher
from trolleybus.contracts.records import Record

_PLACES = [("es-ES", "ES", "Europe/Madrid"), ("ca-ES", "ES", "Europe/Madrid"), ("pt-PT", "PT", "Europe/Lisbon"),
           ("fr-FR", "FR", "Europe/Paris"), ("en-GB", "GB", "Europe/London")]  # fmt: skip
_WORDS = {"granted": 70, "": 22, "revoked": 8}


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One customer of the seeded store. `word` is granted, revoked or "" (said nothing)."""

    customer_id: str
    email: str
    identities: tuple[str, ...]
    address_hash: str
    locale: str
    country: str
    time_zone: str
    word: str
    since_ms: int


def people(random: Random, count: int, store_id: str, hasher: IdentityHasher, now_ms: int) -> list[Person]:
    """Customers, the same for the same generator and store."""
    made = []
    for number in range(1, count + 1):
        customer_id, email = f"S{number:04}", f"customer-{number:04}@example.com"
        locale, country, zone = random.choices(_PLACES, [5, 2, 1, 1, 1])[0]
        address_hash = hasher.hash(store_id, "email", email)
        made.append(
            Person(
                customer_id=customer_id,
                email=email,
                identities=(hasher.hash(store_id, "customer", customer_id), address_hash),
                address_hash=address_hash,
                locale=locale,
                country=country,
                time_zone=zone,
                word=random.choices(list(_WORDS), list(_WORDS.values()))[0],
                since_ms=now_ms - random.randint(31, 400) * 86_400_000,
            )
        )
    return made


def records(person: Person, store_id: str) -> Iterator[Record]:
    """The customer as imported records."""
    event = ids.source_event(store_id, "import", f"customer:{person.customer_id}")
    common = {"store_id": store_id, "occurred_at": person.since_ms, "received_at": person.since_ms, "imported": True,
              "source": "import", "source_event_id": f"customer:{person.customer_id}", "customer_id": person.customer_id}  # fmt: skip
    yield CustomerUpdated(
        id=ids.record_of(event, "CustomerUpdated"),
        identities=person.identities,
        email=person.email,
        first_name="Customer",
        last_name=person.customer_id,
        locale=person.locale,
        country=person.country,
        time_zone=person.time_zone,
        **common,  # type: ignore[arg-type]  # one mapping for three records
    )
    yield IdentitiesLinked(
        id=ids.record_of(event, "IdentitiesLinked"),
        identities=person.identities,
        reason="identify",
        **common,  # type: ignore[arg-type]
    )
    if person.word:
        yield ConsentChanged(
            id=ids.record_of(event, "ConsentChanged"),
            channel="email",
            address_hash=person.address_hash,
            state=person.word,
            by="person",
            evidence="newsletter form" if person.word == "granted" else "",
            **common,  # type: ignore[arg-type]
        )

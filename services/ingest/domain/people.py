"""Who a shopper is: the identities that an event names, hashed; the key that records stand under."""

from trolleybus.contracts.frozen import dataclass
from trolleybus.contracts.identity import IdentityHasher


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """The normalised identities of a shopper; "" where not given. Phone in E.164."""

    store_id: str
    customer_id: str = ""
    anonymous_id: str = ""
    email: str = ""
    phone: str = ""
    tokens: tuple[tuple[str, str], ...] = ()
    """Kinds and values of what stands for the person in passing: cart, checkout, device."""


@dataclass(frozen=True, slots=True)
class Identity:
    """One identity of a person: its kind, its hash, and the customer key it alone would give."""

    kind: str
    hash: str
    key: str


def identities_of(person: Person, hasher: IdentityHasher) -> tuple[Identity, ...]:
    """The identities that are known, the strongest first. Addresses stand as hashes in keys, also where a shop has them for
    ids; other ids of the shop as they are."""
    named = (
        ("customer", person.customer_id),
        ("anonymous", person.anonymous_id),
        ("email", person.email),
        ("phone", person.phone),
        *person.tokens,
    )
    return tuple([identity_of(person.store_id, kind, value, hasher) for kind, value in named if value])


def identity_of(store_id: str, kind: str, value: str, hasher: IdentityHasher) -> Identity:
    """One normalised identity; raises BadIdentity for a kind that is none."""
    hashed = hasher.hash(store_id, kind, value)
    return Identity(kind, hashed, _key(kind, value, hashed))


def _key(kind: str, value: str, hashed: str) -> str:
    match kind:
        case "customer" | "anonymous":
            return hashed if "@" in value else value
        case "email" | "phone":
            return hashed
        case _:
            return f"{kind}:{value}"


def shopper_key(identities: tuple[Identity, ...], cart_id: str) -> str:
    """The key of a shopper: of the strongest identity, else the cart's; "" where there is nothing."""
    if identities:
        return identities[0].key
    return f"cart:{cart_id}" if cart_id else ""

"""How a person is reached and spoken to, put together from every profile that is theirs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from services.campaigns.audience.domain.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    email: str = ""
    address_hash: str = ""
    first_name: str = ""
    last_name: str = ""
    locale: str = ""
    time_zone: str = ""
    country: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)


def contact_of(
    profiles: Sequence[Profile], customer_id: str, named: Sequence[str], email_hash: Callable[[str], str]
) -> Contact:
    """`named` are the identities that the cart's own records gave: an address among them goes before any other.

    Then the customer's own profile speaks, then the others of the same person, the latest first.
    """
    ordered = sorted(profiles, key=lambda one: (one.customer_id != customer_id, -one.updated_at, one.customer_id))
    emails = [one.value("email") for one in ordered if one.value("email")]
    email = next((one for one in emails if email_hash(one) in named), emails[0] if emails else "")

    def first(trait: str) -> str:
        return next((one.value(trait) for one in ordered if one.value(trait)), "")

    properties: dict[str, str] = {}
    for one in reversed(ordered):
        properties.update(one.properties())
    return Contact(
        email=email,
        address_hash=email_hash(email) if email else "",
        first_name=first("first_name"),
        last_name=first("last_name"),
        locale=first("locale"),
        time_zone=first("time_zone"),
        country=first("country"),
        properties=properties,
    )

"""From what the audience knows of a person to what the domain decides on."""

from services.campaigns.audience.people import People, Person
from services.campaigns.journeys.domain.entry import Consent
from trolleybus.contracts.permission import BASIS_GRANT, may_market
from trolleybus.contracts.recovery import CartAbandoned
from trolleybus.contracts.stores import StoreConfig
from trolleybus.db import Connection


async def person_of(conn: Connection, people: People, cart: CartAbandoned) -> Person:
    return await people.person(
        conn,
        store_id=cart.store_id,
        customer_id=cart.customer_id,
        identities=cart.identities,
        cart_id=cart.cart_id,
        since=cart.opened_at,
    )


def consent_of(person: Person, config: StoreConfig) -> Consent:
    """Silence under a basis of grants may still be followed by the grant: the topics race."""
    if may_market(person.permission, "email", config.email_consent_basis):
        return Consent.MAY
    said_nothing = not person.permission.state() and config.email_consent_basis == BASIS_GRANT
    return Consent.UNSAID if said_nothing else Consent.MAY_NOT

"""What the audience knows of the person behind a cart."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.campaigns.audience import store
from services.campaigns.audience.domain.contact import Contact, contact_of
from trolleybus.contracts.identity import BadIdentity, IdentityHasher, normalise_email
from trolleybus.contracts.permission import Permission
from trolleybus.db import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    identities: tuple[str, ...]
    contact: Contact
    permission: Permission
    """For e-mail, of the contact's address."""
    ordered: bool


class People:
    def __init__(self, hasher: IdentityHasher) -> None:
        self._hasher = hasher

    async def person(
        self, conn: Connection, *, store_id: str, customer_id: str, identities: Sequence[str], cart_id: str, since: int
    ) -> Person:
        """The person of a cart; `since` is when the cart was opened (ms), for orders."""

        def email_hash(email: str) -> str:
            try:
                return self._hasher.hash(store_id, "email", normalise_email(email))
            except BadIdentity:
                return ""

        everyone = await store.same_person(conn, store_id, identities)
        profiles = await store.profiles_of(conn, store_id, customer_id, everyone)
        contact = contact_of(profiles, customer_id, identities, email_hash)
        permission = Permission()
        if contact.address_hash:
            hashes = self._hasher.all_versions(store_id, "email", normalise_email(contact.email))
            permission = await store.permission(conn, store_id, "email", hashes)
            everyone = sorted({*everyone, contact.address_hash})
        ordered = await store.ordered_since(conn, store_id, cart_id, everyone, since)
        return Person(identities=tuple(everyone), contact=contact, permission=permission, ordered=ordered)

"""What a person's words on a channel add up to.

A fold over ConsentChanged that gives the same answer in whatever order the records come. A person's own "no" is undone only
by a later act of that person with evidence; never by a shop, a sync or an import. A tie is a no.
"""

from dataclasses import dataclass, replace

from trolleybus.contracts.consent import ConsentChanged

GRANTED = "granted"
REVOKED = "revoked"

BASIS_GRANT = "grant"
BASIS_SOFT_OPT_IN = "soft_opt_in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """The latest effective time of each kind of word; 0 where there was none."""

    person_no_at: int = 0
    person_yes_at: int = 0  # With evidence.
    other_no_at: int = 0
    other_yes_at: int = 0

    def state(self) -> str:
        """`granted`, `revoked`, or "" where nobody said anything."""
        yes = max(self.person_yes_at, self.other_yes_at)
        no = max(self.person_no_at, self.other_no_at)
        if not yes and not no:
            return ""
        if self.person_no_at and self.person_yes_at <= self.person_no_at:
            return REVOKED
        return GRANTED if yes > no else REVOKED


def fold(permission: Permission, change: ConsentChanged, arrival: int) -> Permission:
    """Add one word; effective at the earlier of the source's time and the arrival (both ms since the epoch).

    A state that is neither granted nor revoked is read as revoked: when in doubt, do not write.
    """
    at = max(1, min(change.occurred_at or arrival, arrival))
    if change.state != GRANTED:
        if change.by == "person":
            return replace(permission, person_no_at=max(permission.person_no_at, at))
        return replace(permission, other_no_at=max(permission.other_no_at, at))
    if change.by == "person" and change.evidence and not change.imported:
        return replace(permission, person_yes_at=max(permission.person_yes_at, at))
    return replace(permission, other_yes_at=max(permission.other_yes_at, at))


def may_market(permission: Permission, channel: str, email_basis: str) -> bool:
    """Whether marketing may go out on a channel.

    Silence is a no, but for e-mail where the store's basis is a soft opt-in (2002/58/EC, article 13(2)).
    """
    state = permission.state()
    if state:
        return state == GRANTED
    return channel == "email" and email_basis == BASIS_SOFT_OPT_IN

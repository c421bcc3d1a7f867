"""Whether an abandoned cart enters a campaign."""

from dataclasses import dataclass
from enum import Enum

from services.campaigns.journeys.domain.campaign import Campaign


class Consent(Enum):
    """What is known of a person's word on a channel; UNSAID where a grant is needed and none has come."""

    MAY = "may"
    MAY_NOT = "may_not"
    UNSAID = "unsaid"


class Verdict(Enum):
    ENTER = "enter"
    HOLD_OUT = "hold_out"
    SKIP = "skip"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is known of a cart and its shopper at the time of the decision."""

    contact_known: bool
    """The detector saw an address, though the profile may not have come yet."""
    address_hash: str = ""
    consent: Consent = Consent.UNSAID
    ordered: bool = False
    entered_lately: bool = False
    waited: bool = False
    """The time to wait for what other topics have still to tell is over."""


@dataclass(frozen=True, slots=True)
class Entry:
    verdict: Verdict
    rule: str = ""


def decide(campaign: Campaign, known: Circumstances) -> Entry:
    """Only those who would be written to are held out, so that the two groups compare."""
    rule = _against(known)
    if rule:
        return Entry(Verdict.SKIP, rule)
    missing = "no_contact" if not known.address_hash else "no_consent" if known.consent is Consent.UNSAID else ""
    if missing:
        return Entry(Verdict.SKIP, missing) if known.waited else Entry(Verdict.WAIT)
    return Entry(Verdict.HOLD_OUT if campaign.held_out(known.address_hash) else Verdict.ENTER)


def _against(known: Circumstances) -> str:
    """The rule that speaks against the entry whatever is still to come; "" for none."""
    if known.ordered:
        return "ordered"
    if known.entered_lately:
        return "reentry"
    if not known.address_hash and not known.contact_known:
        return "no_contact"
    if known.address_hash and known.consent is Consent.MAY_NOT:
        return "no_consent"
    return ""

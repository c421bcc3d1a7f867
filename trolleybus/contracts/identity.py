"""Identities: normalised, then hashed with the installation's secret.

A hash reads `email:v1:3f…`: kind, version of the secret, 128 bits of HMAC-SHA256 in hex. Store and kind go into the hash,
so that one store's hashes say nothing of another's.
"""

import hmac
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

import idna
import phonenumbers

KINDS = ("email", "phone", "customer", "anonymous", "cart", "checkout", "device")
LONGEST_EMAIL = 254
"""RFC 5321, 4.5.3.1.3: a path of 256 octets less the angle brackets."""
LONGEST_TEXT = 4096
LONGEST_BEYOND_ASCII = 512
"""Of an identity as it was sent: normalising marks that combine takes time by the square of their number."""


REMEMBERED = 16_384
"""Identities whose hash is at hand: a shopper is seen many times within minutes."""


class BadIdentity(ValueError):
    """The value cannot be an identity of its kind."""


@dataclass(frozen=True, slots=True)
class InstallationSecret:
    """One version of the secret that identities are hashed with."""

    version: int
    key: bytes


def installation_secrets(text: str) -> tuple[InstallationSecret, ...]:
    """The secrets of the setting INSTALLATION_SECRET: one, or several as `1:<secret>,2:<secret>` (the highest hashes)."""
    secrets = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        version, colon, key = entry.partition(":")
        numbered = bool(colon) and version.isdecimal()
        secrets.append(
            InstallationSecret(int(version), key.encode()) if numbered else InstallationSecret(1, entry.encode())
        )
    return tuple(secrets)


class IdentityHasher:
    """Hashes identities with the newest secret; older versions stay readable for matching."""

    def __init__(self, secrets: Sequence[InstallationSecret]) -> None:
        if not secrets:
            raise ValueError("an installation needs at least one secret")
        self._newest_first = sorted(secrets, key=lambda secret: -secret.version)
        self._newest = lru_cache(maxsize=REMEMBERED)(partial(_hash, self._newest_first[0]))

    def hash(self, store_id: str, kind: str, value: str) -> str:
        """Hash of an already normalised value, e.g. `email:v1:5f2a…`."""
        return self._newest(store_id, kind, value)

    def all_versions(self, store_id: str, kind: str, value: str) -> tuple[str, ...]:
        """Hashes under every version of the secret, newest first: for matching while a secret is rotated."""
        return tuple(_hash(secret, store_id, kind, value) for secret in self._newest_first)


def _hash(secret: InstallationSecret, store_id: str, kind: str, value: str) -> str:
    if kind not in KINDS:
        raise BadIdentity(f"{kind!r} is no kind of identity; kinds are {', '.join(KINDS)}")
    if not value:
        raise BadIdentity(f"an empty {kind} identifies nobody")
    text = "".join(f"{len(part)}:{part}" for part in (store_id, kind, value))
    digest = hmac.digest(secret.key, text.encode(), "sha256").hex()[:32]
    return f"{kind}:v{secret.version}:{digest}"


def normalise_email(text: str) -> str:
    """Lower-case address with an IDNA 2008 (UTS 46) domain; raises BadIdentity for what is no address."""
    value = _one_form("NFKC", "e-mail address", text)
    local, at, domain = value.rpartition("@")
    if not at or not local or not domain or "@" in local:
        raise BadIdentity("an e-mail address has one @ with something on both sides")
    if any(char.isspace() or unicodedata.category(char) in ("Cc", "Cf") or char in '<>()[],;:\\"' for char in local):
        raise BadIdentity("the e-mail address has a character that may not stand before its @")
    try:
        ascii_domain = idna.encode(domain, uts46=True, transitional=False).decode()
    except idna.IDNAError:
        raise BadIdentity("the e-mail address has no valid domain after its @") from None
    if "." not in ascii_domain:
        raise BadIdentity("the e-mail address has no valid domain after its @")
    address = f"{local.lower()}@{ascii_domain.lower()}"
    if len(address.encode()) > LONGEST_EMAIL:
        raise BadIdentity(f"an e-mail address has at most {LONGEST_EMAIL} characters")
    return address


def normalise_phone(text: str, country: str) -> str:
    """E.164 number; the country (ISO 3166 alpha-2) is used where the text has no international prefix."""
    try:
        number = phonenumbers.parse(text, country or None)
    except phonenumbers.NumberParseException:
        raise BadIdentity(
            "the phone number cannot be read; write it with its country, such as +34 600 000 000"
        ) from None
    if not phonenumbers.is_possible_number(number):
        raise BadIdentity("the phone number has the wrong length for its country")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def normalise(kind: str, text: str, country: str = "") -> str:
    """A value of any kind in its one form; ids and tokens keep their case."""
    if kind == "email":
        return normalise_email(text)
    if kind == "phone":
        return normalise_phone(text, country)
    value = _one_form("NFC", kind, text)
    if not value:
        raise BadIdentity(f"an empty {kind} identifies nobody")
    return value


def _one_form(form: Literal["NFC", "NFKC"], kind: str, text: str) -> str:
    longest = LONGEST_TEXT if text.isascii() else LONGEST_BEYOND_ASCII
    if len(text) > longest:
        raise BadIdentity(f"the {kind} has more than {longest} characters")
    return unicodedata.normalize(form, text).strip()

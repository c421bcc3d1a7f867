"""A store's API keys: shown once, kept as hashes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Literal

KeyKind = Literal["write", "secret"]
PREFIXES: dict[KeyKind, str] = {"write": "tbw_", "secret": "tbs_"}


def new_key(kind: KeyKind) -> str:
    """256 random bits behind a prefix that says what it is ("tbw_" may stand in a web page, "tbs_" may not)."""
    return PREFIXES[kind] + secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    """SHA-256 in hex. A slow hash protects guessable passwords; 256 random bits cannot be guessed, and keys are
    checked on every request."""
    return hashlib.sha256(_bytes(key)).hexdigest()


def equal(a: str, b: str) -> bool:
    """Takes the same time wherever they differ; never raises, whatever the text."""
    return hmac.compare_digest(_bytes(a), _bytes(b))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")

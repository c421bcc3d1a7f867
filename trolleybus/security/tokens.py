"""Short-lived signed tokens: any service verifies them offline with the signing keys that all services share."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import jwt
from pydantic import SecretStr

OPERATOR_AUDIENCE = "operator"
MAX_TTL_S = 24 * 3600


class BadToken(Exception):
    """Not signed by us, expired, or for another audience; the text says which and never quotes the token."""


@dataclass(frozen=True, slots=True)
class Claims:
    subject: str
    scopes: frozenset[str]
    expires_at: int
    """Seconds since the epoch."""


class Tokens:
    """JWT, HS256. The first key signs, every key verifies: to rotate, put the new one first and keep the old one for a day."""

    def __init__(self, signing_keys: Sequence[SecretStr | str]) -> None:
        if not signing_keys:
            raise ValueError("at least one signing key is needed")
        keys = [_derived(key) for key in signing_keys]
        self._keys = {_key_id(key): key for key in keys}
        self._signing_id = _key_id(keys[0])

    def issue(self, subject: str, scopes: Iterable[str], ttl_s: int, audience: str = OPERATOR_AUDIENCE) -> str:
        if ttl_s > MAX_TTL_S:
            raise ValueError(f"a token lives at most {MAX_TTL_S} s")
        now = int(time.time())
        payload = {"sub": subject, "scope": " ".join(sorted(scopes)), "aud": audience, "iat": now, "exp": now + ttl_s}
        return jwt.encode(payload, self._keys[self._signing_id], "HS256", headers={"kid": self._signing_id})

    def verify(self, token: str, audience: str = OPERATOR_AUDIENCE) -> Claims:
        try:
            key = self._keys.get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                raise BadToken("signed by a key that is not ours (any more)")
            claims = jwt.decode(
                token, key, algorithms=["HS256"], audience=audience, options={"require": ["sub", "aud", "iat", "exp"]}
            )
        except jwt.ExpiredSignatureError:
            raise BadToken("expired") from None
        except (jwt.InvalidTokenError, UnicodeError):
            raise BadToken("not a token of ours") from None
        return Claims(str(claims["sub"]), frozenset(str(claims.get("scope", "")).split()), int(claims["exp"]))


def _derived(key: SecretStr | str) -> bytes:
    """Links use the same keys: what was signed for one purpose must not pass for another."""
    text = key.get_secret_value() if isinstance(key, SecretStr) else key
    return hashlib.sha256(b"trolleybus.tokens\0" + text.encode()).digest()


def _key_id(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:8]

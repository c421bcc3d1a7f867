"""Signed links for e-mails and pages: whoever holds one may do the one thing that its purpose names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from itsdangerous import BadData, URLSafeSerializer
from pydantic import SecretStr


class BadLink(Exception):
    """Changed, cut off, signed for another purpose or by a key that is gone."""


class Links:
    """Readable by anyone, changeable by nobody; without expiry: put a time into the payload where one is wanted.

    The first key signs, every key verifies. Unsubscribe links must work for long: keep retired keys at the end.
    """

    def __init__(self, signing_keys: Sequence[SecretStr | str]) -> None:
        if not signing_keys:
            raise ValueError("at least one signing key is needed")
        # The serializer signs with its last key.
        self._keys = [key.get_secret_value() if isinstance(key, SecretStr) else key for key in reversed(signing_keys)]

    def sign(self, purpose: str, payload: dict[str, Any]) -> str:
        signed = self._serializer(purpose).dumps(payload)
        return signed.decode() if isinstance(signed, bytes) else signed

    def read(self, purpose: str, token: str) -> dict[str, Any]:
        try:
            payload = self._serializer(purpose).loads(token)
        except (BadData, UnicodeError):
            raise BadLink("this link is not valid") from None
        if not isinstance(payload, dict):
            raise BadLink("this link is not valid")
        return payload

    def _serializer(self, purpose: str) -> URLSafeSerializer:
        return URLSafeSerializer(
            self._keys,
            salt=f"trolleybus.link.{purpose}",
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )

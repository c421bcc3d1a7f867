"""Envelope encryption: each secret under a data key of its own, the data keys under key-encryption keys from the settings.

AES-256-GCM throughout, with random nonces of 96 bits before the ciphertext. What a secret is and whose stands in the
additional data of both, so that a row's bytes open nowhere but in that row.
"""

import base64
import binascii
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
HOW_TO_MAKE_ONE = 'echo "1:$(openssl rand -base64 32)"'

_NONCE_BYTES = 12


class BadKeys(ValueError):
    """INTEGRATION_KEYS is not what it must be; the text never quotes it."""


class CannotOpen(Exception):
    """The secret cannot be opened with these keys; the text says which key it needs, or that its bytes were changed."""


@dataclass(frozen=True, slots=True)
class Place:
    """The row and field that a sealed secret belongs to."""

    store_id: str
    integration_id: str
    secret_id: str
    name: str

    def bytes_for(self, purpose: str) -> bytes:
        return json.dumps([purpose, self.store_id, self.integration_id, self.secret_id, self.name]).encode()


@dataclass(frozen=True, slots=True)
class Sealed:
    """`key_id` names the key-encryption key that `wrapped_key` needs."""

    key_id: int
    wrapped_key: bytes
    box: bytes


class KeyRing:
    """The first key wraps, all unwrap."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        if not keys:
            raise BadKeys("at least one key is needed")
        self._keys = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self.first = next(iter(keys))

    @classmethod
    def parse(cls, text: str) -> Self:
        """From "2:<base64 of 32 bytes>,1:<…>"; raises BadKeys."""
        keys: dict[int, bytes] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            number, colon, encoded = part.partition(":")
            if not colon or not number.isascii() or not number.isdecimal() or len(number) > 9 or not int(number):
                raise BadKeys("each key is written as its number, a colon and 32 bytes in base64: 2:<key>,1:<key>")
            key_id = int(number)
            if key_id in keys:
                raise BadKeys(f"key {key_id} stands twice")
            keys[key_id] = _key_bytes(key_id, encoded)
        return cls(keys)

    def seal(self, secret: bytes, place: Place) -> Sealed:
        data_key = AESGCM.generate_key(8 * KEY_BYTES)
        return Sealed(self.first, self._wrap(data_key, place), _encrypt(AESGCM(data_key), secret, place, "secret"))

    def open(self, sealed: Sealed, place: Place) -> bytes:
        """Raises CannotOpen."""
        return _decrypt(AESGCM(self._unwrap(sealed, place)), sealed.box, place, "secret")

    def rewrap(self, sealed: Sealed, place: Place) -> Sealed:
        """The same secret with its data key under the first key. Raises CannotOpen."""
        return Sealed(self.first, self._wrap(self._unwrap(sealed, place), place), sealed.box)

    def _wrap(self, data_key: bytes, place: Place) -> bytes:
        return _encrypt(self._keys[self.first], data_key, place, "data key")

    def _unwrap(self, sealed: Sealed, place: Place) -> bytes:
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise CannotOpen(f"it is wrapped by key {sealed.key_id}, which INTEGRATION_KEYS does not have")
        return _decrypt(key, sealed.wrapped_key, place, "data key")


def _encrypt(key: AESGCM, clear: bytes, place: Place, purpose: str) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + key.encrypt(nonce, clear, place.bytes_for(purpose))


def _decrypt(key: AESGCM, box: bytes, place: Place, purpose: str) -> bytes:
    try:
        return key.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], place.bytes_for(purpose))
    except (InvalidTag, ValueError):  # ValueError: too short to have a nonce
        raise CannotOpen(f"its {purpose} was changed, moved from another row, or wrapped by another key") from None


def _key_bytes(key_id: int, encoded: str) -> bytes:
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise BadKeys(f"key {key_id} is not base64") from None
    if len(key) != KEY_BYTES:
        raise BadKeys(f"key {key_id} has {len(key)} bytes, not {KEY_BYTES}")
    return key

"""Takes personal data and secrets out of what is about to be logged, at any depth."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_MAX_DEPTH = 12

# Lengths are bounded so that a hostile text costs linear time.
_EMAIL = re.compile(r"""(?:"[^"@\n]{1,64}"|[^\s<>"(),;@]{1,128})(?:@|%40)(?:\[[^\]\s]{1,64}\]|[^\s<>"(),;@]{1,255})""")
_KEY = re.compile(r"\btb[a-z]_[A-Za-z0-9_-]{8,}")
_AUTHORIZATION = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{4,}")
_SIGNED = re.compile(r"\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?")
_ASSIGNED = re.compile(r"(?i)\b(\w*(?:token|secret|password|signature|api_?key))=[^\s&,;\"']+")
# International form, or the grouped national form of North America; bare digits are offsets and times.
_PHONE = re.compile(
    r"(?<![\w.])\+[ ]?[1-9](?:[ ().\-/]{0,2}\d){6,14}(?!\d)|(?<![\w.-])\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}(?![\w-])"
)

_SENSITIVE_FIELD = re.compile(
    r"(?i)^(?:.*_)?(?:e_?mail|phone|mobile|address|recipient|password|secret|token|authorization|cookie|api_?key|signing_keys)$"
)


def redact(value: Any) -> Any:
    """The same shape with personal data and secrets replaced; what is no plain value becomes its redacted text."""
    return _redacted(value, 0)


def redact_text(text: str) -> str:
    if "@" in text or "%40" in text:
        text = _EMAIL.sub("[email]", text)
    text = _AUTHORIZATION.sub(r"\1 [token]", text)
    text = _KEY.sub("[key]", text)
    text = _SIGNED.sub("[token]", text)
    text = _ASSIGNED.sub(r"\1=[secret]", text)
    return _PHONE.sub("[phone]", text)


def _redacted(value: Any, depth: int) -> Any:  # noqa: PLR0911 - one return a kind of value
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redact_text(value)
    if depth >= _MAX_DEPTH:
        return "[too deep]"
    if isinstance(value, Mapping):
        return {redact_text(str(key)): _field(str(key), item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(item, depth + 1) for item in value]
    if isinstance(value, bytes | bytearray):
        return redact_text(value.decode("utf-8", "replace"))
    return redact_text(str(value))


def _field(name: str, value: Any, depth: int) -> Any:
    if value and _SENSITIVE_FIELD.match(name):
        return "[redacted]"
    return _redacted(value, depth)

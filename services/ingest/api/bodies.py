"""JSON bodies, read strictly: each mistake says where it is."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson

from services.ingest.api.compression import plain_body
from services.ingest.domain.clock import BadTime, parse_rfc3339
from trolleybus.contracts.frozen import dataclass
from trolleybus.http import Problem
from trolleybus.http.fast import Incoming
from trolleybus.http.problems import json_type_required

MAX_DEPTH = 32
LONGEST_IDEMPOTENCY_KEY = 200
_NOT_PLAIN = -(10**12)
_EXACT = 1e15
"""From 2^64 on orjson reads whole numbers as floats."""


@dataclass(frozen=True, slots=True)
class Items:
    """The events of a body. `prefix` is the JSON pointer to the list, "" for a body that is one event."""

    items: Any  # A list; of plain events whatever `read` made, which has a length.
    prefix: str
    sent_at: int | None
    is_batch: bool

    def pointer(self, index: int) -> str:
        return f"{self.prefix}/{index}" if self.is_batch else ""


async def body_of(request: Incoming, most_bytes: int) -> bytes:
    """The body, plain; raises 415 as expect_json."""
    expect_json(request)
    return await plain_body(request, most_bytes)


def expect_json(request: Incoming) -> None:
    """415 for what is declared as something else than JSON or, as a page's beacon on its way out, text."""
    content_type = request.headers.get("content-type", "")
    if content_type != "application/json" and not _is_plain_text(content_type):
        json_type_required(content_type)


def items_in(body: bytes, list_name: str, most: int) -> Items:
    """The events in a body: one, or `{"<list_name>": [...], "sent_at": ...}`."""
    document = parse(body)
    if not isinstance(document, dict):
        raise Problem(422, "Not an event", f'the body is one event, or {{"{list_name}": [...]}}', field="")
    if list_name not in document:
        return Items([document], "", None, is_batch=False)
    return _batch(document, list_name, most)


def _batch(document: Mapping[str, Any], list_name: str, most: int) -> Items:
    items = document[list_name]
    at = f"/{list_name}"
    if not isinstance(items, list) or not items:
        raise Problem(422, "No events", f"{list_name} is a list of at least one", field=at)
    if len(items) > most:
        raise Problem(422, "Too many events", f"{list_name} has {len(items)}; send at most {most} at a time", field=at)
    unknown = next((name for name in document if name not in {list_name, "sent_at"}), None)
    if unknown is not None:
        raise Problem(
            422, "An unknown field", f"beside {list_name} there may be sent_at only", field=f"/{printable(unknown)}"
        )
    sent_at = document.get("sent_at")
    if sent_at is None:
        return Items(items, at, None, is_batch=True)
    try:
        return Items(items, at, parse_rfc3339(str(sent_at)), is_batch=True)
    except BadTime as error:
        raise Problem(422, "Not a time", str(error), field="/sent_at") from None


def parse(body: bytes) -> Any:
    """The JSON document; 400 for what is none, has a name twice in one object, or is nested too deeply."""
    try:
        document = orjson.loads(body)
        if _is_plain(document, body):
            return document
    except orjson.JSONDecodeError:
        pass  # Said below, or read by what is not as strict about numbers.
    return _parse_slowly(body)


def _is_plain(document: Any, body: bytes) -> bool:
    """Whether no name stands twice, which shows in the number of quotation marks, and nothing is deep or a huge number."""
    marks = body.count(b'"')
    if b"\\" in body:
        marks -= body.replace(b"\\\\", b"").count(b'\\"')
    return 2 * _strings_in([document], MAX_DEPTH + 1) == marks


def _strings_in(value: Any, levels: int) -> int:
    """How many names and texts; -1 and less where there is what orjson reads otherwise than Python, or too deep."""
    found = 0
    if type(value) is dict:
        found = len(value)
        value = value.values()
    for one in value:
        kind = type(one)
        if kind is str:
            found += 1
        elif kind is dict or kind is list:
            found += _strings_in(one, levels - 1) if levels > 1 else _NOT_PLAIN
        elif kind is float and not -_EXACT < one < _EXACT:
            found += _NOT_PLAIN
    return found


def _parse_slowly(body: bytes) -> Any:
    """With Python's own parser, which can be asked about everything."""
    try:
        document = json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise _not_json(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _not_json(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise _not_json(f"nested more than {MAX_DEPTH} levels deep") from None
    except ValueError as error:  # _object, _constant, or a number of more digits than Python reads
        raise _not_json(str(error)) from None
    if _is_deeper(document, MAX_DEPTH):
        raise _not_json(f"nested more than {MAX_DEPTH} levels deep")
    return document


def _is_plain_text(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "text/plain"


def idempotency_key(request: Incoming) -> str:
    """The header's text, "" where absent."""
    key = request.headers.get("idempotency-key", "").strip()
    if len(key) > LONGEST_IDEMPOTENCY_KEY or not key.isprintable():
        raise Problem(
            422,
            "Not an Idempotency-Key",
            f"at most {LONGEST_IDEMPOTENCY_KEY} printable characters",
            field="header/idempotency-key",
        )
    return key


def hash_of(item: Any) -> str:
    """Of an event as it was sent, whatever the order of its names and the time of sending."""
    told = {name: value for name, value in item.items() if name != "sent_at"} if isinstance(item, dict) else item
    return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def printable(text: str) -> str:
    """A name from outside, fit to stand in an answer."""
    return text[:100].encode("utf-8", "replace").decode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"the name {printable(twice)!r} stands twice in one object")
    return found


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _is_deeper(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        return levels == 0 or any(_is_deeper(inner, levels - 1) for inner in value.values())
    if isinstance(value, list):
        return levels == 0 or any(_is_deeper(inner, levels - 1) for inner in value)
    return False


def _not_json(detail: str) -> Problem:
    return Problem(400, "Not JSON", detail, field="")

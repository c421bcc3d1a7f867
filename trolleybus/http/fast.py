"""Paths that everything comes in by: what takes their requests, past the framework (see `protocol`)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trolleybus.http.metrics import HttpMetrics


class Incoming(Protocol):
    """A request as far as handlers read it; the framework's own is one too. Names of headers are lower case."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def query_params(self) -> Mapping[str, str]: ...

    async def body(self) -> bytes: ...


class Whole(Incoming, Protocol):
    """A request whose body is there."""

    def whole(self) -> bytes: ...

    def drop(self) -> None:
        """Of the body, which nobody asks for again: its memory may go before the answer."""


Answer = Callable[[], bytes] | Coroutine[Any, Any, bytes]
"""Gives the JSON of a 202 or raises a Problem, at once or when it is awaited."""

Answered = Callable[[Answer], None]

Take = Callable[[Whole, Answered], None]
"""Takes a request, and tells its answer once, now or later; where it raises a Problem instead, that is the answer."""


@dataclass(frozen=True, slots=True)
class FastPaths:
    """`takers` by path; `metrics` are those of the app; `max_bytes` of a body that may come at all; `shared` gives the headers
    by which a browser lets pages of an origin read the answer."""

    takers: Mapping[bytes, Take]
    metrics: HttpMetrics
    max_bytes: int
    shared: Callable[[str], Sequence[tuple[bytes, bytes]]]

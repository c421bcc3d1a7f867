"""JSON logs without personal data, and the W3C trace context that joins them across HTTP and Kafka."""

from __future__ import annotations

import json
import logging
import random
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, NamedTuple, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from trolleybus.redaction import redact

# --- trace context ----------------------------------------------------------------------------------------------------

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)

_random = random.Random()  # noqa: S311 - names a trace, guards nothing; the system's own is a call of the kernel each time


class Trace(NamedTuple):  # One a request: made in a third of a dataclass's time.
    """The W3C trace context's parts, in lower-case hex."""

    trace_id: str
    span_id: str
    flags: str

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


_trace: ContextVar[Trace | None] = ContextVar("trolleybus_trace", default=None)


def parse_traceparent(text: str) -> Trace | None:
    """None for anything that https://www.w3.org/TR/trace-context/ does not allow."""
    match = _TRACEPARENT.fullmatch(text)
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return Trace(trace_id, span_id, f"{int(flags, 16) & 1:02x}")  # only "sampled" is known to version 00


def current_traceparent() -> str:
    """The header to send on; "" outside of a trace."""
    trace = _trace.get()
    return "" if trace is None else str(trace)


@contextmanager
def continue_trace(traceparent: str | bytes | None) -> Iterator[Trace]:
    """A new span, child of `traceparent`; a missing or bad one begins a new trace."""
    trace, before = begin_trace(traceparent)
    try:
        yield trace
    finally:
        end_trace(before)


def begin_trace(traceparent: str | bytes | None) -> tuple[Trace, Token[Trace | None]]:
    """As continue_trace, until end_trace is called with the token."""
    text = traceparent.decode("latin-1") if isinstance(traceparent, bytes) else traceparent
    parent = parse_traceparent(text) if text else None
    fresh = f"{_random.getrandbits(192):048x}"
    trace_id, flags = (parent.trace_id, parent.flags) if parent else (fresh[16:], "01")
    trace = Trace(trace_id, fresh[:16], flags)
    return trace, _trace.set(trace)


def end_trace(before: Token[Trace | None]) -> None:
    _trace.reset(before)


# --- logs -------------------------------------------------------------------------------------------------------------


def _add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    trace = _trace.get()
    if trace is not None:
        event.setdefault("trace_id", trace.trace_id)
    return event


def _redact(_logger: WrappedLogger, _method: str, event: EventDict) -> Mapping[str, Any]:
    cleaned: Mapping[str, Any] = redact(event)
    return cleaned


def _render(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    ordered = {"timestamp": event.pop("timestamp", None), "level": event.pop("level", None), **event}
    try:
        return orjson.dumps(ordered).decode()
    except TypeError:  # lone surrogates, integers beyond 64 bits
        return json.dumps(ordered)


def configure_logging(service: str, level: str = "info", stream: TextIO | None = None) -> None:
    """One JSON object a line on `stream` (stdout), for structlog and for the standard library's loggers alike."""

    def name_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_service,
        _add_trace,
    ]
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                _redact,  # after the stack trace became text, before anything leaves the process
                _render,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):  # they bring handlers of their own
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # at info it logs every address it calls
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # tests configure more than once
    )


def get_logger(name: str = "trolleybus") -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger

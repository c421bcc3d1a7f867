import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from trolleybus.telemetry import configure_logging, continue_trace, current_traceparent, get_logger, parse_traceparent

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("ingest", "info", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def logged(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_logs_and_the_standard_librarys_are_the_same_json(lines: io.StringIO) -> None:
    get_logger("ours").info("accepted", count=2)
    logging.getLogger("aiokafka").warning("lost %s", "shopper@example.com")
    ours, theirs = logged(lines)
    assert (ours["event"], ours["count"], ours["level"], ours["logger"]) == ("accepted", 2, "info", "ours")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("lost [email]", "warning", "aiokafka")
    assert ours["service"] == theirs["service"] == "ingest"


def test_the_level_holds_for_both(lines: io.StringIO) -> None:
    get_logger().debug("quiet")
    logging.getLogger("uvicorn.error").debug("quiet")
    assert lines.getvalue() == ""


def test_a_stack_trace_is_one_line_without_personal_data(lines: io.StringIO) -> None:
    try:
        float("bad address shopper@example.com")
    except ValueError:
        get_logger().exception("failed")
        logging.getLogger("asyncio").exception("failed too")
    for line in logged(lines):
        assert "Traceback" in str(line["exception"])
        assert "could not convert string to float: 'bad address [email]" in str(line["exception"])


def test_logs_carry_the_trace(lines: io.StringIO) -> None:
    with continue_trace(PARENT):
        get_logger().info("inside")
        logging.getLogger("psycopg").warning("inside")
    get_logger().info("outside")
    first, second, outside = logged(lines)
    assert first["trace_id"] == second["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert "trace_id" not in outside


def test_a_value_that_json_does_not_know_is_logged_as_text(lines: io.StringIO) -> None:
    get_logger().info("odd", where={1: {2}}, big=2**80, half="\ud800", error=ValueError("x@example.com"))
    (line,) = logged(lines)
    assert line["error"] == "[email]"
    assert (line["big"], line["half"]) == (2**80, "\ud800")


def test_a_child_span_keeps_the_trace_and_the_sampling() -> None:
    assert current_traceparent() == ""
    with continue_trace(PARENT.encode()) as trace:
        assert current_traceparent() == f"00-4bf92f3577b34da6a3ce929d0e0e4736-{trace.span_id}-01"
        assert trace.span_id != "00f067aa0ba902b7"
        with continue_trace(current_traceparent()) as inner:
            assert inner.trace_id == trace.trace_id
        assert current_traceparent() == str(trace)
    assert current_traceparent() == ""


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "",
        b"\xff",
        PARENT.upper(),
        PARENT + "-x",  # version 00 has four parts
        PARENT + "\n",
        " " + PARENT,
        PARENT.replace("00-4", "ff-4", 1),
        PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        PARENT.replace("00f067aa0ba902b7", "0" * 16),
        PARENT[:-1],
    ],
)
def test_a_bad_header_begins_a_new_trace(bad: str | bytes | None) -> None:
    with continue_trace(bad) as trace:
        assert trace.trace_id not in {"4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32}
        assert parse_traceparent(str(trace)) == trace


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    trace = parse_traceparent(PARENT.replace("00-4", "cc-4", 1).replace("-01", "-ff") + "-more")
    assert trace is not None
    assert str(trace) == PARENT


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    parse_traceparent(text)

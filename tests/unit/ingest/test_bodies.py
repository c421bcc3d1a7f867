"""JSON, read strictly."""

import json
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.api.bodies import MAX_DEPTH, _parse_slowly, hash_of, parse
from trolleybus.http import Problem

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"a": 1,\n "b": }', "line 2, column 7"),
        (b"", "line 1, column 1"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "'c' stands twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": "\xff"}', "byte 7"),
        (b"[" * 40 + b"]" * 40, f"more than {MAX_DEPTH} levels"),
        (b"[" * 500_000, f"more than {MAX_DEPTH} levels"),
        (b'{"a": ' + b"9" * 5000 + b"}", "digits"),
        (b'{"\\ud800": 1, "\\ud800": 2}', "stands twice"),
    ],
)
def test_what_is_no_strict_json_is_refused_and_said_where(body: bytes, said: str) -> None:
    with pytest.raises(Problem) as problem:
        parse(body)
    assert problem.value.status_code == 400
    assert said in problem.value.detail
    problem.value.detail.encode()


@given(JSON)
def test_what_is_json_is_read_as_it_is(value: object) -> None:
    assert parse(json.dumps(value).encode()) == value


LITERALS = st.sampled_from(
    [
        "1",
        "-0",
        "-0.0",
        "1e400",
        "0.1e-400",
        "1E5",
        "1" * 19,
        "9" * 25,
        "9" * 400 + ".5",
        "[1",
        "nul",
        "NaN",
        '"a\\"b"',
        '"\\ud800"',
        '"\\\\"',
        '"\\\\\\""',
        '"\\u0022"',
        "{}",
        "[]",
        "true",
    ]
)
NAMES = st.sampled_from(["a", "b", "\\u0061", '\\"', "\\\\"])
WRITTEN = st.recursive(
    LITERALS | JSON.map(json.dumps),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda found: "[" + ", ".join(found) + "]")
        | st.lists(st.tuples(NAMES, inner), max_size=3).map(
            lambda found: "{" + ",".join(f'"{name}" : {value}' for name, value in found) + "}"
        )
    ),
    max_leaves=6,
)


@given(WRITTEN | st.integers(28, 36).map(lambda deep: "[" * deep + "]" * deep))
def test_the_quick_parser_reads_and_refuses_what_the_thorough_one_does(text: str) -> None:
    def read(parser: Callable[[bytes], object]) -> object:
        try:
            return repr(parser(text.encode()))
        except Problem as problem:
            return problem.detail

    assert read(parse) == read(_parse_slowly)


@given(st.binary(max_size=200))
def test_P8_no_bytes_do_more_harm_than_a_400(body: bytes) -> None:
    with suppress(Problem):
        parse(body)


def test_an_events_hash_is_the_same_whatever_the_order_of_names_and_the_time_of_sending() -> None:
    first = {"event": "x", "lines": [1, {"a": "é"}], "sent_at": "2026-01-01T00:00:00Z"}
    again = {"lines": [1, {"a": "é"}], "sent_at": "2026-01-02T00:00:00Z", "event": "x"}
    assert hash_of(first) == hash_of(again)
    assert hash_of(first) != hash_of({**first, "event": "y"})


def test_a_name_that_stands_twice_is_found_in_one_pass_however_many_there_are() -> None:
    """Comparing each name with all others would take minutes for a body of 1 MiB, in which nobody else is served."""
    names = [f'"n{number}":1' for number in range(60_000)]
    body = ("{" + ",".join([*names, names[-1]]) + "}").encode()
    assert len(body) < 1_048_576
    began = time.process_time()
    with pytest.raises(Problem) as problem:
        parse(body)
    assert "'n59999' stands twice" in problem.value.detail
    assert time.process_time() - began < 5

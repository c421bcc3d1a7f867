"""Compressed bodies: read as they were, bounded, and refused with a reason."""

import gzip
import time
import tracemalloc
from contextlib import suppress

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.api.compression import decompressed
from trolleybus.http import Problem

MOST = 65_536


def br(data: bytes) -> bytes:
    return bytes(cramjam.brotli.compress(data))


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("br", br)])
@pytest.mark.parametrize("plain", [b"", b'{"a": 1}', b"x" * MOST])
def test_a_compressed_body_is_read_as_it_was(encoding: str, compress: object, plain: bytes) -> None:
    assert callable(compress)
    assert decompressed(compress(plain), encoding.upper(), MOST) == plain


@given(st.binary(max_size=2000), st.sampled_from(["gzip", "br"]))
def test_P8_no_bytes_do_more_harm_than_a_problem(body: bytes, encoding: str) -> None:
    with suppress(Problem):
        decompressed(body, encoding, MOST)


@pytest.mark.parametrize(
    ("encoding", "bomb"),
    [("gzip", gzip.compress(b"a" * 200_000_000, mtime=0)), ("br", br(b"a" * 200_000_000))],
)
def test_P8_a_bomb_costs_no_more_than_the_bound(encoding: str, bomb: bytes) -> None:
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(Problem) as problem:
            decompressed(bomb, encoding, MOST)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert problem.value.status_code == 413
    assert peak < 20 * MOST
    assert time.process_time() - began < 5


def test_one_byte_more_than_the_bound_is_too_much() -> None:
    for encoding, body in (("gzip", gzip.compress(b"x" * (MOST + 1))), ("br", br(b"x" * (MOST + 1)))):
        with pytest.raises(Problem) as problem:
            decompressed(body, encoding, MOST)
        assert problem.value.status_code == 413, encoding


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", b"{}", 400),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-1], 400),
        ("gzip", gzip.compress(b"{}", mtime=0) * 2, 400),
        ("br", br(b"{}" * 100)[:-2], 400),
        ("br", b"no brotli at all", 400),
        ("deflate", b"{}", 415),
        ("gzip, gzip", b"{}", 415),
        ("zstd", b"{}", 415),
    ],
)
def test_what_cannot_be_read_is_refused_and_said_why(encoding: str, body: bytes, status: int) -> None:
    with pytest.raises(Problem) as problem:
        decompressed(body, encoding, MOST)
    assert problem.value.status_code == status
    if status == 415:
        assert problem.value.headers == {"Accept-Encoding": "gzip, br"}

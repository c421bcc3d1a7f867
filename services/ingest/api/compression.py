"""Bodies as they were before compression: gzip and br, never more than a bound, however small they came in."""

import zlib

import cramjam

from trolleybus.http import Problem
from trolleybus.http.fast import Incoming

ENCODINGS = "gzip, br"
_AT = "header/content-encoding"


async def plain_body(request: Incoming, most: int) -> bytes:
    """The body; 413 for more than `most` bytes after decompression, 415 for another encoding, 400 for a damaged one."""
    body = await request.body()
    encoding = request.headers.get("content-encoding")
    return decompressed(body, encoding, most) if encoding else body


def decompressed(body: bytes, encoding: str, most: int) -> bytes:
    """As plain_body, for bytes at hand."""
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            return _gzip(body, most)
        case "br":
            return _brotli(body, most)
    raise Problem(
        415,
        "Another compression",
        f"send it plain or as {ENCODINGS}",
        field=_AT,
        headers={"Accept-Encoding": ENCODINGS},
    )


def _gzip(body: bytes, most: int) -> bytes:
    reader = zlib.decompressobj(wbits=31)
    try:
        plain = reader.decompress(body, most + 1)
    except zlib.error:
        raise _damaged("gzip") from None
    if len(plain) > most:
        raise _too_large(most)
    if not reader.eof or reader.unused_data:  # Several members in one body could be a great many empty ones.
        raise _damaged("one whole gzip member")
    return plain


def _brotli(body: bytes, most: int) -> bytes:
    plain = bytearray(most)
    try:
        return bytes(memoryview(plain)[: cramjam.brotli.decompress_into(body, plain)])
    except cramjam.DecompressionError as error:
        if "whole buffer" in str(error):  # It tells a full buffer from damage by its words alone.
            raise _too_large(most) from None
        raise _damaged("br") from None


def _too_large(most: int) -> Problem:
    return Problem(413, "Body too large", f"at most {most} bytes after decompression", field=_AT)


def _damaged(what: str) -> Problem:
    return Problem(400, "Not readable", f"the body is not {what}, though its header says so", field=_AT)

"""Writes a small MMDB file of countries, by the format's description (MaxMind DB File Format Specification 2.0)."""

from collections.abc import Mapping
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Any

STRING, UINT16, UINT32, MAP, UINT64, ARRAY = 2, 5, 6, 7, 9, 11
IPV4_UNDER = 96
"""An IPv4 address is the last 32 of 128 bits."""


def write_countries(path: Path, countries: Mapping[str, Any]) -> Path:
    """`countries` are ISO codes (or any record) by network."""
    nodes: list[list[int | bytes | None]] = [[None, None]]
    for text, country in countries.items():
        network = ip_network(text)
        is_v4 = isinstance(network, IPv4Network)
        bits = f"{int(network.network_address):0128b}"[: network.prefixlen + (IPV4_UNDER if is_v4 else 0)]
        at = 0
        for bit in bits[:-1]:
            child = nodes[at][int(bit)]
            if not isinstance(child, int):
                nodes.append([None, None])
                child = nodes[at][int(bit)] = len(nodes) - 1
            at = child
        nodes[at][int(bits[-1])] = _encoded({"country": {"iso_code": country}} if isinstance(country, str) else country)
    tree, data = b"", b""
    for node in nodes:
        for child in node:
            if isinstance(child, bytes):
                pointer, data = len(nodes) + 16 + len(data), data + child
            else:
                pointer = len(nodes) if child is None else child
            tree += pointer.to_bytes(3)
    about = {
        "node_count": (UINT32, len(nodes)),
        "record_size": (UINT16, 24),
        "ip_version": (UINT16, 6),
        "database_type": "Test-Country",
        "languages": [],
        "binary_format_major_version": (UINT16, 2),
        "binary_format_minor_version": (UINT16, 0),
        "build_epoch": (UINT64, 1_772_000_000),
        "description": {},
    }
    path.write_bytes(tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + _encoded(about))
    return path


def _encoded(value: Any) -> bytes:
    match value:
        case str():
            return _head(STRING, len(value.encode())) + value.encode()
        case Mapping():
            return _head(MAP, len(value)) + b"".join(_encoded(one) for pair in value.items() for one in pair)
        case list():
            return _head(ARRAY, len(value)) + b"".join(map(_encoded, value))
        case kind, int(number):
            written = number.to_bytes((number.bit_length() + 7) // 8)
            return _head(kind, len(written)) + written
    raise TypeError(f"not for a file of countries: {value!r}")


def _head(kind: int, size: int) -> bytes:
    """Sizes below 29 only, which are all that is needed."""
    if size >= 29:
        raise ValueError(f"{size} is too large here")
    return bytes([kind << 5 | size]) if kind <= MAP else bytes([size, kind - MAP])

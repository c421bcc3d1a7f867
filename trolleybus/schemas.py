"""The Avro schemas, read from schemas/avro/<record>/v<n>.avsc: versions are only ever added."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fastavro.schema import parse_schema


def directory() -> Path:
    """The `schemas` folder: beside this package in a checkout, inside the distribution when installed."""
    return Path(__file__).resolve().parent.parent / "schemas"


def versions(record: str) -> list[int]:
    """Versions of a record's schema, ascending."""
    return sorted(int(path.stem[1:]) for path in (directory() / "avro" / record).glob("v*.avsc"))


@cache
def source(record: str, version: int | None = None) -> str:
    """Text of a record's schema, the newest version unless one is named."""
    number = version or versions(record)[-1]
    return (directory() / "avro" / record / f"v{number}.avsc").read_text()


def plain(schema: Any) -> Any:
    """The schema without logical types: the same bytes, read and written as plain integers."""
    if isinstance(schema, list):
        return [plain(branch) for branch in schema]
    if isinstance(schema, Mapping):
        return {
            name: plain(value) if name in ("type", "items", "values", "fields") else value
            for name, value in schema.items()
            if name != "logicalType"
        }
    return schema


def parse(text: str) -> Any:
    """A schema for fastavro from its JSON text."""
    return parse_schema(plain(json.loads(text)))

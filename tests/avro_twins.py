"""The two implementations of trolleybus.avro, one after the other."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from trolleybus import avro
from trolleybus.avro import reader, writer


@dataclass(frozen=True)
class Twin:
    """Either of the two."""

    compile_reader: Callable[..., Callable[[bytes, int], tuple[Any, int]]]
    compile_writer: Callable[..., Callable[[Any], bytes]]
    compile_template: Callable[..., Callable[[tuple[Any, ...]], bytes]]


PURE = Twin(reader.compile_reader, writer.compile_writer, writer.compile_template)


def compiled_twin() -> Twin:
    """The one in C, or a skipped test where it is not built; it must be where CI is set."""
    if not avro.COMPILED:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("trolleybus.avro.machine is not built: make setup")
    from trolleybus.avro import compiled

    return Twin(compiled.compile_reader, compiled.compile_writer, compiled.compile_template)


@pytest.fixture(scope="module", params=["pure", "compiled"])
def twin(request: pytest.FixtureRequest) -> Twin:
    return PURE if request.param == "pure" else compiled_twin()

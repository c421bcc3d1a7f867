"""Avro by specialisation: a schema becomes one function that reads or writes exactly the objects wanted.

There are two of each that do the same: `reader` and `writer` generate Python and are always there; `compiled` makes
programs that `machine`, in C, executes, and is used where that is built (COMPILED). Text from a schema never becomes
source. What they do not cover raises Unsupported; the codec leaves that to fastavro, which is also their twin in the
tests.
"""

from importlib.util import find_spec
from typing import Final

from trolleybus.avro.bytes_in import BAD_BYTES
from trolleybus.avro.schema import Unsupported
from trolleybus.avro.shape import Names, Shape, shape_of

COMPILED: Final = find_spec("trolleybus.avro.machine") is not None
"""Whether the functions here are those that C executes; one that is there and cannot be loaded is an error."""

if COMPILED:
    from trolleybus.avro.compiled import compile_reader, compile_template, compile_writer
else:
    from trolleybus.avro.reader import compile_reader
    from trolleybus.avro.writer import compile_template, compile_writer

__all__ = [
    "BAD_BYTES",
    "COMPILED",
    "Names",
    "Shape",
    "Unsupported",
    "compile_reader",
    "compile_template",
    "compile_writer",
    "shape_of",
]

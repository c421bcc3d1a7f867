"""Avro by specialisation: a schema becomes one Python function that reads or writes exactly the objects wanted.

`compile_reader` and `compile_writer` generate a function's source from a schema and compile it once. Text from a schema
never becomes source: names are looked up while generating, values are handed over as constants. What they do not cover
raises Unsupported; the codec leaves that to fastavro, which is also their twin in the tests.
"""

from trolleybus.avro.bytes_in import BAD_BYTES
from trolleybus.avro.reader import compile_reader, reader_source
from trolleybus.avro.schema import Unsupported
from trolleybus.avro.shape import Shape, shape_of
from trolleybus.avro.writer import compile_writer, writer_source

__all__ = [
    "BAD_BYTES",
    "Shape",
    "Unsupported",
    "compile_reader",
    "compile_writer",
    "reader_source",
    "shape_of",
    "writer_source",
]

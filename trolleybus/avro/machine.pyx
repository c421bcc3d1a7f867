# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, auto_pickle=False
"""Executes the programs that `compiled` makes of schemas: a record's bytes to objects, and objects or values at hand to bytes.

A program is a list of rows, turned into an array of C structs once. What is raised on bad bytes, and on values of a
wrong type, is what the generated functions of `reader` and `writer` raise. Safety rests on three rules: every byte is
read behind a comparison with the end; every item of an array takes at least one byte, so that a count that lies ends
with the bytes; whatever could be left over at an error is held by an object that Cython counts (a tuple while
arguments gather, a cdef class around the output).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.float cimport PyFloat_CheckExact
from cpython.long cimport PyLong_Check
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject_GetAttr
from cpython.ref cimport Py_INCREF, PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from trolleybus.avro import bytes_out

cdef extern from "Python.h":
    double PyFloat_AS_DOUBLE(object value)
    double PyFloat_Unpack4(const char *data, int little_endian) except? -1
    double PyFloat_Unpack8(const char *data, int little_endian) except? -1
    int PyFloat_Pack8(double value, char *data, int little_endian) except -1
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1
    object PyObject_Call(object make, object arguments, PyObject *keywords)
    object PyUnicode_DecodeUTF8(const char *data, Py_ssize_t size, const char *errors)
    bint PyUnicode_Check(object value)
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    void *PyUnicode_DATA(object text)

cdef enum:
    STRING, BYTES, LONG, BOOLEAN, DOUBLE, SINGLE, RECORD, ARRAY, MAP, CONSTANT, CALL, AGAIN
    SKIP_FIXED, SKIP_LONG, SKIP_SPAN, SKIP_ITEMS

cdef dict KINDS = {
    "string": STRING, "bytes": BYTES, "int": LONG, "long": LONG, "boolean": BOOLEAN, "double": DOUBLE, "float": SINGLE,
    "record": RECORD, "array": ARRAY, "map": MAP, "constant": CONSTANT, "call": CALL, "again": AGAIN,
    "skip_fixed": SKIP_FIXED, "skip_long": SKIP_LONG, "skip_span": SKIP_SPAN, "skip_items": SKIP_ITEMS,
}  # fmt: skip

# ---------------------------------------------------------------------------------------------------------- reading

cdef struct Cursor:
    const unsigned char *at
    const unsigned char *end


cdef struct Step:
    int kind
    int slot  # Which argument it becomes; what is skipped has none.
    int number  # skip_fixed: how many bytes; again: which argument it is once more.
    PyObject *inner  # Borrowed; the program's list of rows holds it.


cdef class Reading:
    """Reads one record, or one item of an array."""

    cdef Step *steps
    cdef int count, wanted
    cdef object make, rows

    def __cinit__(self, make, int wanted, list rows):
        """A constructor, how many arguments it takes, and rows of (kind, slot or -1, number, inner).

        Without a constructor the first argument itself is what is read. Every argument must have its row: the loops
        below rely on it.
        """
        self.make, self.wanted, self.rows = make, wanted, tuple(rows)
        self.steps = <Step *> PyMem_Calloc(len(rows) + 1, sizeof(Step))
        if self.steps == NULL:
            raise MemoryError
        filled = set()
        for kind, slot, number, inner in self.rows:
            step = &self.steps[self.count]
            step.kind, step.slot, step.number, step.inner = KINDS[kind], slot, number, <PyObject *> inner
            if step.kind in (RECORD, ARRAY, MAP, SKIP_ITEMS) and not isinstance(inner, Reading):
                raise TypeError(f"{kind} needs the program of what it holds, not {inner!r}")
            if step.kind == AGAIN and number not in filled or step.kind == SKIP_FIXED and number < 0:
                raise ValueError(f"{kind} cannot be of {number}")
            if step.kind < SKIP_FIXED:
                if slot in filled:
                    raise ValueError(f"argument {slot} has two rows")
                filled.add(slot)
            self.count += 1
        if filled != set(range(wanted)) or make is None and wanted > 1:
            raise ValueError(f"rows for the arguments {sorted(filled)} where {wanted} are wanted")

    def __dealloc__(self):
        PyMem_Free(self.steps)

    def read(self, bytes data not None, Py_ssize_t start):
        """The object whose bytes start there, and where they end."""
        cdef const unsigned char *first = <const unsigned char *> PyBytes_AS_STRING(data)
        cdef Cursor cursor
        if not 0 <= start <= PyBytes_GET_SIZE(data):
            raise IndexError(f"there is no byte {start}")
        cursor.at, cursor.end = first + start, first + PyBytes_GET_SIZE(data)
        made = _record(self, &cursor)
        return made, cursor.at - first


cdef object _record(Reading program, Cursor *cursor):
    cdef Step *step = program.steps
    cdef Step *last = step + program.count
    # While it fills, the tuple has empty places; it and they are let go at an error.
    arguments = PyTuple_New(program.wanted)
    while step < last:
        if step.kind < SKIP_FIXED:
            value = _argument(step, cursor, arguments)
            Py_INCREF(value)  # The tuple takes over a reference without counting it.
            PyTuple_SET_ITEM(arguments, step.slot, value)
        else:
            _skip(step, cursor)
        step += 1
    return PyObject_Call(program.make, arguments, NULL)


cdef inline object _argument(Step *step, Cursor *cursor, object arguments):
    if step.kind == AGAIN:
        return <object> PyTuple_GET_ITEM(arguments, step.number)
    return _value(step, cursor)


cdef object _value(Step *step, Cursor *cursor):
    cdef const unsigned char *start = NULL
    cdef Py_ssize_t size
    if step.kind == STRING:
        size = _span(cursor, &start)
        return PyUnicode_DecodeUTF8(<const char *> start, size, NULL) if size else ""
    if step.kind == LONG:
        return _long(cursor)
    if step.kind == BOOLEAN:
        start = _fixed(cursor, 1)
        if start[0] > 1:
            raise IndexError(f"{start[0]} is no boolean")
        return start[0] == 1
    if step.kind == ARRAY:
        return _array(<Reading> step.inner, cursor)
    if step.kind == RECORD:
        return _record(<Reading> step.inner, cursor)
    if step.kind == CONSTANT:
        return <object> step.inner
    if step.kind == DOUBLE:
        return PyFloat_Unpack8(<const char *> _fixed(cursor, 8), 1)
    if step.kind == SINGLE:
        return PyFloat_Unpack4(<const char *> _fixed(cursor, 4), 1)
    if step.kind == BYTES:
        size = _span(cursor, &start)
        return PyBytes_FromStringAndSize(<const char *> start, size)
    if step.kind == MAP:
        return _map(<Reading> step.inner, cursor)
    return (<object> step.inner)()  # CALL


cdef object _array(Reading program, Cursor *cursor):
    cdef uint64_t count = _block(cursor)
    if count == 0:
        return ()
    cdef list items = []
    while count:
        while count:
            items.append(_value(program.steps, cursor) if program.make is None else _record(program, cursor))
            count -= 1
        count = _block(cursor)
    return tuple(items)


cdef object _map(Reading program, Cursor *cursor):
    cdef Step text
    text.kind = STRING
    cdef dict items = {}
    cdef uint64_t count = _block(cursor)
    while count:
        while count:
            key = _value(&text, cursor)
            items[key] = _value(program.steps, cursor)
            count -= 1
        count = _block(cursor)
    return items


cdef int _skip(Step *step, Cursor *cursor) except -1:
    cdef const unsigned char *start = NULL
    if step.kind == SKIP_SPAN:
        _span(cursor, &start)
    elif step.kind == SKIP_LONG:
        _long(cursor)
    elif step.kind == SKIP_FIXED:
        _fixed(cursor, step.number)
    else:
        _skip_items(<Reading> step.inner, cursor)
    return 0


cdef int _skip_items(Reading program, Cursor *cursor) except -1:
    cdef int index
    cdef uint64_t count = _block(cursor)
    while count:
        while count:
            for index in range(program.count):
                _skip(&program.steps[index], cursor)
            count -= 1
        count = _block(cursor)
    return 0


cdef inline int64_t _long(Cursor *cursor) except? -1:
    """A varint: seven bits a byte, the lowest first, then zigzag: even for zero and above, odd below."""
    cdef uint64_t bits
    if cursor.at < cursor.end and cursor.at[0] < 128:
        bits = cursor.at[0]
        cursor.at += 1
    else:
        bits = _many(cursor)
    return <int64_t> (bits >> 1) ^ -<int64_t> (bits & 1)


cdef uint64_t _many(Cursor *cursor) except? 0:
    cdef uint64_t bits = 0
    cdef unsigned char part
    cdef int shift = 0
    while cursor.at < cursor.end:
        part = cursor.at[0]
        cursor.at += 1
        if shift == 63 and part > 1:
            raise ValueError(f"an integer has more than {'ten bytes' if part > 127 else '64 bits'}")
        bits |= <uint64_t> (part & 127) << shift
        if part < 128:
            return bits
        shift += 7
    raise IndexError("the bytes end within an integer")


cdef inline Py_ssize_t _span(Cursor *cursor, const unsigned char **start) except -1:
    """How many bytes the length says that follow, and where they start; the cursor is behind them."""
    cdef int64_t size = _long(cursor)
    if size < 0 or size > cursor.end - cursor.at:
        raise ValueError(f"{size} bytes are said to follow where {cursor.end - cursor.at} do")
    start[0] = cursor.at
    cursor.at += size
    return size


cdef inline const unsigned char *_fixed(Cursor *cursor, Py_ssize_t size) except NULL:
    cdef const unsigned char *start = cursor.at
    if cursor.end - start < size:
        raise IndexError(f"{cursor.end - start} bytes stand where a value has {size}")
    cursor.at += size
    return start


cdef uint64_t _block(Cursor *cursor) except? 0:
    """Count of a block of items, 0 at the end; a negative count has the block's size behind it."""
    cdef const unsigned char *start = cursor.at
    cdef int64_t size, count = _long(cursor)
    cdef uint64_t items = <uint64_t> count
    if count < 0:
        size = _long(cursor)
        items = -items  # Unsigned: the lowest integer has no positive twin.
        if size < 0 or <uint64_t> size < items or size > cursor.end - cursor.at:
            raise ValueError(f"{items} items cannot stand in {size} bytes")
    if items == 0 and cursor.at - start > 1:
        raise ValueError("a block of no items is not written as its one zero")
    return items

# ---------------------------------------------------------------------------------------------------------- writing

include "trolleybus/avro/out.pxi"

cdef struct Field:
    int kind
    PyObject *name  # Of the attribute. Both borrowed; the program's list of rows holds them.
    PyObject *inner


cdef class Writing:
    """Writes one record, or one item of an array."""

    cdef Field *fields
    cdef int count
    cdef object rows
    cdef bytes prefix

    def __cinit__(self, list rows, bytes prefix=b""):
        """Rows of (kind, attribute's name, inner); an item of an array has one row, whose name is not used."""
        self.rows, self.prefix = tuple(rows), prefix
        self.fields = <Field *> PyMem_Calloc(len(rows) + 1, sizeof(Field))
        if self.fields == NULL:
            raise MemoryError
        for kind, name, inner in self.rows:
            field = &self.fields[self.count]
            field.kind, field.name, field.inner = KINDS[kind], <PyObject *> name, <PyObject *> inner
            if field.kind > MAP or field.kind in (RECORD, ARRAY, MAP) and not isinstance(inner, Writing):
                raise TypeError(f"{kind} is not written, or not of {inner!r}")
            if field.kind in (ARRAY, MAP) and (<Writing> inner).count != 1:
                raise ValueError(f"{kind} is of items of one type")
            self.count += 1

    def __dealloc__(self):
        PyMem_Free(self.fields)

    def write(self, holder):
        """The prefix and the bytes of an object."""
        cdef Out out = Out.__new__(Out)
        _put(out, PyBytes_AS_STRING(self.prefix), PyBytes_GET_SIZE(self.prefix))
        _write_record(self, holder, out)
        return PyBytes_FromStringAndSize(out.data, out.size)


cdef int _write_record(Writing program, object holder, Out out) except -1:
    cdef Field *field = program.fields
    cdef Field *last = field + program.count
    while field < last:
        _write(field, PyObject_GetAttr(holder, <object> field.name), out)
        field += 1
    return 0


cdef struct Part:
    Field value  # Of an item of an array of templates only `inner`.
    Py_ssize_t place  # Of the value among those given.
    bint is_each
    PyObject *before  # The bytes of what stands before it and is not given. Borrowed, as in Field.


cdef class Filling:
    """Writes one record, or one item of an array, of values that are at hand; what is not given is constant bytes."""

    cdef Part *parts
    cdef int count
    cdef Py_ssize_t wanted
    cdef object rows
    cdef bytes tail

    def __cinit__(self, list rows, bytes tail, Py_ssize_t wanted):
        """Rows of (kind, place of the value, constant bytes before it, inner), the constant bytes after the last, and how
        many values are given. The kind "each" is an array whose items are written by a Filling."""
        self.rows, self.tail, self.wanted = tuple(rows), tail, wanted
        self.parts = <Part *> PyMem_Calloc(len(rows) + 1, sizeof(Part))
        if self.parts == NULL:
            raise MemoryError
        for kind, place, before, inner in self.rows:
            part = &self.parts[self.count]
            if not isinstance(before, bytes) or not 0 <= place < wanted:
                raise ValueError(f"there is no place {place}, or {before!r} is not bytes")
            part.place, part.before, part.value.inner = place, <PyObject *> before, <PyObject *> inner
            part.is_each = kind == "each"
            part.value.kind = ARRAY if part.is_each else KINDS[kind]
            if part.is_each and not isinstance(inner, Filling) or part.value.kind > MAP:
                raise TypeError(f"{kind} is not written, or not of {inner!r}")
            if not part.is_each and part.value.kind in (RECORD, ARRAY, MAP) and not isinstance(inner, Writing):
                raise TypeError(f"{kind} is not of {inner!r}")
            self.count += 1

    def __dealloc__(self):
        PyMem_Free(self.parts)

    def write(self, tuple values not None):
        """The bytes of a record with these values."""
        cdef Out out = Out.__new__(Out)
        _fill(self, values, out)
        return PyBytes_FromStringAndSize(out.data, out.size)


cdef int _fill(Filling program, tuple values, Out out) except -1:
    cdef Part *part = program.parts
    cdef Part *last = part + program.count
    if PyTuple_GET_SIZE(values) != program.wanted:
        raise ValueError(f"{PyTuple_GET_SIZE(values)} values where {program.wanted} are wanted")
    while part < last:
        _put(out, PyBytes_AS_STRING(<object> part.before), PyBytes_GET_SIZE(<object> part.before))
        value = <object> PyTuple_GET_ITEM(values, part.place)
        if part.is_each:
            _fill_each(<Filling> part.value.inner, value, out)
        else:
            _write(&part.value, value, out)
        part += 1
    return _put(out, PyBytes_AS_STRING(program.tail), PyBytes_GET_SIZE(program.tail))


cdef int _fill_each(Filling program, object items, Out out) except -1:
    if items:
        _put_long(out, len(items))
        for item in items:
            _fill(program, <tuple?> item, out)
    return _put_long(out, 0)


cdef int _write(Field *field, object value, Out out) except -1:
    if field.kind == STRING:
        _write_text(value, out)
    elif field.kind == LONG:
        _write_integer(value, out)
    elif field.kind == BOOLEAN:
        _place(out, 1)[0] = 1 if value else 0
    elif field.kind == RECORD:
        _write_record(<Writing> field.inner, value, out)
    elif field.kind == ARRAY:
        if value:
            _put_long(out, len(value))
            for item in value:
                _write((<Writing> field.inner).fields, item, out)
        _put_long(out, 0)
    elif field.kind == MAP:
        if value:
            _put_long(out, len(value))
            for key, item in value.items():
                _write_text(key, out)
                _write((<Writing> field.inner).fields, item, out)
        _put_long(out, 0)
    elif field.kind == BYTES:
        _write_bytes(value, out)
    elif field.kind == DOUBLE and PyFloat_CheckExact(value):
        PyFloat_Pack8(PyFloat_AS_DOUBLE(value), _place(out, 8), 1)
    else:
        packed = bytes_out.double(value) if field.kind == DOUBLE else bytes_out.single(value)
        _put(out, PyBytes_AS_STRING(packed), PyBytes_GET_SIZE(packed))
    return 0


cdef int _write_text(object value, Out out) except -1:
    if PyUnicode_Check(value) and PyUnicode_IS_COMPACT_ASCII(value):
        _put_long(out, PyUnicode_GET_LENGTH(value))
        return _put(out, PyUnicode_DATA(value), PyUnicode_GET_LENGTH(value))
    return _write_bytes(value.encode(), out)  # Not by the C API, which would keep these bytes in the text.


cdef int _write_bytes(object value, Out out) except -1:
    if not PyBytes_CheckExact(value):
        value = b"".join((value,))  # Whatever has bytes, or the error of what has none.
    _put_long(out, PyBytes_GET_SIZE(value))
    return _put(out, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))


cdef int _write_integer(object value, Out out) except -1:
    cdef int overflow = 0
    if not PyLong_Check(value):
        raise TypeError(f"{value!r} is no integer")
    cdef long long number = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow:
        raise OverflowError(f"{value} has more than 64 bits")
    return _put_long(out, number)

"""Bytes that grow. Whoever includes it imports what it calls: PyMem_Malloc, PyMem_Realloc, PyMem_Free, memcpy and the integers."""

cdef class Out:
    """A class, so that they are let go whatever happens."""

    cdef char *data
    cdef Py_ssize_t size, room

    def __cinit__(self):
        self.room = 1024
        self.data = <char *> PyMem_Malloc(self.room)
        if self.data == NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.data)


cdef inline char *_place(Out out, Py_ssize_t size) except NULL:
    """Where to put as many bytes."""
    if out.room - out.size < size:
        _grow(out, size)
    out.size += size
    return out.data + out.size - size


cdef int _grow(Out out, Py_ssize_t size) except -1:
    cdef Py_ssize_t room = 2 * (out.size + size)
    cdef char *data = <char *> PyMem_Realloc(out.data, room) if room > 0 else NULL
    if data == NULL:
        raise MemoryError
    out.data, out.room = data, room
    return 0


cdef inline int _put(Out out, const void *data, Py_ssize_t size) except -1:
    if size:  # memcpy takes no NULL, even for nothing.
        memcpy(_place(out, size), data, size)
    return 0


cdef inline int _put_long(Out out, int64_t value) except -1:
    """Zigzag, seven bits a byte (Avro 1.12, Binary Encoding)."""
    cdef uint64_t rest = (<uint64_t> value << 1) ^ <uint64_t> (value >> 63)
    cdef char *at = _place(out, 10)
    out.size -= 10
    while rest > 127:
        at[0] = <char> (rest & 127 | 128)
        at += 1
        rest >>= 7
    at[0] = <char> rest
    out.size = at + 1 - out.data
    return 0

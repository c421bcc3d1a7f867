"""Ids of events and records, as `ids` makes them."""

cdef const char *DIGITS = "0123456789abcdef"
cdef bint HAS_SHA = sha_is_here()


cdef int _source_event(Order order, const Span *own_id, char *named) except -1:
    """As ids.source_event of `carts:id:<own id>`."""
    cdef char basis[LONGEST_BASIS]
    cdef Py_ssize_t size = PyBytes_GET_SIZE(order.stamp.event_basis)
    memcpy(basis, PyBytes_AS_STRING(order.stamp.event_basis), size)
    size += _decimal(own_id.chars + 9, basis + size)
    memcpy(basis + size, ":carts:id:", 10)
    size += 10
    memcpy(basis + size, own_id.at, own_id.size)  # At most LONGEST_ID characters.
    _version_5(basis, size + own_id.size, named, HAS_SHA)
    return 0


cdef void _record_of(const char *cause, char *record) noexcept:
    """As ids.record_of a CartActivity."""
    cdef char basis[128]
    memcpy(basis, PyBytes_AS_STRING(ROOT), 16)
    memcpy(basis + 16, "6:record36:", 11)
    memcpy(basis + 27, cause, 36)
    memcpy(basis + 63, "12:CartActivity1:0", 18)
    _version_5(basis, 81, record, HAS_SHA)


cdef int _decimal(Py_ssize_t number, char *at) noexcept:
    """Writes a number of up to four digits; how many they are."""
    cdef char digits[4]
    cdef int size = 0, index
    while True:
        digits[size] = DIGITS[number % 10]
        size += 1
        number //= 10
        if not number:
            break
    for index in range(size):
        at[index] = digits[size - 1 - index]
    return size


cdef void _version_5(char *basis, Py_ssize_t size, char *text, bint by_processor) noexcept:
    """UUID version 5 (RFC 9562, 5.5) of bytes that begin with the namespace, in its 36 characters."""
    cdef unsigned char digest[20]
    cdef int index, at = 0
    sha1(<unsigned char *> basis, size, digest, by_processor)
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    for index in range(16):
        if index == 4 or index == 6 or index == 8 or index == 10:
            text[at] = c"-"
            at += 1
        text[at] = DIGITS[digest[index] >> 4]
        text[at + 1] = DIGITS[digest[index] & 15]
        at += 2


def version_5(bytes name not None):
    """The id of a name within ids.NAMESPACE, as ids makes it: by the processor's own instructions where it has them, and
    without."""
    cdef char text[36]
    cdef char plain_text[36]
    cdef bytes basis = ROOT + name
    _version_5(PyBytes_AS_STRING(basis), PyBytes_GET_SIZE(basis), text, HAS_SHA)
    _version_5(PyBytes_AS_STRING(basis), PyBytes_GET_SIZE(basis), plain_text, False)
    return PyUnicode_FromStringAndSize(text, 36), PyUnicode_FromStringAndSize(plain_text, 36)

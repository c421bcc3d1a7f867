# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, auto_pickle=False
"""`native_plain` in C: from a body's bytes to those of its events' records, for plain cart events.

The rules of what is plain, and what its record holds, are native_plain's; so are all decisions that are made rarely or of
values that repeat (prices, addresses, times), which are asked for there. Safety rests on two rules: every byte is read
behind a comparison with the end, and what was allocated is held by an object that Cython counts. A text is a span of the
body until it is needed: the body outlives them, since the object that holds the spans holds it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy

import struct

from services.ingest.adapters import native_plain as plain
from services.ingest.adapters.native import KINDS, SOURCE
from services.ingest.api.bodies import Items
from services.ingest.api.payloads import LARGEST_QUANTITY, LONGEST_ID, LONGEST_TEXT, MOST_LINES
from services.ingest.api.quick import Odd, time_of
from services.ingest.domain import marks
from services.ingest.domain.clock import YEAR_MS, event_time
from services.ingest.domain.plain import LONGEST_URL
from services.ingest.domain.people import shopper_key
from services.ingest.domain.sealed import Sealed
from trolleybus.contracts import ids
from trolleybus.contracts.money import LARGEST_MINOR, is_currency
from trolleybus.envelope import AVRO, SPECVERSION, STORE_HEADER, TRACE_HEADER, rfc3339
from trolleybus.telemetry import current_traceparent

cdef extern from "Python.h":
    object PyUnicode_DecodeUTF8(const char *data, Py_ssize_t size, const char *errors)
    object PyUnicode_FromStringAndSize(const char *data, Py_ssize_t size)
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef extern from "sha1.h":
    bint sha_is_here()
    void sha1(const unsigned char *data, size_t size, unsigned char *digest, bint by_processor) noexcept

cdef enum:
    TAKEN = 0
    ODD = -1

    # Texts of an event, of a line; and what is no text.
    EVENT = 0
    EVENT_ID, CART_ID, OCCURRED_AT, CUSTOMER_ID, ANONYMOUS_ID, SESSION_ID, DEVICE, CURRENCY, STEP, VIEWED, CART_URL
    LOCALE, TIME_ZONE, EVENT_TEXTS
    # And what a record has besides.
    ID = EVENT_TEXTS
    STORE_ID, SOURCE_NAME, COUNTRY, IDENTITY, ALL_TEXTS
    LINES = 100
    OCCURRED, RECEIVED, VERSION, IDENTITIES

    PRODUCT_ID = 0
    VARIANT_ID, LINE_ID, NAME, URL, IMAGE_URL, CATEGORY, BRAND, LINE_TEXTS
    QUANTITY = 200
    UNIT_PRICE, MINOR, PRICE_CURRENCY, ROUNDED

    NO_PRICE = 0
    AS_TEXT, AS_INTEGER, AS_FRACTION

    NOT_GIVEN = -1
    LONGEST_NAME = 16
    MOST_NAMES = 16
    MOST_DIGITS = 15  # Of a price: what a float holds exactly.
    LONGEST_BASIS = 4096  # Bytes of what an id is made of.
    TIME_SIZE = 24  # 2026-03-01T18:30:00.250Z
    MOST_KNOWN = 30_000  # Shoppers and prices, of all stores.
    TRACE_SIZE = 55  # 00-<trace>-<span>-01

cdef struct Name:
    char text[LONGEST_NAME]
    Py_ssize_t size
    int field
    Py_ssize_t longest  # Characters of its text.


cdef struct Span:
    const char *at  # NULL where it was not given.
    Py_ssize_t size
    Py_ssize_t chars


cdef struct Line:
    Span texts[LINE_TEXTS]
    Span price
    int price_kind
    int64_t quantity


cdef struct Event:
    Span texts[EVENT_TEXTS]
    Span whole
    int kind
    Py_ssize_t first_line
    Py_ssize_t lines


cdef struct Cursor:
    const char *at
    const char *end


cdef enum:
    # What an event is, in the order of PLAIN_KINDS.
    PRODUCT_VIEWED, CART_UPDATED, ITEM_ADDED, ITEM_SET, CART_EMPTIED, CHECKOUT_STEP, PLAIN_KINDS_COUNT

cdef tuple PLAIN_KINDS = ("product_viewed", "cart_updated", "item_added", "item_set", "cart_emptied", "checkout_step")
cdef tuple RECORD_KINDS = tuple([KINDS[kind] for kind in PLAIN_KINDS])
cdef bytes ROOT = ids.NAMESPACE.bytes
cdef Name EVENT_NAMES[MOST_NAMES]
cdef Name LINE_NAMES[MOST_NAMES]
cdef int64_t MOST_QUANTITY = LARGEST_QUANTITY
cdef int64_t MOST_MINOR = LARGEST_MINOR
cdef Py_ssize_t MOST_LINES_OF_ONE = MOST_LINES
cdef Py_ssize_t NO_LIMIT = 1 << 30


cdef void _learn(Name *names, known):
    cdef Py_ssize_t index = 0
    for field, name, longest in known:
        text = name.encode()
        memcpy(names[index].text, PyBytes_AS_STRING(text), len(text))
        names[index].size, names[index].field, names[index].longest = len(text), field, longest
        index += 1


_learn(EVENT_NAMES, [
    (EVENT, "event", LONGEST_ID), (EVENT_ID, "event_id", LONGEST_ID), (CART_ID, "cart_id", LONGEST_ID),
    (LINES, "lines", 0), (ANONYMOUS_ID, "anonymous_id", LONGEST_ID), (CUSTOMER_ID, "customer_id", LONGEST_ID),
    (SESSION_ID, "session_id", LONGEST_ID), (OCCURRED_AT, "occurred_at", NO_LIMIT), (DEVICE, "device", LONGEST_TEXT),
    (CURRENCY, "currency", NO_LIMIT), (STEP, "step", LONGEST_ID), (VIEWED, "product_id", LONGEST_ID),
    (CART_URL, "cart_url", LONGEST_URL), (LOCALE, "locale", LONGEST_TEXT), (TIME_ZONE, "time_zone", LONGEST_TEXT),
])  # fmt: skip
_learn(LINE_NAMES, [
    (PRODUCT_ID, "product_id", LONGEST_ID), (NAME, "name", LONGEST_TEXT), (QUANTITY, "quantity", 0),
    (UNIT_PRICE, "unit_price", NO_LIMIT), (VARIANT_ID, "variant_id", LONGEST_ID), (LINE_ID, "line_id", LONGEST_ID),
    (URL, "url", LONGEST_URL), (IMAGE_URL, "image_url", LONGEST_URL), (CATEGORY, "category", LONGEST_TEXT),
    (BRAND, "brand", LONGEST_TEXT),
])  # fmt: skip

# ---------------------------------------------------------------------------------------------------------- reading

cdef class Events:
    """Plain cart events, unread but for where each of their texts stands in the body."""

    cdef bytes body
    cdef Event *events
    cdef Py_ssize_t count, events_room
    cdef Line *lines
    cdef Py_ssize_t lines_count, lines_room

    def __dealloc__(self):
        PyMem_Free(self.events)
        PyMem_Free(self.lines)

    def __len__(self):
        return self.count

    cdef Event *_new_event(self) except NULL:
        self.events = <Event *> _with_room(self.events, self.count, &self.events_room, sizeof(Event))
        self.count += 1
        return self.events + self.count - 1

    cdef Line *_new_line(self) except NULL:
        self.lines = <Line *> _with_room(self.lines, self.lines_count, &self.lines_room, sizeof(Line))
        self.lines_count += 1
        return self.lines + self.lines_count - 1


cdef void *_with_room(void *things, Py_ssize_t count, Py_ssize_t *room, size_t size) except NULL:
    """The same, or where they moved to, with room for one more of that size. Where there is none, they stay."""
    cdef void *grown
    if count < room[0]:
        return things
    grown = PyMem_Realloc(things, (2 * room[0] + 1) * size)
    if grown == NULL:
        raise MemoryError
    room[0] = 2 * room[0] + 1
    return grown


def read(bytes body not None):
    """The body's events as Items, if all are plain; else None."""
    cdef Cursor cursor
    cdef Events events = Events.__new__(Events)
    cdef Span sent_at
    cdef bint is_batch = False
    events.body = body
    cursor.at = PyBytes_AS_STRING(body)
    cursor.end = cursor.at + PyBytes_GET_SIZE(body)
    sent_at.at = NULL
    if memchr(cursor.at, c"\\", PyBytes_GET_SIZE(body)) != NULL:
        return None  # A name or a text has more to it than meets the eye.
    if _document(events, &cursor, &sent_at, &is_batch) == ODD or not events.count:
        return None
    if sent_at.at == NULL:
        return Items(events, "/events" if is_batch else "", None, is_batch)
    try:
        return Items(events, "/events", time_of(_text(&sent_at)), is_batch)
    except Odd:
        return None


cdef int _document(Events events, Cursor *cursor, Span *sent_at, bint *is_batch) except -2:
    cdef Cursor before
    cdef const char *name
    cdef Py_ssize_t size
    cdef int seen = 0
    _skip(cursor)
    before = cursor[0]
    if not _is(cursor, c"{"):
        return ODD
    while True:
        name = _name(cursor, &size)
        if name == NULL:
            return ODD
        if size == 6 and memcmp(name, "events", 6) == 0 and not seen & 1:
            seen |= 1
            if _list(events, cursor) == ODD:
                return ODD
        elif size == 7 and memcmp(name, "sent_at", 7) == 0 and not seen & 2:
            seen |= 2
            if _nullable(cursor, sent_at, NO_LIMIT) == ODD:
                return ODD
        elif not seen:
            cursor[0] = before
            if _event(events, cursor) == ODD:
                return ODD
            break
        else:
            return ODD
        if _is(cursor, c","):
            continue
        if not _is(cursor, c"}"):
            return ODD
        is_batch[0] = True
        break
    return TAKEN if cursor.at == cursor.end else ODD


cdef int _list(Events events, Cursor *cursor) except -2:
    if not _is(cursor, c"["):
        return ODD
    while True:
        if _event(events, cursor) == ODD:
            return ODD
        if _is(cursor, c","):
            continue
        return TAKEN if _is(cursor, c"]") else ODD


cdef int _event(Events events, Cursor *cursor) except -2:
    cdef Event *event = events._new_event()
    cdef const Name *name
    cdef int index, seen = 0
    for index in range(EVENT_TEXTS):
        event.texts[index].at, event.texts[index].size = NULL, 0
    event.lines, event.first_line = NOT_GIVEN, events.lines_count
    event.whole.at = cursor.at
    if not _is(cursor, c"{"):
        return ODD
    while True:
        name = _known(cursor, EVENT_NAMES, &seen)
        if name == NULL:
            return ODD
        if name.field != LINES:
            if _nullable(cursor, &event.texts[name.field], name.longest) == ODD:
                return ODD
        elif _lines(events, event, cursor) == ODD:
            return ODD
        if _is(cursor, c","):
            continue
        if not _is(cursor, c"}"):
            return ODD
        break
    event.whole.size = cursor.at - event.whole.at
    event.kind = _kind(&event.texts[EVENT])
    return TAKEN if event.kind != ODD and event.texts[EVENT_ID].size and event.texts[CART_ID].size else ODD


cdef int _kind(const Span *text) except -2:
    cdef int kind
    cdef Span known
    for kind in range(PLAIN_KINDS_COUNT):
        _span_of(PLAIN_KINDS[kind], &known)
        if known.size == text.size and memcmp(known.at, text.at, text.size) == 0:
            return kind
    return ODD


cdef int _lines(Events events, Event *event, Cursor *cursor) except -2:
    if _is_null(cursor):
        return TAKEN
    if not _is(cursor, c"["):
        return ODD
    event.lines = 0
    if _is(cursor, c"]"):
        return TAKEN
    while True:
        event.lines += 1
        if event.lines > MOST_LINES_OF_ONE or _line(events._new_line(), cursor) == ODD:
            return ODD
        if _is(cursor, c","):
            continue
        return TAKEN if _is(cursor, c"]") else ODD


cdef int _line(Line *line, Cursor *cursor) except -2:
    cdef const Name *name
    cdef int index, seen = 0
    for index in range(LINE_TEXTS):
        line.texts[index].at, line.texts[index].size = NULL, 0
    line.quantity, line.price_kind = 1, NO_PRICE
    if not _is(cursor, c"{"):
        return ODD
    while True:
        name = _known(cursor, LINE_NAMES, &seen)
        if name == NULL:
            return ODD
        if name.field == QUANTITY:
            if _quantity(line, cursor) == ODD:
                return ODD
        elif name.field == UNIT_PRICE:
            if _price(line, cursor) == ODD:
                return ODD
        elif _nullable(cursor, &line.texts[name.field], name.longest) == ODD:
            return ODD
        if _is(cursor, c","):
            continue
        if not _is(cursor, c"}"):
            return ODD
        break
    return TAKEN if line.texts[PRODUCT_ID].size else ODD


cdef inline void _skip(Cursor *cursor) noexcept:
    while cursor.at < cursor.end and (cursor.at[0] == c" " or c"\t" <= cursor.at[0] <= c"\n" or cursor.at[0] == c"\r"):
        cursor.at += 1


cdef inline bint _is(Cursor *cursor, char sign) noexcept:
    """Whether the sign comes next; then the cursor is behind it and the white space after it."""
    if cursor.at == cursor.end or cursor.at[0] != sign:
        return False
    cursor.at += 1
    _skip(cursor)
    return True


cdef inline bint _is_null(Cursor *cursor) noexcept:
    if cursor.end - cursor.at < 4 or memcmp(cursor.at, "null", 4) != 0:
        return False
    cursor.at += 4
    _skip(cursor)
    return True


cdef const char *_name(Cursor *cursor, Py_ssize_t *size) noexcept:
    """A name and its colon; NULL where there is none."""
    cdef const char *start
    cdef const char *end
    if cursor.at == cursor.end or cursor.at[0] != c'"':
        return NULL
    start = cursor.at + 1
    end = <const char *> memchr(start, c'"', cursor.end - start)
    if end == NULL:
        return NULL
    cursor.at = end + 1
    _skip(cursor)
    size[0] = end - start
    return start if _is(cursor, c":") else NULL


cdef const Name *_known(Cursor *cursor, const Name *names, int *seen) noexcept:
    """One of the names; NULL for another, or one that stands twice."""
    cdef Py_ssize_t size
    cdef int index
    cdef const char *name = _name(cursor, &size)
    if name == NULL:
        return NULL
    for index in range(MOST_NAMES):
        if names[index].size == size and size and memcmp(names[index].text, name, size) == 0:
            if seen[0] & (1 << index):
                return NULL
            seen[0] |= 1 << index
            return names + index
    return NULL


cdef int _nullable(Cursor *cursor, Span *span, Py_ssize_t longest) except -2:
    return TAKEN if _is_null(cursor) else _string(cursor, span, longest)


cdef int _string(Cursor *cursor, Span *span, Py_ssize_t longest) except -2:
    """A text in its one form: printable, no space around it. (There is no backslash in the body.)"""
    cdef const char *at
    cdef unsigned char sign, high = 0
    if cursor.at == cursor.end or cursor.at[0] != c'"':
        return ODD
    at = cursor.at + 1
    span.at = at
    while True:
        if at == cursor.end:
            return ODD
        sign = <unsigned char> at[0]
        if sign == c'"':
            break
        if sign < 32 or sign == 127:
            return ODD
        high |= sign
        at += 1
    span.size = span.chars = at - span.at
    cursor.at = at + 1
    _skip(cursor)
    if span.size and (span.at[0] == c" " or (at - 1)[0] == c" "):
        return ODD
    if high > 127 and _beyond_ascii(span) == ODD:
        return ODD
    return TAKEN if span.chars <= longest else ODD


cdef int _beyond_ascii(Span *span) except -2:
    try:
        text = PyUnicode_DecodeUTF8(span.at, span.size, NULL)
    except UnicodeDecodeError:
        return ODD
    span.chars = len(text)
    return TAKEN if text.isprintable() else ODD


cdef int _digits(Cursor *cursor) noexcept:
    """How many digits come; the cursor is behind them."""
    cdef int number = 0
    while cursor.at < cursor.end and c"0" <= cursor.at[0] <= c"9":
        cursor.at += 1
        number += 1
    return number


cdef int _quantity(Line *line, Cursor *cursor) noexcept:
    cdef const char *start = cursor.at
    cdef int digits, index
    if _is_null(cursor):
        return TAKEN
    digits = _digits(cursor)
    if not 1 <= digits <= 7 or (start[0] == c"0" and digits > 1):
        return ODD
    line.quantity = 0
    for index in range(digits):
        line.quantity = 10 * line.quantity + (start[index] - c"0")
    _skip(cursor)  # What is left of a fraction is no comma.
    return TAKEN if line.quantity <= MOST_QUANTITY else ODD


cdef int _price(Line *line, Cursor *cursor) except -2:
    """A text, or a number that is written plainly: no sign, no exponent."""
    cdef Span *span = &line.price
    cdef int whole
    if _is_null(cursor):
        return TAKEN
    if cursor.at < cursor.end and cursor.at[0] == c'"':
        line.price_kind = AS_TEXT
        return _string(cursor, span, NO_LIMIT)
    span.at = cursor.at
    whole = _digits(cursor)
    if not whole or (span.at[0] == c"0" and whole > 1):
        return ODD
    line.price_kind = AS_INTEGER
    if cursor.at < cursor.end and cursor.at[0] == c".":
        line.price_kind = AS_FRACTION
        cursor.at += 1
        if not _digits(cursor):
            return ODD
    span.size = span.chars = cursor.at - span.at
    _skip(cursor)
    return TAKEN if span.size <= MOST_DIGITS else ODD


cdef inline object _text(const Span *span):
    return PyUnicode_FromStringAndSize(span.at, span.size) if span.size else ""

# ---------------------------------------------------------------------------------------------------------- writing

cdef class Out:
    """Bytes that grow; a class, so that they are let go whatever happens."""

    cdef char *data
    cdef Py_ssize_t size, room

    def __cinit__(self):
        self.room = 1024
        self.data = <char *> PyMem_Malloc(self.room)
        if self.data == NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.data)


cdef inline int _put(Out out, const char *data, Py_ssize_t size) except -1:
    cdef Py_ssize_t room
    cdef char *grown
    if out.room - out.size < size + 10:  # A number fits too.
        room = 2 * (out.size + size + 10)
        grown = <char *> PyMem_Realloc(out.data, room)
        if grown == NULL:
            raise MemoryError
        out.data, out.room = grown, room
    if size:
        memcpy(out.data + out.size, data, size)
        out.size += size
    return 0


cdef inline void _put_long(Out out, int64_t value) noexcept:
    """Behind something that was put."""
    cdef uint64_t rest = (<uint64_t> value << 1) ^ <uint64_t> (value >> 63)
    while rest > 127:
        out.data[out.size] = <char> (rest & 127 | 128)
        out.size += 1
        rest >>= 7
    out.data[out.size] = <char> rest
    out.size += 1


cdef inline int _put_text(Out out, const Span *span) except -1:
    _put_long(out, span.size)
    return _put(out, span.at, span.size)


cdef struct Row:
    const char *before
    Py_ssize_t size
    int slot


cdef class Rows:
    """A layout, ready to be written by."""

    cdef Row *rows
    cdef Py_ssize_t count
    cdef tuple kept
    cdef bytes tail
    cdef Rows items

    def __cinit__(self, layout, dict slots):
        self.kept, self.tail = layout.places, layout.tail
        self.rows = <Row *> PyMem_Malloc((len(self.kept) + 1) * sizeof(Row))
        if self.rows == NULL:
            raise MemoryError
        for place in self.kept:
            slot, kinds = slots[place.path]
            if place.kind not in kinds:
                raise TypeError(f"{place.path} is written as {kinds}, not as {place.kind}")
            if place.items is not None:
                self.items = Rows(place.items, slots)
            row = &self.rows[self.count]
            row.before, row.size, row.slot = PyBytes_AS_STRING(place.before), len(place.before), slot
            self.count += 1

    def __dealloc__(self):
        PyMem_Free(self.rows)

# ---------------------------------------------------------------------------------------------------------- sealing

cdef class Parcel:
    """A record on its way to Kafka, as Outgoing, in one piece: the sizes of value and key, the number of headers, the sizes of
    each one's name and value (32 bits each, in the machine's order), and then their bytes."""

    cdef readonly str topic
    cdef readonly bytes parcel

    @property
    def size(self):
        """Bytes of its value."""
        return (<const uint32_t *> PyBytes_AS_STRING(self.parcel))[0]

    @property
    def value(self):
        return self._opened()[0]

    @property
    def key(self):
        return self._opened()[1]

    @property
    def headers(self):
        names_and_values = self._opened()[2:]
        return [(name.decode(), value) for name, value in zip(names_and_values[::2], names_and_values[1::2])]

    cdef list _opened(self):
        cdef const uint32_t *sizes = <const uint32_t *> PyBytes_AS_STRING(self.parcel)
        cdef uint32_t pieces = 2 * sizes[2] + 2, piece
        cdef Py_ssize_t at = 4 * (pieces + 1), size
        cdef list found = []
        for piece in range(pieces):
            size = sizes[piece] if piece < 2 else sizes[piece + 1]
            found.append(self.parcel[at : at + size])
            at += size
        return found


cdef class Sealing:
    """As native_plain.Sealer, of `read`'s events."""

    cdef object layout, topic
    cdef tuple kind, source
    cdef Rows rows
    cdef dict stamps  # By store_id.
    cdef Py_ssize_t known  # Shoppers and prices in all stamps.
    cdef Py_ssize_t largest
    cdef Out out

    def __init__(self, layout, frame, Py_ssize_t largest):
        """`layout` gives that of a CartActivity with PATHS, when it is known; `frame` is its frame."""
        self.layout, self.largest, self.out, self.stamps = layout, largest, Out(), {}
        self.topic = frame.topic
        self.kind, self.source = [(name.encode(), value) for name, value in (frame.kind, frame.source)]

    def seal(self, Events events not None, arrival, Py_ssize_t start, Py_ssize_t stop):
        """The events from `start` to `stop` as Sealed; raises Odd."""
        cdef Order order
        cdef Py_ssize_t index
        cdef list done = []
        agent = arrival.user_agent
        if arrival.imported or arrival.is_crowd or (agent and marks.of_agent(agent)):
            raise Odd
        if self.rows is None:
            self.rows = Rows(self.layout(), SLOTS)
        order = Order(self, self._stamp(arrival.store, arrival.hasher), arrival)
        for index in range(max(0, start), min(stop, events.count)):
            done.append(_sealed(order, events, &events.events[index]))
        return done


    cdef Stamp _stamp(self, store, hasher):
        cdef Stamp stamp = self.stamps.get(store.store_id)
        if stamp is None or stamp.store is not store or stamp.hasher is not hasher:
            self.remember()
            stamp = self.stamps[store.store_id] = Stamp(self, store, hasher)
        return stamp

    cdef void remember(self):
        """One more. All is forgotten when it is too much: what is in use comes back soon."""
        self.known += 1
        if self.known > MOST_KNOWN:
            self.known = 0
            self.stamps = {}


cdef class Stamp:
    """What is the same for all of a store's events."""

    cdef object store, store_id, hasher
    cdef str currency
    cdef int64_t version
    cdef bytes name, event_basis, before_id, before_time, before_subject, after, sizes, sizes_traced
    cdef dict customers, visitors, prices  # What was told of each, by its text.

    def __init__(self, Sealing sealing, store, hasher):
        self.hasher = hasher
        self.customers, self.visitors, self.prices = {}, {}, {}
        self.store, self.store_id, self.currency, self.version = store, store.store_id, store.currency, store.version
        self.name = store.store_id.encode()
        # As in ids.source_event, up to the length of the last part.
        basis = f"5:event{len(self.store_id)}:{self.store_id}{len(SOURCE)}:{SOURCE}"
        self.event_basis = ROOT + basis.encode()
        if len(self.event_basis) > LONGEST_BASIS // 2:
            raise Odd
        first, last = SPECVERSION[0].encode() + SPECVERSION[1], STORE_HEADER.encode() + self.name
        self.before_id = first + b"ce_id"
        self.before_time = b"".join((*sealing.kind, *sealing.source)) + b"ce_time"
        self.before_subject = b"ce_subject"
        self.after = last + AVRO[0].encode() + AVRO[1]
        sizes = [
            0, 0, 8,
            len(SPECVERSION[0]), len(SPECVERSION[1]),
            5, 36,
            *(len(piece) for piece in (*sealing.kind, *sealing.source)),
            7, TIME_SIZE,
            10, 0,
            len(STORE_HEADER), len(self.name),
            len(AVRO[0]), len(AVRO[1]),
        ]  # fmt: skip
        self.sizes = struct.pack(f"={len(sizes)}I", *sizes)
        sizes[2] = 9
        self.sizes_traced = struct.pack(f"={len(sizes) + 2}I", *sizes, len(TRACED), TRACE_SIZE)


cdef class Order:
    """What is the same for all events of a request."""

    cdef object arrival, sent_at, last_at
    cdef str country
    cdef int64_t received_at
    cdef Sealing sealing
    cdef Stamp stamp
    cdef bytes sizes, trace, time

    def __init__(self, Sealing sealing, Stamp stamp, arrival):
        self.sealing, self.stamp, self.arrival, self.country = sealing, stamp, arrival, arrival.country
        self.received_at, self.sent_at = arrival.received_at, arrival.sent_at
        self.trace, self.sizes = b"", stamp.sizes
        trace = current_traceparent()
        if trace:
            self.trace, self.sizes = TRACED + trace.encode(), stamp.sizes_traced
            if len(self.trace) != len(TRACED) + TRACE_SIZE:
                raise Odd
        self.last_at = None


cdef object _sealed(Order order, Events events, const Event *event):
    cdef Span texts[ALL_TEXTS]
    cdef char named[36]
    cdef char record[36]
    cdef int64_t occurred_at = order.received_at
    cdef Sealing sealing = order.sealing
    cdef Out out = sealing.out
    memcpy(texts, event.texts, EVENT_TEXTS * sizeof(Span))
    if event.kind == CHECKOUT_STEP and not texts[STEP].size or event.kind == PRODUCT_VIEWED and not texts[VIEWED].size:
        raise Odd
    cart_id = _text(&texts[CART_ID])
    if texts[CUSTOMER_ID].size and texts[ANONYMOUS_ID].size:
        raise Odd  # Which says that they are one person.
    if texts[CUSTOMER_ID].size:
        identities, identity, customer_key = _shopper(order, order.stamp.customers, "customer", &texts[CUSTOMER_ID])
    elif texts[ANONYMOUS_ID].size:
        identities, identity, customer_key = _shopper(order, order.stamp.visitors, "anonymous", &texts[ANONYMOUS_ID])
    else:
        identities, identity, customer_key = (), "", shopper_key((), cart_id)
    currency = order.stamp.currency
    if texts[CURRENCY].size:
        currency = _text(&texts[CURRENCY])
        if not is_currency(currency):
            raise Odd
    if texts[CART_URL].size:
        plain.shop_address(_text(&texts[CART_URL]), order.arrival.link_hosts)
    if texts[TIME_ZONE].size:
        plain.time_zone(_text(&texts[TIME_ZONE]))
    locale = plain.locale(_text(&texts[LOCALE])) if texts[LOCALE].size else ""
    if texts[OCCURRED_AT].at != NULL:
        occurred_at = event_time(
            time_of(_text(&texts[OCCURRED_AT])), order.sent_at, order.received_at, order.received_at - YEAR_MS
        )
    _source_event(order, &texts[EVENT_ID], named)
    _record_of(named, record)
    _span_of(RECORD_KINDS[event.kind], &texts[EVENT])
    _span_of(customer_key, &texts[CUSTOMER_ID])
    _span_of(currency, &texts[CURRENCY])
    _span_of(locale, &texts[LOCALE])
    _span_of(identity, &texts[IDENTITY])
    texts[ID].at, texts[ID].size = record, 36
    _span_of(order.stamp.store_id, &texts[STORE_ID])
    _span_of(order.country, &texts[COUNTRY])
    _span_of(SOURCE, &texts[SOURCE_NAME])
    out.size = 0
    _write(sealing.rows, out, order, events, event, texts, occurred_at, currency)
    if out.size > sealing.largest:
        raise Odd
    return Sealed(
        PyUnicode_FromStringAndSize(named, 36),
        PLAIN_KINDS[event.kind],
        identities,
        customer_key,
        cart_id,
        occurred_at,
        _parcel(order, &texts[CART_ID], record, occurred_at),
        _long_form(order, events, event),
    )


cdef class LongForm:
    """An event as its adapter makes it, when somebody asks for it."""

    cdef object arrival
    cdef Events events
    cdef Span whole

    def __call__(self):
        return plain.cart_event_in(PyBytes_FromStringAndSize(self.whole.at, self.whole.size), self.arrival)


cdef LongForm _long_form(Order order, Events events, const Event *event):
    cdef LongForm form = LongForm.__new__(LongForm)
    form.arrival, form.events, form.whole = order.arrival, events, event.whole
    return form


cdef tuple _shopper(Order order, dict known, kind, const Span *value):
    """Identities, the first one's hash, the key."""
    text = _text(value)
    found = known.get(text)
    if found is None:
        order.sealing.remember()
        identities = plain.shopper(order.stamp.hasher, order.stamp.store_id, kind, text)
        found = known[text] = identities, identities[0].hash, identities[0].key
    return found


cdef tuple _priced(Order order, const Line *line, currency):
    """In minor units, the currency's name, whether it was rounded."""
    cdef dict known = order.stamp.prices
    text = _text(&line.price)
    name = text if line.price_kind == AS_TEXT and currency is order.stamp.currency else None
    found = known.get(name)
    if found is None or name is None:
        given = text if line.price_kind == AS_TEXT else int(text) if line.price_kind == AS_INTEGER else float(text)
        price, was_rounded = plain.priced(given, currency)
        found = price.minor, price.currency, was_rounded
        if name is not None:
            order.sealing.remember()
            known[name] = found
    return found


cdef int _write(
    Rows rows, Out out, Order order, Events events, const Event *event, const Span *texts, int64_t occurred_at, currency
) except -1:  # fmt: skip
    cdef const Row *row = rows.rows
    cdef const Row *last = row + rows.count
    while row < last:
        _put(out, row.before, row.size)
        if row.slot < ALL_TEXTS:
            _put_text(out, &texts[row.slot])
        elif row.slot == OCCURRED:
            _put_long(out, occurred_at)
        elif row.slot == RECEIVED:
            _put_long(out, order.received_at)
        elif row.slot == VERSION:
            _put_long(out, order.stamp.version)
        elif row.slot == IDENTITIES:
            if texts[IDENTITY].size:
                _put_long(out, 1)
                _put_text(out, &texts[IDENTITY])
            _put_long(out, 0)
        elif row.slot == LINES:
            _write_lines(rows.items, out, order, events, event, currency)
        row += 1
    return _put(out, PyBytes_AS_STRING(rows.tail), PyBytes_GET_SIZE(rows.tail))


cdef int _write_lines(
    Rows rows, Out out, Order order, Events events, const Event *event, currency
) except -1:  # fmt: skip
    cdef Py_ssize_t index
    if event.lines <= 0:
        if event.kind == ITEM_ADDED or event.kind == ITEM_SET or (event.kind == CART_UPDATED and event.lines == NOT_GIVEN):
            raise Odd
    else:
        _put_long(out, event.lines)
        for index in range(event.first_line, event.first_line + event.lines):
            _write_line(rows, out, order, &events.lines[index], event.kind, currency)
    _put_long(out, 0)
    return 0


cdef int _write_line(Rows rows, Out out, Order order, const Line *line, int kind, currency) except -1:
    cdef const Span *texts = line.texts
    cdef const Row *row = rows.rows
    cdef const Row *last = row + rows.count
    cdef Span price_currency
    cdef int64_t minor = 0
    in_currency, was_rounded = "", False
    if line.price_kind != NO_PRICE:
        minor, in_currency, was_rounded = _priced(order, line, currency)
    if line.quantity and minor > MOST_MINOR // line.quantity:
        raise Odd
    if not line.quantity and kind == ITEM_ADDED:
        raise Odd
    if texts[URL].size:
        plain.shop_address(_text(&texts[URL]), order.arrival.link_hosts)
    if texts[IMAGE_URL].size:
        plain.address(_text(&texts[IMAGE_URL]))
    _span_of(in_currency, &price_currency)
    while row < last:
        _put(out, row.before, row.size)
        if row.slot == LINE_ID:
            _put_line_id(out, texts)
        elif row.slot < LINE_TEXTS:
            _put_text(out, &texts[row.slot])
        elif row.slot == QUANTITY:
            _put_long(out, line.quantity)
        elif row.slot == MINOR:
            _put_long(out, minor)
        elif row.slot == PRICE_CURRENCY:
            _put_text(out, &price_currency)
        elif row.slot == ROUNDED:
            _put(out, b"\1" if was_rounded else b"\0", 1)
        row += 1
    return _put(out, PyBytes_AS_STRING(rows.tail), PyBytes_GET_SIZE(rows.tail))


cdef int _put_line_id(Out out, const Span *texts) except -1:
    """Product and variant, where the event names none."""
    if texts[LINE_ID].size:
        return _put_text(out, &texts[LINE_ID])
    if not texts[VARIANT_ID].size:
        return _put_text(out, &texts[PRODUCT_ID])
    _put_long(out, texts[PRODUCT_ID].size + 1 + texts[VARIANT_ID].size)
    _put(out, texts[PRODUCT_ID].at, texts[PRODUCT_ID].size)
    _put(out, b":", 1)
    return _put(out, texts[VARIANT_ID].at, texts[VARIANT_ID].size)


cdef Parcel _parcel(Order order, const Span *cart_id, const char *record, int64_t occurred_at):
    cdef Out out = order.sealing.out
    cdef Stamp stamp = order.stamp
    cdef Parcel parcel = Parcel.__new__(Parcel)
    cdef Py_ssize_t key_size = PyBytes_GET_SIZE(stamp.name) + 1 + cart_id.size
    cdef bytes made
    cdef uint32_t *sizes
    cdef char *at
    if order.last_at is None or <int64_t> order.last_at != occurred_at:
        order.time = rfc3339(occurred_at).encode()
        if PyBytes_GET_SIZE(order.time) != TIME_SIZE:
            raise Odd
        order.last_at = occurred_at
    made = PyBytes_FromStringAndSize(
        NULL,
        PyBytes_GET_SIZE(order.sizes) + out.size + 2 * key_size + PyBytes_GET_SIZE(stamp.before_id) + 36
        + PyBytes_GET_SIZE(stamp.before_time) + TIME_SIZE + PyBytes_GET_SIZE(stamp.before_subject)
        + PyBytes_GET_SIZE(stamp.after) + PyBytes_GET_SIZE(order.trace),
    )  # fmt: skip
    sizes = <uint32_t *> PyBytes_AS_STRING(made)
    at = _copied(PyBytes_AS_STRING(made), order.sizes)
    sizes[0], sizes[1], sizes[14] = out.size, key_size, key_size
    memcpy(at, out.data, out.size)
    at = _keyed(at + out.size, stamp, cart_id)
    at = _copied(at, stamp.before_id)
    memcpy(at, record, 36)
    at = _copied(at + 36, stamp.before_time)
    at = _copied(at, order.time)
    at = _keyed(_copied(at, stamp.before_subject), stamp, cart_id)
    _copied(_copied(at, stamp.after), order.trace)
    parcel.topic, parcel.parcel = order.sealing.topic, made
    return parcel


cdef inline char *_keyed(char *at, Stamp stamp, const Span *cart_id) noexcept:
    at = _copied(at, stamp.name)
    at[0] = c":"
    memcpy(at + 1, cart_id.at, cart_id.size)
    return at + 1 + cart_id.size


cdef inline char *_copied(char *at, bytes data) noexcept:
    memcpy(at, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
    return at + PyBytes_GET_SIZE(data)


cdef inline int _span_of(object text, Span *span) except -1:
    """As long as the text lives."""
    span.at = PyUnicode_AsUTF8AndSize(text, &span.size)
    return 0


cdef bytes TRACED = TRACE_HEADER.encode()
cdef tuple AS_STRING = ("string",)
cdef tuple AS_LONG = ("int", "long")
cdef dict SLOTS = {
    "id": (ID, AS_STRING), "store_id": (STORE_ID, AS_STRING), "occurred_at": (OCCURRED, AS_LONG),
    "received_at": (RECEIVED, AS_LONG), "source": (SOURCE_NAME, AS_STRING), "source_event_id": (EVENT_ID, AS_STRING),
    "config_version": (VERSION, AS_LONG), "kind": (EVENT, AS_STRING), "cart_id": (CART_ID, AS_STRING),
    "customer_id": (CUSTOMER_ID, AS_STRING), "identities": (IDENTITIES, ("array",)),
    "anonymous_id": (ANONYMOUS_ID, AS_STRING), "session_id": (SESSION_ID, AS_STRING), "device": (DEVICE, AS_STRING),
    "currency": (CURRENCY, AS_STRING), "step": (STEP, AS_STRING), "product_id": (VIEWED, AS_STRING),
    "cart_url": (CART_URL, AS_STRING), "locale": (LOCALE, AS_STRING), "country": (COUNTRY, AS_STRING),
    "time_zone": (TIME_ZONE, AS_STRING), "lines": (LINES, ("each",)), "lines.line_id": (LINE_ID, AS_STRING),
    "lines.product_id": (PRODUCT_ID, AS_STRING), "lines.variant_id": (VARIANT_ID, AS_STRING),
    "lines.name": (NAME, AS_STRING), "lines.quantity": (QUANTITY, AS_LONG), "lines.unit_price.minor": (MINOR, AS_LONG),
    "lines.unit_price.currency": (PRICE_CURRENCY, AS_STRING), "lines.url": (URL, AS_STRING),
    "lines.image_url": (IMAGE_URL, AS_STRING), "lines.category": (CATEGORY, AS_STRING),
    "lines.brand": (BRAND, AS_STRING), "lines.price_rounded": (ROUNDED, ("boolean",)),
}  # fmt: skip
PATHS = tuple(SLOTS)
"""What a plain event's record has; all else of it is empty."""

# -------------------------------------------------------------------------------------------------------------- ids

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

# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, auto_pickle=False
"""`native_plain` in C: from a body's bytes to those of its events' records, for plain cart events.

The rules of what is plain, and what its record holds, are native_plain's; so are all decisions that are made rarely or of
values that repeat (prices, addresses, times), which are asked for there. Safety rests on two rules: every byte is read
behind a comparison with the end, and what was allocated is held by an object that Cython counts. A text is a span of the
body until it is needed: the body outlives them, since the object that holds the spans holds it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy

from functools import partial

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
from trolleybus.envelope import AVRO, SPECVERSION, STORE_HEADER, TRACE_HEADER, Outgoing, rfc3339
from trolleybus.telemetry import current_traceparent

cdef extern from "Python.h":
    object PyUnicode_DecodeUTF8(const char *data, Py_ssize_t size, const char *errors)
    object PyUnicode_FromStringAndSize(const char *data, Py_ssize_t size)
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef enum:
    TAKEN = 0
    ODD = -1

    # Texts of an event, of a line; and what is no text.
    EVENT = 0
    EVENT_ID, CART_ID, OCCURRED_AT, CUSTOMER_ID, ANONYMOUS_ID, SESSION_ID, DEVICE, CURRENCY, STEP, VIEWED, CART_URL
    LOCALE, TIME_ZONE, EVENT_TEXTS
    LINES = 100

    PRODUCT_ID = 0
    VARIANT_ID, LINE_ID, NAME, URL, IMAGE_URL, CATEGORY, BRAND, LINE_TEXTS
    QUANTITY = 101
    UNIT_PRICE = 102

    NO_PRICE = 0
    AS_TEXT, AS_INTEGER, AS_FRACTION

    NOT_GIVEN = -1
    LONGEST_NAME = 16
    MOST_NAMES = 16
    MOST_DIGITS = 15  # Of a price: what a float holds exactly.
    LONGEST_BASIS = 4096  # Bytes of what an id is made of.

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
    Py_ssize_t first_line
    Py_ssize_t lines


cdef struct Cursor:
    const char *at
    const char *end


cdef object shopper = plain.shopper
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
        cdef Py_ssize_t room
        cdef Event *events
        if self.count == self.events_room:
            room = 2 * self.events_room or 1
            events = <Event *> PyMem_Realloc(self.events, room * sizeof(Event))
            if events == NULL:
                raise MemoryError
            self.events, self.events_room = events, room
        self.count += 1
        return self.events + self.count - 1

    cdef Line *_new_line(self) except NULL:
        cdef Py_ssize_t room
        cdef Line *lines
        if self.lines_count == self.lines_room:
            room = 2 * self.lines_room or 2
            lines = <Line *> PyMem_Realloc(self.lines, room * sizeof(Line))
            if lines == NULL:
                raise MemoryError
            self.lines, self.lines_room = lines, room
        self.lines_count += 1
        return self.lines + self.lines_count - 1


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
    return TAKEN if event.texts[EVENT_ID].size and event.texts[CART_ID].size and event.texts[EVENT].size else ODD


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

# ---------------------------------------------------------------------------------------------------------- sealing

cdef class Sealing:
    """As native_plain.Sealer, of `read`'s events."""

    cdef object write, topic, named, source
    cdef Py_ssize_t largest

    def __init__(self, write, frame, Py_ssize_t largest):
        """`write` makes the bytes of ACTIVITY's values; `frame` is that of a CartActivity."""
        self.write, self.largest = write, largest
        self.topic, self.named, self.source = frame

    def seal(self, Events events not None, arrival, Py_ssize_t start, Py_ssize_t stop):
        """The events from `start` to `stop` as Sealed; raises Odd."""
        cdef Order order
        cdef Py_ssize_t index
        cdef list done = []
        agent = arrival.user_agent
        if arrival.imported or (agent and marks.of_agent(agent)):
            raise Odd
        order = Order(self, arrival)
        for index in range(max(0, start), min(stop, events.count)):
            done.append(_sealed(self, order, events, &events.events[index]))
        return done


cdef class Order:
    """What is the same for all events of a request."""

    cdef object arrival, store_id, store, hasher, currency, version, country, hosts, received_at, sent_at, trace
    cdef tuple store_header
    cdef bytes store_bytes, event_basis
    cdef object last_at
    cdef tuple last_time

    def __init__(self, Sealing sealing, arrival):
        store = arrival.store
        self.arrival, self.store_id, self.hasher = arrival, store.store_id, arrival.hasher
        self.currency, self.version, self.country = store.currency, store.version, arrival.country
        self.hosts, self.received_at, self.sent_at = arrival.link_hosts, arrival.received_at, arrival.sent_at
        self.store_bytes = self.store_id.encode()
        self.store_header = STORE_HEADER, self.store_bytes
        trace = current_traceparent()
        self.trace = (TRACE_HEADER, trace.encode()) if trace else None
        # As in ids.source_event, up to the length of the last part.
        basis = f"5:event{len(self.store_id)}:{self.store_id}{len(SOURCE)}:{SOURCE}"
        self.event_basis = ids.NAMESPACE.bytes + basis.encode()
        if len(self.event_basis) > LONGEST_BASIS // 2:
            raise Odd
        self.last_at = None


cdef object _sealed(Sealing sealing, Order order, Events events, const Event *event):
    cdef const Span *texts = event.texts
    cdef char named[36]
    cdef char record[36]
    cdef bytes key
    cdef list headers
    kind_text = _text(&texts[EVENT])
    kind = PLAIN_KINDS.get(kind_text)
    if kind is None or (kind_text == "checkout_step" and not texts[STEP].size):
        raise Odd
    if kind_text == "product_viewed" and not texts[VIEWED].size:
        raise Odd
    cart_id = _text(&texts[CART_ID])
    if texts[CUSTOMER_ID].size and texts[ANONYMOUS_ID].size:
        raise Odd  # Which says that they are one person.
    if texts[CUSTOMER_ID].size:
        identities = shopper(order.hasher, order.store_id, "customer", _text(&texts[CUSTOMER_ID]))
    elif texts[ANONYMOUS_ID].size:
        identities = shopper(order.hasher, order.store_id, "anonymous", _text(&texts[ANONYMOUS_ID]))
    else:
        identities = ()
    customer_key = shopper_key(identities, cart_id)
    currency = order.currency
    if texts[CURRENCY].size:
        currency = _text(&texts[CURRENCY])
        if not is_currency(currency):
            raise Odd
    lines = _sealed_lines(order, events, event, kind_text, currency)
    occurred_at = order.received_at
    if texts[OCCURRED_AT].at != NULL:
        occurred_at = event_time(
            time_of(_text(&texts[OCCURRED_AT])), order.sent_at, occurred_at, occurred_at - YEAR_MS
        )
    _source_event(order, &texts[EVENT_ID], named)
    _record_of(named, record)
    event_id = PyUnicode_FromStringAndSize(named, 36)
    value = sealing.write((
        PyUnicode_FromStringAndSize(record, 36),
        order.store_id,
        occurred_at,
        cart_id,
        customer_key,
        False,
        order.received_at,
        SOURCE,
        _text(&texts[EVENT_ID]),
        order.version,
        kind,
        (identities[0].hash,) if identities else (),
        _text(&texts[ANONYMOUS_ID]),
        _text(&texts[SESSION_ID]),
        _text(&texts[DEVICE]),
        currency,
        _text(&texts[STEP]),
        _text(&texts[VIEWED]),
        plain.shop_address(_text(&texts[CART_URL]), order.hosts) if texts[CART_URL].size else "",
        plain.locale(_text(&texts[LOCALE])) if texts[LOCALE].size else "",
        order.country,
        plain.time_zone(_text(&texts[TIME_ZONE])) if texts[TIME_ZONE].size else "",
        lines,
    ))
    if PyBytes_GET_SIZE(value) > sealing.largest:
        raise Odd
    key = _key(order, &texts[CART_ID])
    if order.last_at != occurred_at:
        order.last_at, order.last_time = occurred_at, ("ce_time", rfc3339(occurred_at).encode())
    headers = [
        SPECVERSION,
        ("ce_id", PyBytes_FromStringAndSize(record, 36)),
        sealing.named,
        sealing.source,
        order.last_time,
        ("ce_subject", key),
        order.store_header,
        AVRO,
    ]
    if order.trace is not None:
        headers.append(order.trace)
    long_form = partial(plain.cart_event_in, PyBytes_FromStringAndSize(event.whole.at, event.whole.size), order.arrival)
    return Sealed(
        event_id, kind_text, identities, customer_key, cart_id, occurred_at, Outgoing(sealing.topic, key, value, headers),
        long_form,
    )


cdef object _sealed_lines(Order order, Events events, const Event *event, kind, currency):
    cdef Py_ssize_t index
    cdef list done
    if event.lines <= 0:
        if kind == "item_added" or kind == "item_set" or (kind == "cart_updated" and event.lines == NOT_GIVEN):
            raise Odd
        return ()
    done = []
    for index in range(event.first_line, event.first_line + event.lines):
        done.append(_sealed_line(order, &events.lines[index], kind, currency))
    return tuple(done)


cdef object _sealed_line(Order order, const Line *line, kind, currency):
    cdef const Span *texts = line.texts
    cdef int64_t minor
    price, was_rounded = plain.NO_PRICE
    if line.price_kind != NO_PRICE:
        given = _text(&line.price)
        if line.price_kind == AS_INTEGER:
            given = int(given)
        elif line.price_kind == AS_FRACTION:
            given = float(given)
        price, was_rounded = plain.priced(given, currency)
        minor = price.minor
        if line.quantity and minor > MOST_MINOR // line.quantity:
            raise Odd
    if not line.quantity and kind == "item_added":
        raise Odd
    product = _text(&texts[PRODUCT_ID])
    variant = _text(&texts[VARIANT_ID])
    line_id = product
    if texts[LINE_ID].size:
        line_id = _text(&texts[LINE_ID])
    elif texts[VARIANT_ID].size:
        line_id = f"{product}:{variant}"
    return (
        line_id,
        product,
        variant,
        _text(&texts[NAME]),
        line.quantity,
        price,
        plain.shop_address(_text(&texts[URL]), order.hosts) if texts[URL].size else "",
        plain.address(_text(&texts[IMAGE_URL])) if texts[IMAGE_URL].size else "",
        _text(&texts[CATEGORY]),
        _text(&texts[BRAND]),
        was_rounded,
    )


cdef bytes _key(Order order, const Span *cart_id):
    cdef Py_ssize_t size = PyBytes_GET_SIZE(order.store_bytes)
    cdef bytes key = PyBytes_FromStringAndSize(NULL, size + 1 + cart_id.size)
    cdef char *at = PyBytes_AS_STRING(key)
    memcpy(at, PyBytes_AS_STRING(order.store_bytes), size)
    at[size] = c":"
    memcpy(at + size + 1, cart_id.at, cart_id.size)
    return key


cdef dict PLAIN_KINDS = {
    kind: KINDS[kind]
    for kind in ("product_viewed", "cart_updated", "item_added", "item_set", "cart_emptied", "checkout_step")
}

# -------------------------------------------------------------------------------------------------------------- ids

cdef const char *DIGITS = "0123456789abcdef"
cdef bytes ROOT = ids.NAMESPACE.bytes


cdef int _source_event(Order order, const Span *own_id, char *named) except -1:
    """As ids.source_event of `carts:id:<own id>`."""
    cdef char basis[LONGEST_BASIS]
    cdef Py_ssize_t size = PyBytes_GET_SIZE(order.event_basis)
    memcpy(basis, PyBytes_AS_STRING(order.event_basis), size)
    size += _decimal(own_id.chars + 9, basis + size)
    memcpy(basis + size, ":carts:id:", 10)
    size += 10
    memcpy(basis + size, own_id.at, own_id.size)  # At most LONGEST_ID characters.
    _version_5(basis, size + own_id.size, named)
    return 0


cdef void _record_of(const char *cause, char *record) noexcept:
    """As ids.record_of a CartActivity."""
    cdef char basis[128]
    memcpy(basis, PyBytes_AS_STRING(ROOT), 16)
    memcpy(basis + 16, "6:record36:", 11)
    memcpy(basis + 27, cause, 36)
    memcpy(basis + 63, "12:CartActivity1:0", 18)
    _version_5(basis, 81, record)


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


cdef void _version_5(char *basis, Py_ssize_t size, char *text) noexcept:
    """UUID version 5 (RFC 9562, 5.5) of bytes that begin with the namespace, in its 36 characters."""
    cdef unsigned char digest[20]
    cdef int index, at = 0
    _sha1(<unsigned char *> basis, size, digest)
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    for index in range(16):
        if index == 4 or index == 6 or index == 8 or index == 10:
            text[at] = c"-"
            at += 1
        text[at] = DIGITS[digest[index] >> 4]
        text[at + 1] = DIGITS[digest[index] & 15]
        at += 2


cdef void _sha1(const unsigned char *data, Py_ssize_t size, unsigned char *digest) noexcept:
    """SHA-1 (FIPS 180-4, 6.1)."""
    cdef uint32_t state[5]
    cdef unsigned char last[128]
    cdef uint64_t bits = <uint64_t> size * 8
    cdef Py_ssize_t rest = size, blocks, index
    state[0], state[1], state[2], state[3], state[4] = 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0
    while rest >= 64:
        _block(state, data)
        data += 64
        rest -= 64
    for index in range(128):
        last[index] = 0
    memcpy(last, data, rest)
    last[rest] = 0x80
    blocks = 1 if rest < 56 else 2
    for index in range(8):
        last[64 * blocks - 1 - index] = <unsigned char> (bits >> (8 * index))
    for index in range(blocks):
        _block(state, last + 64 * index)
    for index in range(20):
        digest[index] = <unsigned char> (state[index // 4] >> (24 - 8 * (index % 4)))


cdef inline uint32_t _turned(uint32_t word, int by) noexcept:
    return word << by | word >> (32 - by)


cdef void _block(uint32_t *state, const unsigned char *data) noexcept:
    cdef uint32_t words[80]
    cdef uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], mixed
    cdef int index
    for index in range(16):
        words[index] = (
            <uint32_t> data[4 * index] << 24 | <uint32_t> data[4 * index + 1] << 16
            | <uint32_t> data[4 * index + 2] << 8 | data[4 * index + 3]
        )  # fmt: skip
    for index in range(16, 80):
        words[index] = _turned(words[index - 3] ^ words[index - 8] ^ words[index - 14] ^ words[index - 16], 1)
    for index in range(80):
        if index < 20:
            mixed = (b & c | ~b & d) + <uint32_t> 0x5A827999
        elif index < 40:
            mixed = (b ^ c ^ d) + <uint32_t> 0x6ED9EBA1
        elif index < 60:
            mixed = (b & c | b & d | c & d) + <uint32_t> 0x8F1BBCDC
        else:
            mixed = (b ^ c ^ d) + <uint32_t> 0xCA62C1D6
        mixed += _turned(a, 5) + e + words[index]
        e, d, c, b, a = d, c, _turned(b, 30), a, mixed
    state[0] += a
    state[1] += b
    state[2] += c
    state[3] += d
    state[4] += e


def version_5(bytes name not None):
    """The id of a name within ids.NAMESPACE, as ids makes it."""
    cdef char text[36]
    cdef bytes basis = ROOT + name
    _version_5(PyBytes_AS_STRING(basis), PyBytes_GET_SIZE(basis), text)
    return PyUnicode_FromStringAndSize(text, 36)

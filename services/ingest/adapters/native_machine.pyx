# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, auto_pickle=False
"""`native_plain` in C: from a body's bytes to those of its events' records, for plain cart events.

The rules of what is plain, and what its record holds, are native_plain's; so are all decisions that are made rarely or of
values that repeat (prices, addresses, times), which are asked for there. Safety rests on two rules: every byte is read
behind a comparison with the end, and what was allocated is held by an object that Cython counts. A text is a span of the
body until it is needed: the body outlives them, since the object that holds the spans holds it.

Here is what reading and writing share, and sealing, which goes from one to the other; one module of C is made of all files.
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


cdef enum:
    # What an event is, in the order of PLAIN_KINDS.
    PRODUCT_VIEWED, CART_UPDATED, ITEM_ADDED, ITEM_SET, CART_EMPTIED, CHECKOUT_STEP, PLAIN_KINDS_COUNT

cdef tuple PLAIN_KINDS = ("product_viewed", "cart_updated", "item_added", "item_set", "cart_emptied", "checkout_step")
cdef tuple RECORD_KINDS = tuple([KINDS[kind] for kind in PLAIN_KINDS])
cdef bytes ROOT = ids.NAMESPACE.bytes
cdef int64_t MOST_QUANTITY = LARGEST_QUANTITY
cdef int64_t MOST_MINOR = LARGEST_MINOR
cdef Py_ssize_t MOST_LINES_OF_ONE = MOST_LINES
cdef Py_ssize_t NO_LIMIT = 1 << 30

include "native_reading.pxi"
include "trolleybus/avro/out.pxi"
include "native_writing.pxi"
include "native_ids.pxi"

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
        identity,
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

"""What is written into a record, and where: each place of its layout is a slot."""

cdef class Order  # Of native_machine.pyx, which comes after this.

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

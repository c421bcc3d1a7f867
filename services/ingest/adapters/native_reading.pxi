"""From a body's bytes to spans of it."""

cdef struct Cursor:
    const char *at
    const char *end


cdef struct Name:
    char text[LONGEST_NAME]
    Py_ssize_t size
    int field
    Py_ssize_t longest  # Characters of its text.


cdef Name EVENT_NAMES[MOST_NAMES]
cdef Name LINE_NAMES[MOST_NAMES]


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

# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, auto_pickle=False
"""Calls the librdkafka that confluent-kafka's wheel brings, by its public C API: no object and no call of Python's for a
single record on its way, nor for its acknowledgement.

The library is in the process already, so nothing is linked and no header of it is needed: prototypes and numbers below are
those of rdkafka.h, whose binary interface is kept within a major version. librdkafka never calls back into here from its
threads; all that it tells is fetched as events.

Safety rests on four rules: every field below is touched only under the interpreter's lock; what librdkafka knows of a batch
of records is the address of a `Batch`, which lives until the last of them has its outcome or the producer is destroyed; a
producer is destroyed only when nobody is within a call (`users`); every size in a parcel is compared with what is there.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, strlen

from confluent_kafka import cimpl

from services.ingest.kafka.seam import NOTHING, Failed, Heard, QueueFull
from trolleybus.envelope import Outgoing

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef extern from "dlfcn.h":
    void *dlopen(const char *path, int mode)
    char *dlerror()
    int RTLD_NOW

cdef extern from *:
    """
    #include <dlfcn.h>
    #include <stddef.h>
    #include <stdint.h>
    #include <sys/types.h>

    typedef struct rd_kafka_s rd_kafka_t;
    typedef struct rd_kafka_conf_s rd_kafka_conf_t;
    typedef struct rd_kafka_topic_s rd_kafka_topic_t;
    typedef struct rd_kafka_topic_conf_s rd_kafka_topic_conf_t;
    typedef struct rd_kafka_queue_s rd_kafka_queue_t;
    typedef struct rd_kafka_op_s rd_kafka_event_t;
    typedef struct rd_kafka_headers_s rd_kafka_headers_t;
    struct rd_kafka_metadata;

    typedef struct rd_kafka_message_s {
        int err;
        rd_kafka_topic_t *rkt;
        int32_t partition;
        void *payload;
        size_t len;
        void *key;
        size_t key_len;
        int64_t offset;
        void *_private;
    } rd_kafka_message_t;

    /* Each function's result, its name without rd_kafka_, its arguments. C's enums are ints here. */
    #define RDK_FUNCTIONS(F) \\
        F(int, version, (void)) \\
        F(const char *, err2str, (int)) \\
        F(int, last_error, (void)) \\
        F(int, fatal_error, (rd_kafka_t *, char *, size_t)) \\
        F(rd_kafka_conf_t *, conf_new, (void)) \\
        F(void, conf_destroy, (rd_kafka_conf_t *)) \\
        F(int, conf_set, (rd_kafka_conf_t *, const char *, const char *, char *, size_t)) \\
        F(void, conf_set_events, (rd_kafka_conf_t *, int)) \\
        F(rd_kafka_t *, new, (int, rd_kafka_conf_t *, char *, size_t)) \\
        F(void, destroy, (rd_kafka_t *)) \\
        F(const char *, name, (const rd_kafka_t *)) \\
        F(rd_kafka_topic_t *, topic_new, (rd_kafka_t *, const char *, rd_kafka_topic_conf_t *)) \\
        F(void, topic_destroy, (rd_kafka_topic_t *)) \\
        F(rd_kafka_queue_t *, queue_get_main, (rd_kafka_t *)) \\
        F(void, queue_destroy, (rd_kafka_queue_t *)) \\
        F(rd_kafka_event_t *, queue_poll, (rd_kafka_queue_t *, int)) \\
        F(void, queue_io_event_enable, (rd_kafka_queue_t *, int, const void *, size_t)) \\
        F(int, set_log_queue, (rd_kafka_t *, rd_kafka_queue_t *)) \\
        F(int, event_type, (const rd_kafka_event_t *)) \\
        F(int, event_error, (rd_kafka_event_t *)) \\
        F(int, event_error_is_fatal, (rd_kafka_event_t *)) \\
        F(int, event_log, (rd_kafka_event_t *, const char **, const char **, int *)) \\
        F(const rd_kafka_message_t *, event_message_next, (rd_kafka_event_t *)) \\
        F(void, event_destroy, (rd_kafka_event_t *)) \\
        F(rd_kafka_headers_t *, headers_new, (size_t)) \\
        F(void, headers_destroy, (rd_kafka_headers_t *)) \\
        F(int, header_add, (rd_kafka_headers_t *, const char *, ssize_t, const void *, ssize_t)) \\
        F(int, producev, (rd_kafka_t *, ...)) \\
        F(int, outq_len, (rd_kafka_t *)) \\
        F(int, purge, (rd_kafka_t *, int)) \\
        F(int, metadata, (rd_kafka_t *, int, rd_kafka_topic_t *, const struct rd_kafka_metadata **, int)) \\
        F(void, metadata_destroy, (const struct rd_kafka_metadata *))

    #define RDK_FIELD(result, name, arguments) result (*name) arguments;
    static struct { RDK_FUNCTIONS(RDK_FIELD) } rdk;

    /* NULL, or the name of a function that the library has not. */
    static const char *rdk_load(void *library) {
    #define RDK_FIND(result, name, arguments) \\
        *(void **)&rdk.name = dlsym(library, "rd_kafka_" #name); \\
        if (!rdk.name) return "rd_kafka_" #name;
        RDK_FUNCTIONS(RDK_FIND)
        return NULL;
    }

    /* rd_kafka_vtype_t, and RD_KAFKA_MSG_F_COPY. */
    enum { RDK_END = 0, RDK_RKT = 2, RDK_VALUE = 4, RDK_KEY = 5, RDK_OPAQUE = 6, RDK_MSGFLAGS = 7, RDK_HEADERS = 10 };
    enum { RDK_COPY = 0x2 };

    /* Key, value and header values are copied; headers become librdkafka's where 0 is returned, else stay the caller's. */
    static int rdk_produce(rd_kafka_t *handle, rd_kafka_topic_t *topic, const void *value, size_t value_size,
                           const void *key, size_t key_size, rd_kafka_headers_t *headers, void *opaque) {
        return rdk.producev(handle, RDK_RKT, topic, RDK_VALUE, (void *)value, value_size, RDK_KEY, (void *)key, key_size,
                            RDK_MSGFLAGS, (int)RDK_COPY, RDK_HEADERS, headers, RDK_OPAQUE, opaque, RDK_END);
    }
    """
    ctypedef struct rd_kafka_t
    ctypedef struct rd_kafka_conf_t
    ctypedef struct rd_kafka_topic_t
    ctypedef struct rd_kafka_topic_conf_t
    ctypedef struct rd_kafka_queue_t
    ctypedef struct rd_kafka_event_t
    ctypedef struct rd_kafka_headers_t
    struct rd_kafka_metadata:
        pass
    ctypedef struct rd_kafka_message_t:
        int err
        void *_private

    const char *rdk_load(void *library)
    int rdk_version "rdk.version" ()
    const char *rdk_err2str "rdk.err2str" (int error)
    int rdk_last_error "rdk.last_error" ()
    int rdk_fatal_error "rdk.fatal_error" (rd_kafka_t *handle, char *text, size_t size)
    rd_kafka_conf_t *rdk_conf_new "rdk.conf_new" ()
    void rdk_conf_destroy "rdk.conf_destroy" (rd_kafka_conf_t *conf)
    int rdk_conf_set "rdk.conf_set" (rd_kafka_conf_t *conf, const char *name, const char *value, char *text, size_t size)
    void rdk_conf_set_events "rdk.conf_set_events" (rd_kafka_conf_t *conf, int events)
    rd_kafka_t *rdk_new "rdk.new" (int kind, rd_kafka_conf_t *conf, char *text, size_t size) nogil
    void rdk_destroy "rdk.destroy" (rd_kafka_t *handle) nogil
    const char *rdk_name "rdk.name" (const rd_kafka_t *handle)
    rd_kafka_topic_t *rdk_topic_new "rdk.topic_new" (rd_kafka_t *handle, const char *name, rd_kafka_topic_conf_t *conf)
    void rdk_topic_destroy "rdk.topic_destroy" (rd_kafka_topic_t *topic)
    rd_kafka_queue_t *rdk_queue_get_main "rdk.queue_get_main" (rd_kafka_t *handle)
    void rdk_queue_destroy "rdk.queue_destroy" (rd_kafka_queue_t *queue)
    rd_kafka_event_t *rdk_queue_poll "rdk.queue_poll" (rd_kafka_queue_t *queue, int timeout_ms)
    void rdk_queue_io_event_enable "rdk.queue_io_event_enable" (
        rd_kafka_queue_t *queue, int fd, const char *written, size_t size)
    int rdk_set_log_queue "rdk.set_log_queue" (rd_kafka_t *handle, rd_kafka_queue_t *queue)
    int rdk_event_type "rdk.event_type" (const rd_kafka_event_t *event)
    int rdk_event_error "rdk.event_error" (rd_kafka_event_t *event)
    bint rdk_event_error_is_fatal "rdk.event_error_is_fatal" (rd_kafka_event_t *event)
    int rdk_event_log "rdk.event_log" (rd_kafka_event_t *event, const char **facility, const char **text, int *level)
    const rd_kafka_message_t *rdk_event_message_next "rdk.event_message_next" (rd_kafka_event_t *event)
    void rdk_event_destroy "rdk.event_destroy" (rd_kafka_event_t *event)
    rd_kafka_headers_t *rdk_headers_new "rdk.headers_new" (size_t count)
    void rdk_headers_destroy "rdk.headers_destroy" (rd_kafka_headers_t *headers)
    int rdk_header_add "rdk.header_add" (
        rd_kafka_headers_t *headers, const char *name, Py_ssize_t name_size, const void *value, Py_ssize_t value_size
    )
    int rdk_produce(
        rd_kafka_t *handle, rd_kafka_topic_t *topic, const void *value, size_t value_size, const void *key, size_t key_size,
        rd_kafka_headers_t *headers, void *opaque
    )
    int rdk_outq_len "rdk.outq_len" (rd_kafka_t *handle)
    int rdk_purge "rdk.purge" (rd_kafka_t *handle, int flags) nogil
    int rdk_metadata "rdk.metadata" (
        rd_kafka_t *handle, int all_topics, rd_kafka_topic_t *topic, const rd_kafka_metadata **found, int timeout_ms
    ) nogil
    void rdk_metadata_destroy "rdk.metadata_destroy" (const rd_kafka_metadata *found) nogil

cdef enum:  # Of rdkafka.h.
    RD_KAFKA_PRODUCER = 0
    RD_KAFKA_CONF_OK = 0
    RD_KAFKA_EVENT_DR = 0x1
    RD_KAFKA_EVENT_LOG = 0x4
    RD_KAFKA_EVENT_ERROR = 0x8
    RD_KAFKA_PURGE_F_QUEUE = 0x1
    RD_KAFKA_PURGE_F_INFLIGHT = 0x2
    RD_KAFKA_PURGE_F_NON_BLOCKING = 0x4
    RD_KAFKA_RESP_ERR__DESTROY = -197
    RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN = -187
    RD_KAFKA_RESP_ERR__QUEUE_FULL = -184
    RD_KAFKA_RESP_ERR__FATAL = -150

    TEXT = 512  # Bytes of room for what librdkafka says.
    SIZES = 3  # Numbers with which a parcel begins.

LEVELS = (50, 50, 50, 40, 30, 20, 20, 10)  # Python's of syslog's, from emergency to debug.


def _load():
    """Raises ImportError where the library that is there is not the one this was written for."""
    library = dlopen(cimpl.__file__.encode(), RTLD_NOW)  # Loaded already; what it depends on is searched too.
    if library == NULL:
        raise ImportError(f"librdkafka cannot be reached through {cimpl.__file__}: {dlerror().decode(errors='replace')}")
    missing = rdk_load(library)
    if missing != NULL:
        raise ImportError(f"the librdkafka of {cimpl.__file__} has no {missing.decode()}")
    if rdk_version() >> 24 != 2:
        raise ImportError(f"the librdkafka of {cimpl.__file__} is version {rdk_version() >> 24}, not 2")


_load()

cdef struct Batch:
    PyObject *token  # A reference of its own; NULL where not all records were taken, so that nobody is told.
    Py_ssize_t left  # Records without an outcome.
    int error  # The first that a record met, else 0.
    Batch *before  # In the list of all of a producer's, which has no order.
    Batch *after


@cython.no_gc  # Tokens in batches are not seen by the collector anyway, and __dealloc__ needs the topics.
cdef class Librdkafka:
    """As seam.Kafka says. The settings are librdkafka's; raises ValueError for one that it does not take."""

    cdef rd_kafka_t *_handle
    cdef rd_kafka_queue_t *queue
    cdef dict topics  # The address of each rd_kafka_topic_t by its name.
    cdef object logger
    cdef Batch *batches
    cdef int users  # Calls under way, in any thread.
    cdef bint is_closed

    def __cinit__(self, settings, logger):
        cdef char text[TEXT]
        cdef rd_kafka_conf_t *conf = rdk_conf_new()
        self.topics, self.logger = {}, logger
        try:
            for name, value in settings.items():
                _set(conf, name, value)
            _set(conf, "log.queue", True)
            rdk_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG)
            with nogil:
                self._handle = rdk_new(RD_KAFKA_PRODUCER, conf, text, TEXT)
            if self._handle == NULL:
                raise ValueError(text.decode(errors="replace"))
            conf = NULL  # The handle's.
        finally:
            if conf != NULL:
                rdk_conf_destroy(conf)
        self.queue = rdk_queue_get_main(self._handle)
        _check(rdk_set_log_queue(self._handle, NULL))  # NULL is the main one.

    def __dealloc__(self):
        self._destroy()

    def __len__(self):
        if self.is_closed:
            raise RuntimeError("this producer is closed")
        return rdk_outq_len(self._handle)

    @property
    def handle(self):
        """The address of librdkafka's own, for what has no method here, like a test that injects an error."""
        return <size_t> self._handle

    def hand_over(self, records, token):
        cdef tuple given = tuple(records)
        cdef Py_ssize_t taken = 0
        cdef Batch *batch
        if not given:
            raise ValueError("there is no record to hand over")
        self._enter()
        try:
            batch = self._begin(token, len(given))
            try:
                for record in given:
                    self._give(record, batch)
                    taken += 1
            finally:
                if taken < len(given):
                    self._disown(batch, len(given) - taken)
        finally:
            self._leave()

    def heard(self):
        cdef rd_kafka_event_t *event
        cdef list settled = []
        cdef list lines = []
        cdef int kind
        cdef bint all_down = False
        fatal = None
        self._enter()
        try:
            while True:
                event = rdk_queue_poll(self.queue, 0)
                if event == NULL:
                    break
                try:
                    kind = rdk_event_type(event)
                    if kind == RD_KAFKA_EVENT_DR:
                        self._settle(event, settled)
                    elif kind == RD_KAFKA_EVENT_LOG:
                        self._read(event, lines)
                    elif kind == RD_KAFKA_EVENT_ERROR:
                        if rdk_event_error_is_fatal(event):  # Its code is that of the cause.
                            fatal = self._fatal()
                        elif rdk_event_error(event) == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
                            all_down = True
                finally:
                    rdk_event_destroy(event)
        finally:
            self._leave()
        for line in lines:
            self.logger.log(*line)
        if not settled and fatal is None and not all_down:
            return NOTHING
        return Heard(settled, fatal, all_down)

    def wake(self, int fd):
        self._enter()
        try:
            rdk_queue_io_event_enable(self.queue, fd, b"\0", 1)
        finally:
            self._leave()

    def purge(self):
        cdef int error
        self._enter()
        try:
            with nogil:
                error = rdk_purge(
                    self._handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING
                )
        finally:
            self._leave()
        _check(error)

    def ask(self, double timeout_s):
        cdef const rd_kafka_metadata *found = NULL
        cdef int timeout_ms = <int> (timeout_s * 1000)
        cdef int error
        if self.is_closed:
            raise Failed(RD_KAFKA_RESP_ERR__DESTROY, "the producer is closed", is_fatal=False)
        self._enter()
        try:
            with nogil:
                error = rdk_metadata(self._handle, 1, NULL, &found, timeout_ms)
                if found != NULL:
                    rdk_metadata_destroy(found)
        finally:
            self._leave()
        _check(error)

    def close(self):
        self.is_closed = True
        if not self.users:
            self._destroy()

    cdef int _enter(self) except -1:
        if self.is_closed:
            raise RuntimeError("this producer is closed")
        self.users += 1
        return 0

    cdef void _leave(self):
        self.users -= 1
        if self.is_closed and not self.users:
            self._destroy()

    cdef void _destroy(self):
        cdef rd_kafka_t *handle = self._handle
        if handle == NULL:
            return
        self._handle, self.is_closed = NULL, True
        for address in self.topics.values():
            rdk_topic_destroy(<rd_kafka_topic_t *> <size_t> address)
        if self.queue != NULL:
            rdk_queue_destroy(self.queue)
        with nogil:
            rdk_destroy(handle)
        while self.batches != NULL:  # Of what was never heard; nothing knows them now.
            self._end(self.batches)

    cdef Batch *_begin(self, token, Py_ssize_t records) except NULL:
        cdef Batch *batch = <Batch *> PyMem_Malloc(sizeof(Batch))
        if batch == NULL:
            raise MemoryError
        Py_INCREF(token)
        batch.token, batch.left, batch.error = <PyObject *> token, records, 0
        batch.before, batch.after = NULL, self.batches
        if self.batches != NULL:
            self.batches.before = batch
        self.batches = batch
        return batch

    cdef void _end(self, Batch *batch):
        """Its token's reference is given up; who still needs the token holds one."""
        token = batch.token
        if batch.before != NULL:
            batch.before.after = batch.after
        else:
            self.batches = batch.after
        if batch.after != NULL:
            batch.after.before = batch.before
        PyMem_Free(batch)
        if token != NULL:
            Py_DECREF(<object> token)  # Last: this may run anything.

    cdef void _disown(self, Batch *batch, Py_ssize_t untaken):
        """Nobody is told of this batch; it lives until those of its records that were taken have their outcome."""
        token = <object> batch.token
        Py_DECREF(token)
        batch.token = NULL
        batch.left -= untaken
        if not batch.left:
            self._end(batch)

    cdef int _settle(self, rd_kafka_event_t *event, list settled) except -1:
        cdef const rd_kafka_message_t *message
        cdef Batch *batch
        while True:
            message = rdk_event_message_next(event)
            if message == NULL:
                return 0
            batch = <Batch *> message._private
            batch.left -= 1
            if message.err and not batch.error:
                batch.error = message.err
            if batch.left:
                continue
            if batch.token != NULL:
                settled.append((<object> batch.token, _said(rdk_err2str(batch.error)) if batch.error else None))
            self._end(batch)

    cdef int _read(self, rd_kafka_event_t *event, list lines) except -1:
        """What it logs, as arguments of a logger's."""
        cdef const char *facility = NULL
        cdef const char *text = NULL
        cdef int level = 0
        if rdk_event_log(event, &facility, &text, &level) == 0:
            name = _said(rdk_name(self._handle))
            lines.append((LEVELS[min(max(level, 0), 7)], "%s [%s] %s", _said(facility), name, _said(text)))
        return 0

    cdef str _fatal(self):
        cdef char text[TEXT]
        text[0] = 0
        rdk_fatal_error(self._handle, text, TEXT)
        return _said(text)

    cdef int _give(self, record, Batch *batch) except -1:
        cdef rd_kafka_topic_t *topic = self._topic(record.topic)
        if type(record) is not Outgoing:
            parcel = getattr(record, "parcel", None)
            if PyBytes_CheckExact(parcel):
                return self._give_parcel(topic, parcel, batch)
        return self._give_parts(topic, record.value, record.key, record.headers, batch)

    cdef rd_kafka_topic_t *_topic(self, name) except NULL:
        cdef rd_kafka_topic_t *topic
        cdef const char *text
        cdef Py_ssize_t size
        address = self.topics.get(name)
        if address is not None:
            return <rd_kafka_topic_t *> <size_t> address
        text = PyUnicode_AsUTF8AndSize(name, &size)
        if <Py_ssize_t> strlen(text) != size:
            raise ValueError("a topic's name has a zero in it")
        topic = rdk_topic_new(self._handle, text, NULL)
        if topic == NULL:
            _check(rdk_last_error())
            raise ValueError(f"{name!r} is no topic's name")
        self.topics[name] = <size_t> topic
        return topic

    cdef int _give_parts(self, rd_kafka_topic_t *topic, value, key, pairs, Batch *batch) except -1:
        cdef rd_kafka_headers_t *headers
        cdef const char *value_at
        cdef const char *key_at
        cdef const char *name_at
        cdef const char *text_at
        cdef Py_ssize_t value_size, key_size, name_size, text_size
        value_at = _bytes(value, &value_size)
        key_at = _bytes(key, &key_size)
        headers = rdk_headers_new(len(pairs))
        try:
            for name, text in pairs:
                name_at = PyUnicode_AsUTF8AndSize(name, &name_size)
                text_at = _bytes(text, &text_size)
                rdk_header_add(headers, name_at, name_size, text_at, text_size)
        except BaseException:
            rdk_headers_destroy(headers)
            raise
        return self._produce(topic, value_at, value_size, key_at, key_size, headers, batch)

    cdef int _give_parcel(self, rd_kafka_topic_t *topic, bytes parcel, Batch *batch) except -1:
        cdef const char *start = PyBytes_AS_STRING(parcel)
        cdef uint64_t size = PyBytes_GET_SIZE(parcel)
        cdef uint32_t first[SIZES]
        cdef uint32_t pair[2]
        cdef uint64_t left, index
        cdef const char *sizes
        cdef const char *at
        cdef const char *value
        cdef const char *key
        cdef rd_kafka_headers_t *headers
        if size < sizeof(first):
            raise ValueError("a parcel ends within its sizes")
        memcpy(first, start, sizeof(first))
        left = size - sizeof(first)
        if left < first[2] * <uint64_t> sizeof(pair):
            raise ValueError("a parcel ends within its sizes")
        left -= first[2] * <uint64_t> sizeof(pair)
        sizes = start + sizeof(first)
        if not _holds(sizes, first, left):
            raise ValueError("a parcel's sizes are not those of its bytes")
        value = sizes + first[2] * <uint64_t> sizeof(pair)
        key = value + first[0]
        at = key + first[1]
        headers = rdk_headers_new(first[2])
        for index in range(first[2]):
            memcpy(pair, sizes + index * sizeof(pair), sizeof(pair))
            rdk_header_add(headers, at, pair[0], at + pair[0], pair[1])
            at += <uint64_t> pair[0] + pair[1]
        return self._produce(topic, value, first[0], key, first[1], headers, batch)

    cdef int _produce(
        self, rd_kafka_topic_t *topic, const char *value, Py_ssize_t value_size, const char *key, Py_ssize_t key_size,
        rd_kafka_headers_t *headers, Batch *batch
    ) except -1:  # fmt: skip
        """Takes over the headers."""
        cdef int error = rdk_produce(self._handle, topic, value, value_size, key, key_size, headers, batch)
        if not error:
            return 0
        rdk_headers_destroy(headers)
        if error == RD_KAFKA_RESP_ERR__QUEUE_FULL:
            raise QueueFull("librdkafka's queue is full")
        if error == RD_KAFKA_RESP_ERR__FATAL:
            raise Failed(error, self._fatal(), is_fatal=True)
        raise Failed(error, _said(rdk_err2str(error)), is_fatal=False)


cdef bint _holds(const char *sizes, const uint32_t *first, uint64_t left) noexcept:
    """Whether a parcel's value, key and headers take just the bytes that are left behind its sizes."""
    cdef uint32_t pair[2]
    cdef uint64_t index
    cdef uint64_t wanted = <uint64_t> first[0] + first[1]
    for index in range(first[2]):
        memcpy(pair, sizes + index * sizeof(pair), sizeof(pair))
        wanted += <uint64_t> pair[0] + pair[1]
        if wanted > left:
            return False  # Here, so that no sum is too large for its type.
    return wanted == left


cdef const char *_bytes(value, Py_ssize_t *size) except? NULL:
    """NULL for None, which Kafka tells from what is empty."""
    if value is None:
        size[0] = 0
        return NULL
    if not PyBytes_CheckExact(value):
        raise TypeError(f"a record is made of bytes, not of {type(value).__name__}")
    size[0] = PyBytes_GET_SIZE(value)
    return PyBytes_AS_STRING(value)


cdef int _set(rd_kafka_conf_t *conf, str name, value) except -1:
    cdef char text[TEXT]
    written = str(value).lower() if isinstance(value, bool) else str(value)
    if rdk_conf_set(conf, name.encode(), written.encode(), text, TEXT) != RD_KAFKA_CONF_OK:
        raise ValueError(_said(text))
    return 0


cdef int _check(int error) except -1:
    """Raises Failed where there is an error."""
    if error:
        raise Failed(error, _said(rdk_err2str(error)), is_fatal=False)
    return 0


cdef str _said(const char *text):
    return text.decode(errors="replace") if text != NULL else ""

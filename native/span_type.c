/* The Span type: OpenTelemetry's span, whose every call is a record in the ring. It keeps ids, flags and its name, nothing else. */
#include <Python.h>
#include <structmember.h>

#include "governor.h"
#include "span_type.h"

#define DESCRIPTION_ROOM 1000
#define TYPE_ROOM 200
enum { STATUS_UNSET, STATUS_OK, STATUS_ERROR };

static PyObject *context_factory;
static PyObject *name_status_code, *name_description, *name_value;

static Signature ATTRIBUTE = {.names = {"key", "value"}};
static Signature ATTRIBUTES = {.names = {"attributes"}};
static Signature EVENT = {.names = {"name", "attributes", "timestamp"}};
static Signature LINK = {.names = {"trace_id", "span_id", "attributes"}};
static Signature STATUS = {.names = {"status", "description"}};
static Signature NAME = {.names = {"name"}};
static Signature EXCEPTION = {.names = {"exception", "attributes", "timestamp", "escaped"}};
static Signature END = {.names = {"end_time"}};

void span_context_factory(PyObject *callable) { Py_XSETREF(context_factory, callable == Py_None ? NULL : Py_NewRef(callable)); }

/* -- records -- */

static void put_status(Span *span, uint8_t code, PyObject *description, const char *text, size_t n)
{
    Out out;
    span->status = code;
    if (span_begin(span, &out, REC_SPAN_STATUS)) {
        put_raw(&out, span->context.span_id, 8);
        put_u8(&out, code);
        if (text) {
            put_str(&out, text, n);
        } else {
            put_text(&out, description, DESCRIPTION_ROOM);
        }
        ring_commit(&out);
    }
}

static void put_end(Span *span, uint64_t end_ns)
{
    Out out;
    span->ended = 1;
    if (span_begin(span, &out, REC_SPAN_END)) {
        put_varint(&out, ring_dt());
        put_raw(&out, span->context.span_id, 8);
        put_varint(&out, end_ns);
        ring_commit(&out);
        governor_span(span->kind, span->templated);
    }
}

void span_finish(Span *span)
{
    if (!span->ended) {
        put_end(span, 0);
    }
}

static void span_dealloc(Span *span)
{
    Py_XDECREF(span->name);
    Py_XDECREF(span->trace_state);
    PyObject_Free(span);
}

/* -- OpenTelemetry's methods: none raises, none does anything once the span has ended -- */

#define METHOD(function) static PyObject *function(Span *span, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)

METHOD(set_attribute)
{
    PyObject *given[ARGS_MAX];
    Out out;
    read_args(&ATTRIBUTE, args, nargs, kwnames, given);
    if (!given[0] || !PyUnicode_Check(given[0]) || !given[1]) {
        refuse();
    } else if (!span->ended && span_begin(span, &out, REC_SPAN_ATTR)) {
        put_raw(&out, span->context.span_id, 8);
        put_varint(&out, 1);
        put_attribute(&out, given[0], given[1], out_left(&out));
        ring_commit(&out);
    }
    Py_RETURN_NONE;
}

METHOD(set_attributes)
{
    PyObject *given[ARGS_MAX];
    read_args(&ATTRIBUTES, args, nargs, kwnames, given);
    if (!span->ended) {
        Attributes attributes = attributes_open(given[0]);
        span_put_attributes(span, &attributes);
        attributes_close(&attributes);
    }
    Py_RETURN_NONE;
}

void span_set(Span *span, PyObject *const *pairs, Py_ssize_t count)
{
    Attributes attributes = {.pairs = pairs, .left = count};
    if (!span->ended) {
        span_put_attributes(span, &attributes);
    }
}

METHOD(add_event)
{
    PyObject *given[ARGS_MAX];
    Out out;
    read_args(&EVENT, args, nargs, kwnames, given);
    uint64_t ns = read_ns(given[2]);
    Attributes attributes = attributes_open(given[1]);
    if (!span->ended && span_begin(span, &out, REC_SPAN_EVENT)) {
        put_varint(&out, ring_dt());
        put_raw(&out, span->context.span_id, 8);
        put_varint(&out, ns);
        put_text(&out, given[0], SPAN_NAME_ROOM);
        put_attributes(&out, &attributes);
        ring_commit(&out);
    }
    attributes_close(&attributes);
    Py_RETURN_NONE;
}

METHOD(add_link)
{
    PyObject *given[ARGS_MAX];
    uint8_t trace_id[16], span_id[8];
    read_args(&LINK, args, nargs, kwnames, given);
    int by_context = given[0] && !PyLong_Check(given[0]); /* add_link(context, attributes) */
    if (!span->ended && span_read_link(given[0], given[1], trace_id, span_id)) {
        span_put_link(span, trace_id, span_id, by_context && !given[2] ? given[1] : given[2]);
    }
    Py_RETURN_NONE;
}

/* A code from an int, an enum member with .value, or an object with .status_code; `description` (new reference) from its .description. */
static int read_status(PyObject *status, PyObject **description)
{
    if (!status || PyLong_Check(status)) {
        return read_int(status, -1);
    }
    PyObject *code = PyObject_GetAttr(status, name_status_code);
    if (code) {
        *description = PyObject_GetAttr(status, name_description);
    } else {
        code = Py_NewRef(status);
    }
    PyErr_Clear();
    PyObject *value = PyLong_Check(code) ? Py_NewRef(code) : PyObject_GetAttr(code, name_value);
    PyErr_Clear();
    int result = value ? read_int(value, -1) : -1;
    Py_XDECREF(value);
    Py_DECREF(code);
    return result;
}

METHOD(set_status)
{
    PyObject *given[ARGS_MAX], *description = NULL;
    read_args(&STATUS, args, nargs, kwnames, given);
    int code = read_status(given[0], &description);
    if (code < STATUS_UNSET || code > STATUS_ERROR) {
        refuse();
    } else if (!span->ended && code != STATUS_UNSET && span->status != STATUS_OK) { /* OK is final, UNSET is ignored: the OTel specification */
        PyObject *text = given[1] && given[1] != Py_None ? given[1] : description;
        put_status(span, (uint8_t)code, code == STATUS_ERROR ? text : NULL, NULL, 0);
    }
    Py_XDECREF(description);
    Py_RETURN_NONE;
}

void span_rename(Span *span, PyObject *name)
{
    Out out;
    if (span->ended) {
        return;
    }
    Py_SETREF(span->name, read_str(name));
    if (span_begin(span, &out, REC_SPAN_NAME)) {
        put_raw(&out, span->context.span_id, 8);
        put_text(&out, span->name, SPAN_NAME_ROOM);
        ring_commit(&out);
    }
}

void span_set_error(Span *span)
{
    if (!span->ended && span->status != STATUS_OK) {
        put_status(span, STATUS_ERROR, NULL, NULL, 0);
    }
}

METHOD(update_name)
{
    PyObject *given[ARGS_MAX];
    read_args(&NAME, args, nargs, kwnames, given);
    if (!given[0] || !PyUnicode_Check(given[0])) {
        refuse();
    } else {
        span_rename(span, given[0]);
    }
    Py_RETURN_NONE;
}

/* The only argument of an exception when that is a str, else its arguments; "" without any. */
static PyObject *exception_message(PyObject *exception)
{
    PyObject *args = ((PyBaseExceptionObject *)exception)->args;
    return args && PyTuple_Check(args) && PyTuple_GET_SIZE(args) == 1 ? PyTuple_GET_ITEM(args, 0) : args;
}

static void put_exception(Span *span, PyObject *exception, Attributes *attributes, uint64_t ns)
{
    static const Caps MESSAGE = {.depth = 2, .items = 16, .fields = 0, .text = 2048};
    char type[TYPE_ROOM];
    Out out;
    if (!span_begin(span, &out, REC_SPAN_EVENT)) {
        return;
    }
    PyObject *message = exception_message(exception);
    put_varint(&out, ring_dt());
    put_raw(&out, span->context.span_id, 8);
    put_varint(&out, ns);
    put_str(&out, "exception", 9);
    uint8_t *count = open_count(&out);
    put_str(&out, "exception.type", 14);
    value_write_utf8(&out, type, value_type_name(type, sizeof type, Py_TYPE(exception)));
    put_str(&out, "exception.message", 17);
    if (message && !(PyTuple_Check(message) && PyTuple_GET_SIZE(message) == 0)) {
        value_write(&out, message, &MESSAGE, out_left(&out) / 2);
    } else {
        value_write_utf8(&out, "", 0);
    }
    *count = 2;
    put_attributes_counted(&out, attributes, count);
    ring_commit(&out);
}

void span_note_exception(Span *span, PyObject *exception)
{
    Attributes none = {0};
    if (!span->ended) {
        put_exception(span, exception, &none, 0);
    }
}

METHOD(record_exception)
{
    PyObject *given[ARGS_MAX];
    read_args(&EXCEPTION, args, nargs, kwnames, given);
    if (!given[0] || !PyType_HasFeature(Py_TYPE(given[0]), Py_TPFLAGS_BASE_EXC_SUBCLASS)) {
        refuse();
    } else if (!span->ended) {
        uint64_t ns = read_ns(given[2]);
        Attributes attributes = attributes_open(given[1]);
        put_exception(span, given[0], &attributes, ns);
        attributes_close(&attributes);
    }
    Py_RETURN_NONE;
}

METHOD(end)
{
    PyObject *given[ARGS_MAX];
    read_args(&END, args, nargs, kwnames, given);
    if (!span->ended) {
        put_end(span, read_ns(given[0]));
    }
    Py_RETURN_NONE;
}

static PyObject *is_recording(Span *span, PyObject *unused) { return PyBool_FromLong(span->ring && span->ring == at_ring.opened && !span->ended); }

static char *put_hex(char *to, const uint8_t *bytes, size_t n)
{
    static const char DIGITS[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        *to++ = DIGITS[bytes[i] >> 4];
        *to++ = DIGITS[bytes[i] & 15];
    }
    return to;
}

static PyObject *traceparent(Span *span, PyObject *unused)
{
    char text[55] = "00-";
    char *at = put_hex(text + 3, span->context.trace_id, 16);
    *at++ = '-';
    at = put_hex(at, span->context.span_id, 8);
    *at++ = '-';
    put_hex(at, &span->context.flags, 1);
    return PyUnicode_FromStringAndSize(text, sizeof text);
}

static PyObject *get_span_context(Span *span, PyObject *unused)
{
    PyObject *result = context_factory ? PyObject_CallOneArg(context_factory, (PyObject *)span) : NULL;
    if (!result) {
        refuse();
        Py_RETURN_NONE;
    }
    return result;
}

static PyObject *enter(Span *span, PyObject *unused) { return Py_NewRef(span); }

/* "Type: message", as OpenTelemetry's SDK describes the status; the message only where it is a plain str. */
static void put_exception_status(Span *span, PyObject *exception)
{
    char text[DESCRIPTION_ROOM];
    size_t n = value_type_name(text, TYPE_ROOM, Py_TYPE(exception));
    PyObject *message = exception_message(exception);
    if (message && PyUnicode_CheckExact(message)) {
        text[n++] = ':';
        text[n++] = ' ';
        n += utf8_prefix((uint8_t *)text + n, sizeof text - n, message);
    }
    put_status(span, STATUS_ERROR, NULL, text, n);
}

void span_end(Span *span, PyObject *exception)
{
    if (span->ended) {
        return;
    }
    if (exception) {
        span_note_exception(span, exception);
        if (span->status != STATUS_OK) {
            put_exception_status(span, exception);
        }
    }
    put_end(span, 0);
}

static PyObject *leave(Span *span, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *exception = nargs > 1 ? args[1] : NULL;
    span_end(span, exception && PyExceptionInstance_Check(exception) ? exception : NULL);
    Py_RETURN_FALSE;
}

/* -- the type -- */

static PyObject *get_trace_id(Span *span, void *unused) { return _PyLong_FromByteArray(span->context.trace_id, 16, 0, 0); }
static PyObject *get_span_id(Span *span, void *unused) { return _PyLong_FromByteArray(span->context.span_id, 8, 0, 0); }
static PyObject *get_parent_id(Span *span, void *unused) { return _PyLong_FromByteArray(span->parent_id, 8, 0, 0); }

static PyGetSetDef GETTERS[] = {
    {"trace_id", (getter)get_trace_id, NULL, "The trace's id, 128 bits.", NULL},
    {"span_id", (getter)get_span_id, NULL, "The span's id, 64 bits.", NULL},
    {"parent_id", (getter)get_parent_id, NULL, "The parent's span id; 0: none.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef MEMBERS[] = {
    {"trace_flags", Py_T_UBYTE, offsetof(Span, context.flags), Py_READONLY, "W3C trace flags."},
    {"trace_state", Py_T_OBJECT_EX, offsetof(Span, trace_state), Py_READONLY, "W3C tracestate as received."},
    {"name", Py_T_OBJECT_EX, offsetof(Span, name), Py_READONLY, "The span's name."},
    {"kind", Py_T_UBYTE, offsetof(Span, kind), Py_READONLY, "OTLP span kind."},
    {"parent_is_remote", Py_T_BOOL, offsetof(Span, parent_is_remote), Py_READONLY, "The parent is in another process."},
    {"ended", Py_T_BOOL, offsetof(Span, ended), Py_READONLY, "end() was called."},
    {NULL, 0, 0, 0, NULL},
};

#define FAST(name, doc) {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL | METH_KEYWORDS, doc}

static PyMethodDef METHODS[] = {
    FAST(set_attribute, "Sets one attribute."),
    FAST(set_attributes, "Sets attributes."),
    FAST(add_event, "Adds an event."),
    FAST(add_link, "Adds a link: (trace_id, span_id, attributes), or (context, attributes)."),
    FAST(set_status, "Sets the status: 0 unset, 1 ok, 2 error, or OpenTelemetry's StatusCode or Status."),
    FAST(update_name, "Renames the span."),
    FAST(record_exception, "Adds an `exception` event."),
    FAST(end, "Ends the span."),
    {"is_recording", (PyCFunction)is_recording, METH_NOARGS, "It is in the ring and has not ended."},
    {"traceparent", (PyCFunction)traceparent, METH_NOARGS, "The W3C traceparent header."},
    {"get_span_context", (PyCFunction)get_span_context, METH_NOARGS, "OpenTelemetry's SpanContext, made by the factory."},
    {"__enter__", (PyCFunction)enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))leave, METH_FASTCALL, "Records the exception, if any, and ends the span."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject SpanType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "aftertrace._native.Span",
    .tp_basicsize = sizeof(Span),
    .tp_dealloc = (destructor)span_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "A native span: writes straight into the ring, keeps only its ids.",
    .tp_methods = METHODS,
    .tp_members = MEMBERS,
    .tp_getset = GETTERS,
    .tp_new = span_new,
    .tp_vectorcall = span_vectorcall,
};

int span_type_init(void)
{
    Signature *signatures[] = {&ATTRIBUTE, &ATTRIBUTES, &EVENT, &LINK, &STATUS, &NAME, &EXCEPTION, &END};
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        if (signature_init(signatures[i]) < 0) {
            return -1;
        }
    }
    name_status_code = PyUnicode_InternFromString("status_code");
    name_description = PyUnicode_InternFromString("description");
    name_value = PyUnicode_InternFromString("value");
    if (!name_status_code || !name_description || !name_value || span_birth_init() < 0) {
        return -1;
    }
    return PyType_Ready(&SpanType);
}

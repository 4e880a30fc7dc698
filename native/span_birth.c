/* How a span is born: its ids, its parent, its links; what its constructor writes. */
#include <Python.h>

#include "ids.h"
#include "redact.h"
#include "template.h"

#define FLAG_SAMPLED 1
#define FLAG_RANDOM 2 /* level 2: the last 7 bytes of the trace id were drawn at random */

static uint64_t last_serial;
static PyObject *name_trace_id, *name_span_id;

static Signature NEW = {.names = {"name", "kind", "parent", "attributes", "links", "start_time", "scope", "context"}};

int span_birth_init(void)
{
    name_trace_id = PyUnicode_InternFromString("trace_id");
    name_span_id = PyUnicode_InternFromString("span_id");
    return name_trace_id && name_span_id ? signature_init(&NEW) : -1;
}

/* -- records -- */

void span_put_attributes(Span *span, Attributes *attributes)
{
    Out out;
    while (attributes->left && span_begin(span, &out, REC_SPAN_ATTR)) {
        Py_ssize_t before = attributes->left;
        put_raw(&out, span->context.span_id, 8);
        put_attributes(&out, attributes);
        ring_commit(&out);
        if (attributes->left == before) {
            return;
        }
    }
}

static int begin_start(Span *span, Out *out, uint64_t start_ns)
{
    if (!span_begin(span, out, REC_SPAN_START)) {
        return 0;
    }
    put_varint(out, ring_dt());
    put_raw(out, span->context.span_id, 8);
    put_raw(out, span->context.trace_id, 16);
    put_raw(out, span->parent_id, 8);
    put_u8(out, span->kind);
    put_u8(out, span->context.flags);
    put_u8(out, span->parent_is_remote);
    put_varint(out, start_ns);
    return 1;
}

/* What was written before other names became sensitive is not shown. */
static int may_be_shown(const Template *template) { return template && template->redaction == redact_number; }

static void put_template(Out *out, const Template *template, const Template *base)
{
    const Template *parts[] = {template, base};
    unsigned count = 0;
    put_raw(out, template->data, template->head);
    for (int i = 0; i < 2; i++) {
        count += may_be_shown(parts[i]) ? parts[i]->count : 0;
    }
    put_u8(out, (uint8_t)count);
    for (int i = 0; i < 2; i++) {
        if (may_be_shown(parts[i])) {
            put_raw(out, parts[i]->data + parts[i]->head, (size_t)Py_SIZE(parts[i]) - parts[i]->head);
        }
    }
    put_varint(out, 0); /* links */
}

static int put_start(Span *span, Attributes *attributes, uint64_t start_ns, PyObject *scope)
{
    Out out;
    if (!begin_start(span, &out, start_ns)) {
        return 0;
    }
    put_text(&out, span->name, SPAN_NAME_ROOM);
    put_text(&out, scope, SPAN_SCOPE_ROOM);
    out.end--; /* the count of links, which follow as records of their own */
    put_attributes(&out, attributes);
    out.end++;
    put_varint(&out, 0);
    ring_commit(&out);
    span_put_attributes(span, attributes);
    return 1;
}

void span_put_link(Span *span, const uint8_t trace_id[16], const uint8_t span_id[8], PyObject *mapping)
{
    Out out;
    Attributes attributes = attributes_open(mapping);
    if (span_begin(span, &out, REC_SPAN_LINK)) {
        put_raw(&out, span->context.span_id, 8);
        put_raw(&out, trace_id, 16);
        put_raw(&out, span_id, 8);
        put_attributes(&out, &attributes);
        ring_commit(&out);
    }
    attributes_close(&attributes);
}

/* -- links -- */

int span_read_link(PyObject *first, PyObject *second, uint8_t trace_id[16], uint8_t span_id[8])
{
    PyObject *trace = NULL, *span = NULL;
    if (first && !PyLong_Check(first)) {
        trace = PyObject_GetAttr(first, name_trace_id);
        span = trace ? PyObject_GetAttr(first, name_span_id) : NULL;
        PyErr_Clear();
        first = trace;
        second = span;
    }
    int ok = read_id(first, trace_id, 16) && read_id(second, span_id, 8);
    Py_XDECREF(trace);
    Py_XDECREF(span);
    if (!ok) {
        refuse();
    }
    return ok;
}

static void put_links(Span *span, PyObject *links)
{
    uint8_t trace_id[16], span_id[8];
    if (!links || links == Py_None) {
        return;
    }
    PyObject *items = PySequence_Tuple(links);
    if (!items) {
        refuse();
        return;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items); i++) {
        PyObject *link = PyTuple_GET_ITEM(items, i);
        if (!PyTuple_Check(link) || PyTuple_GET_SIZE(link) != 3) {
            refuse();
        } else if (span_read_link(PyTuple_GET_ITEM(link, 0), PyTuple_GET_ITEM(link, 1), trace_id, span_id)) {
            span_put_link(span, trace_id, span_id, PyTuple_GET_ITEM(link, 2));
        }
    }
    Py_DECREF(items);
}

/* -- ids and parents -- */

static void fresh_id(uint8_t *to, size_t size)
{
    for (size_t i = 0; i < size; i += 8) {
        uint64_t id = ids_next();
        memcpy(to + i, &id, 8);
    }
}

static int is_zero(const uint8_t *id, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (id[i]) {
            return 0;
        }
    }
    return 1;
}

static void child_of(Span *span, const Span *parent)
{
    memcpy(span->context.trace_id, parent->context.trace_id, 16);
    memcpy(span->parent_id, parent->context.span_id, 8);
    span->context.flags = parent->context.flags;
    span->trace_state = Py_NewRef(parent->trace_state);
}

static void root(Span *span, uint8_t flags)
{
    fresh_id(span->context.trace_id, 16);
    span->context.flags = flags | FLAG_RANDOM;
}

/* (trace id, span id, flags, tracestate) as received. A trace id of 0 begins a trace with those flags. */
static int remote_child(Span *span, PyObject *parent)
{
    if (!PyTuple_Check(parent) || PyTuple_GET_SIZE(parent) != 4) {
        return 0;
    }
    if (!read_id(PyTuple_GET_ITEM(parent, 0), span->context.trace_id, 16) || !read_id(PyTuple_GET_ITEM(parent, 1), span->parent_id, 8)) {
        return 0;
    }
    uint8_t flags = (uint8_t)read_int(PyTuple_GET_ITEM(parent, 2), FLAG_SAMPLED);
    if (is_zero(span->context.trace_id, 16) || is_zero(span->parent_id, 8)) {
        memset(span->parent_id, 0, 8);
        root(span, flags);
    } else {
        span->context.flags = flags;
        span->parent_is_remote = 1;
    }
    span->trace_state = read_str(PyTuple_GET_ITEM(parent, 3));
    return 1;
}

static void set_parent(Span *span, PyObject *parent)
{
    if (parent && parent != Py_None && Py_TYPE(parent) != &SpanType) {
        if (remote_child(span, parent)) {
            return;
        }
        refuse();
        memset(span->parent_id, 0, 8);
        parent = NULL;
    }
    Span *local = parent == Py_None ? NULL : parent ? (Span *)parent : span_current();
    if (local) {
        child_of(span, local);
    } else {
        root(span, FLAG_SAMPLED);
    }
}

/* (trace id, span id, flags, tracestate) that the span has elsewhere already. A parent of another trace is none. */
static void take_identity(Span *span, PyObject *context)
{
    uint8_t trace_id[16], span_id[8];
    if (!PyTuple_Check(context) || PyTuple_GET_SIZE(context) != 4 || !read_id(PyTuple_GET_ITEM(context, 0), trace_id, 16)
        || !read_id(PyTuple_GET_ITEM(context, 1), span_id, 8) || is_zero(trace_id, 16) || is_zero(span_id, 8)) {
        refuse();
        return;
    }
    if (memcmp(trace_id, span->context.trace_id, 16)) {
        memset(span->parent_id, 0, 8);
        span->parent_is_remote = 0;
    }
    memcpy(span->context.trace_id, trace_id, 16);
    memcpy(span->context.span_id, span_id, 8);
    span->context.flags = (uint8_t)read_int(PyTuple_GET_ITEM(context, 2), FLAG_SAMPLED);
    Py_XSETREF(span->trace_state, read_str(PyTuple_GET_ITEM(context, 3)));
}

static Span *span_alone(void)
{
    Span *span = PyObject_New(Span, &SpanType);
    if (span) {
        memset((char *)span + sizeof(PyObject), 0, sizeof(Span) - sizeof(PyObject));
        span->context.serial = ++last_serial;
        fresh_id(span->context.span_id, 8);
    }
    return span;
}

Span *span_born(const Template *template, const Template *base, const Span *parent)
{
    Out out;
    Span *span = span_alone();
    if (span) {
        span->name = Py_NewRef(template->name);
        span->kind = template->kind;
        span->templated = 1;
        child_of(span, parent);
        span->ring = at_ring.opened;
        if (begin_start(span, &out, 0)) {
            put_template(&out, template, base);
            ring_commit(&out);
        } else {
            span->ring = 0;
        }
    }
    return span;
}

static Span *fresh(PyObject *name, int kind)
{
    Span *span = span_alone();
    if (span) {
        span->name = read_str(name);
        span->kind = (uint8_t)kind;
    }
    return span;
}

static void started(Span *span, Attributes *attributes, uint64_t start_ns, PyObject *scope)
{
    if (!span->trace_state) {
        span->trace_state = read_str(NULL);
    }
    span->ring = at_ring.opened;
    if (!put_start(span, attributes, start_ns, scope)) {
        span->ring = 0;
    }
}

Span *span_start(PyObject *name, int kind, PyObject *parent, const Caller *caller, Attributes *attributes, PyObject *scope)
{
    Span *span = fresh(name, kind);
    if (!span) {
        return NULL;
    }
    if (caller) {
        memcpy(span->context.trace_id, caller->trace_id, 16);
        memcpy(span->parent_id, caller->span_id, 8);
        span->context.flags = caller->flags;
        span->parent_is_remote = 1;
    } else {
        set_parent(span, parent);
    }
    started(span, attributes, 0, scope);
    return span;
}

PyObject *span_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    PyObject *given[ARGS_MAX];
    read_args(&NEW, args, PyVectorcall_NARGS(nargsf), kwnames, given);
    Span *span = fresh(given[0], read_int(given[1], 1));
    if (!span) {
        return NULL;
    }
    set_parent(span, given[2]);
    if (given[7] && given[7] != Py_None) {
        take_identity(span, given[7]);
    }
    uint64_t start_ns = read_ns(given[5]);
    Attributes attributes = attributes_open(given[3]);
    started(span, &attributes, start_ns, given[6]);
    attributes_close(&attributes);
    put_links(span, given[4]);
    return (PyObject *)span;
}

PyObject *span_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return PyVectorcall_Call((PyObject *)&SpanType, args, kwargs);
}


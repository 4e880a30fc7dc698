/* The Span object: shared by span_birth.c (how it is made), span_type.c (its methods) and spans.c (the context). */
#ifndef AFTERTRACE_SPAN_TYPE_H
#define AFTERTRACE_SPAN_TYPE_H

#include "attributes.h"
#include "spans.h"

typedef struct {
    PyObject_HEAD
    SpanContext context;
    uint8_t parent_id[8]; /* zero: none */
    uint32_t ring; /* number of the ring that has its start, 0: none */
    uint8_t kind, parent_is_remote, ended, status, templated;
    PyObject *name, *trace_state; /* exact str */
} Span;

extern PyTypeObject SpanType;

/* Opens a record of a span, in the ring that has its start only: a forked child's copy of its parent's span says nothing. */
static inline int span_begin(const Span *span, Out *out, enum RecordKind kind)
{
    return span->ring == at_ring.opened && spans_begin(out, kind);
}

#define SPAN_NAME_ROOM 512
#define SPAN_SCOPE_ROOM 200

int span_type_init(void); /* 0 or -1 */

void span_finish(Span *span); /* ends it, now; once */

/* span_birth.c */
int span_birth_init(void); /* 0 or -1 */
PyObject *span_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames);
PyObject *span_new(PyTypeObject *type, PyObject *args, PyObject *kwargs);

/* Who sent a request: a valid traceparent. */
typedef struct {
    uint8_t trace_id[16], span_id[8], flags;
} Caller;

/* A span that has begun now, or NULL. `parent` as the constructor takes it (NULL: the current span); not read with a caller. */
Span *span_start(PyObject *name, int kind, PyObject *parent, const Caller *caller, Attributes *attributes, PyObject *scope);

/* Writes attributes in as many SPAN_ATTR records as it takes. */
void span_put_attributes(Span *span, Attributes *attributes);
void span_put_link(Span *span, const uint8_t trace_id[16], const uint8_t span_id[8], PyObject *mapping);

/* (trace id, span id) from two ints, or from an object with trace_id and span_id in place of the first. 0: refused. */
int span_read_link(PyObject *first, PyObject *second, uint8_t trace_id[16], uint8_t span_id[8]);

/* span_type.c: the methods, for what is native; none does anything once the span has ended. `exception` is one. */
void span_set(Span *span, PyObject *const *pairs, Py_ssize_t count); /* attributes */
void span_rename(Span *span, PyObject *name);
void span_set_error(Span *span);                         /* the status, without a description */
void span_note_exception(Span *span, PyObject *exception); /* record_exception() */
void span_end(Span *span, PyObject *exception);          /* __exit__(); NULL: without one */

/* spans.c: attach() and detach(). The first gives a token, or NULL with an exception. */
PyObject *span_attach(Span *span);
void span_detach(PyObject *token);

/* What get_span_context() calls with the span; NULL or None: nothing. Takes a new reference. */
void span_context_factory(PyObject *callable);

/* The span that the context variable holds, borrowed: the context keeps it alive; NULL: none. No exceptions. */
Span *span_current(void);

/* Makes it current in this context and on this thread. New reference to the token, or NULL with an exception. */
PyObject *span_attach(Span *span);
void span_detach(PyObject *token); /* undoes it; a token that cannot be used is counted */

#endif

/* The Span object: shared by span_type.c (its life and records) and spans.c (the context). */
#ifndef AFTERTRACE_SPAN_TYPE_H
#define AFTERTRACE_SPAN_TYPE_H

#include "spans.h"

typedef struct {
    PyObject_HEAD
    SpanContext context;
    uint8_t parent_id[8]; /* zero: none */
    uint8_t kind, parent_is_remote, recorded, ended, status;
    PyObject *name, *trace_state; /* exact str */
} Span;

extern PyTypeObject SpanType;

int span_type_init(void); /* 0 or -1 */

/* What get_span_context() calls with the span; NULL or None: nothing. Takes a new reference. */
void span_context_factory(PyObject *callable);

/* The span that the context variable holds, borrowed: the context keeps it alive; NULL: none. No exceptions. */
Span *span_current(void);

#endif

/* Span (Python type), ids, the context variable, logs and keep: what the boundaries and the OTel API write. */
#ifndef AFTERTRACE_SPANS_H
#define AFTERTRACE_SPANS_H

#include "ring.h"

int spans_init(PyObject *module); /* adds Span and functions to the module; 0 or -1 */

/* Context of the span that the context variable holds on the calling thread; NULL: none. No references, no exceptions. */
const SpanContext *spans_current(void);

/* ring_begin() for what spans, logs and keep() write: in the segment of the span that is current. Code that is not recorded may have run
 * last on this thread, in another context. */
int spans_begin(Out *out, enum RecordKind kind);

/* Arguments of this API that could not be used and were left out: a counter for status(). */
uint64_t spans_refused(void);

/* log() and keep() (logs.c). */
int logs_init(PyObject *module);

/* Requests that come in, and OpenTelemetry's current context (request.c). */
int requests_init(PyObject *module);

#endif

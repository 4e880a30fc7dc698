/* The context variable `aftertrace.span`: which span is current, in this context and on this thread. */
#include <Python.h>

#include "around.h"

static PyObject *variable; /* ContextVar */

Span *span_current(void)
{
    PyObject *value = NULL;
    if (!variable || PyContextVar_Get(variable, NULL, &value) < 0) {
        PyErr_Clear();
        return NULL;
    }
    Py_XDECREF(value); /* the context holds it */
    return value && Py_TYPE(value) == &SpanType ? (Span *)value : NULL;
}

const SpanContext *spans_current(void)
{
    Span *span = span_current();
    return span ? &span->context : NULL;
}

int spans_begin(Out *out, enum RecordKind kind)
{
    segment_set(spans_current());
    return ring_begin(out, kind);
}

uint64_t spans_refused(void) { return refused_count(); }

static PyObject *py_current(PyObject *module, PyObject *unused)
{
    Span *span = span_current();
    return Py_NewRef(span ? (PyObject *)span : Py_None);
}

PyObject *span_attach(Span *span)
{
    PyObject *token = PyContextVar_Set(variable, (PyObject *)span);
    segment_set(token ? &span->context : spans_current());
    return token;
}

void span_detach(PyObject *token)
{
    if (PyContextVar_Reset(variable, token) < 0) { /* used before, of another context, or no token */
        refuse();
    }
    segment_set(spans_current());
}

static PyObject *py_attach(PyObject *module, PyObject *span)
{
    if (span != Py_None && Py_TYPE(span) != &SpanType) {
        refuse();
        span = (PyObject *)span_current();
    }
    PyObject *token = PyContextVar_Set(variable, span ? span : Py_None);
    segment_set(spans_current());
    return token;
}

static PyObject *py_detach(PyObject *module, PyObject *token)
{
    span_detach(token);
    Py_RETURN_NONE;
}

static PyObject *py_set_span_context_factory(PyObject *module, PyObject *callable)
{
    span_context_factory(callable);
    Py_RETURN_NONE;
}

static PyMethodDef METHODS[] = {
    {"current", py_current, METH_NOARGS, "The current span, or None."},
    {"attach", py_attach, METH_O, "Makes a span current in this context and on this thread."},
    {"detach", py_detach, METH_O, "Undoes attach()."},
    {"set_span_context_factory", py_set_span_context_factory, METH_O, "What Span.get_span_context() calls with the span."},
    {NULL, NULL, 0, NULL},
};

int spans_init(PyObject *module)
{
    if (span_type_init() < 0 || logs_init(module) < 0 || requests_init(module) < 0 || around_init(module) < 0) {
        return -1;
    }
    if (!variable && !(variable = PyContextVar_New("aftertrace.span", NULL))) {
        return -1;
    }
    if (PyModule_AddFunctions(module, METHODS) < 0) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "Span", (PyObject *)&SpanType);
}

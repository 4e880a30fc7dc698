/* Between around.c and around_spans.c. */
#ifndef AFTERTRACE_AROUND_IMPL_H
#define AFTERTRACE_AROUND_IMPL_H

#include "around.h"

typedef struct Around {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *(*call)(struct Around *, PyObject *const *, size_t, PyObject *);
    PyObject *original;
    PyObject *name, *failed;  /* failed(name, error): counts it, or raises it on */
    PyObject *begin, *end;
    PyObject *instrumented;   /* whether contrib's instrumentation has made the CLIENT span that is current; may be NULL */
    Known *known;             /* of the statement that is the second argument; may be NULL */
    Template *base;           /* what is told of where they go; may be NULL */
    PyObject *holder;         /* the attribute of the first argument in whose __dict__ that lies */
    PyObject *told;           /* set of cursor types whose statements are told by others; may be NULL */
    PyObject *extra;          /* the argument that is given to calls without any */
    int current;              /* its spans are */
} Around;

/* An exception of begin() or end() is set. 0: counted; -1: it is not ours, and raised on. */
int around_absorb(Around *around);

/* end(state, result, error), after the call; 0, or -1 with what is to be raised in place of the result, or of the error. */
int around_finish(Around *around, PyObject *state, PyObject *result, PyObject *error);

/* New references, or NULL with an exception. */
PyObject *around_keywords(PyObject *const *values, PyObject *kwnames);
PyObject *around_tuple(PyObject *const *args, Py_ssize_t nargs);

/* What begin() gives: a new reference, None where it fails; NULL with what is to be raised. */
PyObject *around_begun(Around *around, PyObject *tuple, PyObject *kwargs);

PyObject *around_call_spanned(Around *around, PyObject *const *args, size_t nargsf, PyObject *kwnames);
PyObject *around_enter(Around *around, PyObject *const *args, Py_ssize_t nargs);
PyObject *around_leave(Around *around, PyObject *const *args, Py_ssize_t nargs);
int around_spans_init(void); /* 0 or -1 */

#endif

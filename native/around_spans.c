/* Calls that are spans, whole and in two halves. */
#include <Python.h>

#include "around_impl.h"

static PyObject *name_known;

/* -- a call with a span: begin(args, kwargs) -> Template, (Template, base) or None; end(span, None, error) for errors only -- */

typedef struct {
    PyObject *template, *base; /* owned; template NULL: no span */
} Told;

static void told_clear(Told *told)
{
    Py_CLEAR(told->template);
    Py_CLEAR(told->base);
}

static int given(PyObject *parameters)
{
    PyTypeObject *type = Py_TYPE(parameters);
    return !(parameters == Py_None || ((type == &PyTuple_Type || type == &PyList_Type) && !Py_SIZE(parameters))
             || (type == &PyDict_Type && !PyDict_GET_SIZE(parameters)));
}

/* What is remembered of a connection, in its __dict__. New reference or NULL, no exceptions. */
static PyObject *remembered(PyObject *holder, PyObject *cursor)
{
    PyObject *connection = PyObject_GetAttr(cursor, holder);
    PyObject *fields = connection ? PyObject_GenericGetDict(connection, NULL) : NULL;
    PyObject *base = fields && PyDict_CheckExact(fields) ? PyDict_GetItemWithError(fields, name_known) : NULL;
    base = base && Py_TYPE(base) == &TemplateType ? Py_NewRef(base) : NULL;
    Py_XDECREF(fields);
    Py_XDECREF(connection);
    PyErr_Clear();
    return base;
}

/* execute(self, text[, parameters]) of a text that has come before. */
static int told_at_once(Around *around, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, Told *told)
{
    if (!around->known || kwnames || nargs < 2 || nargs > 3 || !PyUnicode_CheckExact(args[1])) {
        return 0;
    }
    Template *template = known_find(around->known, args[1], nargs > 2 && given(args[2]));
    if (!template) {
        return 0;
    }
    told->template = Py_NewRef((PyObject *)template);
    told->base = around->holder ? remembered(around->holder, args[0]) : Py_XNewRef((PyObject *)around->base);
    if (around->holder && !told->base) {
        told_clear(told);
    }
    return told->template != NULL;
}

static void told_by(PyObject *answer, Told *told)
{
    PyObject *base = NULL;
    if (PyTuple_CheckExact(answer) && PyTuple_GET_SIZE(answer) == 2) {
        base = PyTuple_GET_ITEM(answer, 1);
        answer = PyTuple_GET_ITEM(answer, 0);
    }
    if (Py_TYPE(answer) == &TemplateType) {
        told->template = Py_NewRef(answer);
        told->base = base && Py_TYPE(base) == &TemplateType ? Py_NewRef(base) : NULL;
    }
}

/* Where no span belongs: 1, or -1 with an exception. */
static int stays_out(Around *around, const Span *above)
{
    int within = above->kind, out = suppressed_here(); /* which may run Python: `above` is borrowed */
    if (out == 0 && within == 3 && around->instrumented) {
        PyObject *is = PyObject_CallNoArgs(around->instrumented);
        out = is ? is == Py_True : -1;
        Py_XDECREF(is);
    }
    return out;
}

typedef struct {
    Span *span; /* owned; NULL: there is none */
    PyObject *token;
} Entered;

static void enter(Around *around, Told *told, Entered *entered)
{
    Span *above = span_current();
    entered->span = above && told->template ? span_born((Template *)told->template, (Template *)told->base, above) : NULL;
    if (entered->span && around->current) {
        entered->token = span_attach(entered->span);
    }
    PyErr_Clear();
}

/* In the order that writes least: the end stands among what its parent writes. */
static void leave(Entered *entered)
{
    if (entered->token) {
        span_detach(entered->token);
        Py_CLEAR(entered->token);
    }
    span_finish(entered->span);
    Py_CLEAR(entered->span);
}

/* The same with an exception, which is not set meanwhile. */
static int leave_with(Around *around, Entered *entered, PyObject *error)
{
    int raised = around_finish(around, (PyObject *)entered->span, NULL, error);
    PyObject *struck = raised ? PyErr_GetRaisedException() : NULL;
    leave(entered);
    if (struck) {
        PyErr_SetRaisedException(struck);
    }
    return raised;
}

/* Whether a span belongs here: 1, 0, or -1 with what is to be raised. Outside of any span nothing is looked at. */
static int tells(Around *around)
{
    const Span *above = span_current();
    int out = above ? stays_out(around, above) : 1;
    return out < 0 ? around_absorb(around) : !out;
}

/* What begin() says; -1: with what is to be raised. */
static int told_later(Around *around, PyObject *tuple, PyObject *kwargs, Told *told)
{
    PyObject *answer = around_begun(around, tuple, kwargs);
    if (!answer) {
        return -1;
    }
    told_by(answer, told);
    Py_DECREF(answer);
    return 0;
}

static int tell(Around *around, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, Entered *entered)
{
    Told told = {0};
    int tells_it = tells(around);
    if (tells_it <= 0) {
        return tells_it;
    }
    if (!told_at_once(around, args, nargs, kwnames, &told)) {
        PyObject *tuple = around_tuple(args, nargs), *kwargs = tuple ? around_keywords(args + nargs, kwnames) : NULL;
        int later = kwargs ? told_later(around, tuple, kwargs, &told) : -1;
        Py_XDECREF(kwargs);
        Py_XDECREF(tuple);
        if (later < 0) {
            return -1;
        }
    }
    enter(around, &told, entered);
    told_clear(&told);
    return 0;
}

PyObject *around_call_spanned(Around *around, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Entered entered = {0};
    if (tell(around, args, PyVectorcall_NARGS(nargsf), kwnames, &entered) < 0) {
        return NULL;
    }
    PyObject *result = PyObject_Vectorcall(around->original, args, nargsf, kwnames);
    if (!entered.span) {
        return result;
    }
    if (result) {
        leave(&entered);
        return result;
    }
    PyObject *error = PyErr_GetRaisedException();
    if (leave_with(around, &entered, error) < 0) {
        Py_DECREF(error);
    } else {
        PyErr_SetRaisedException(error);
    }
    return NULL;
}

/* -- its two halves, for coroutines and generators: enter(args, kwargs) -> state or None; leave(state, error or None) -- */

PyObject *around_enter(Around *around, PyObject *const *args, Py_ssize_t nargs)
{
    Entered entered = {0};
    Told told = {0};
    if (nargs != 2 || !PyTuple_CheckExact(args[0]) || !PyDict_CheckExact(args[1])) {
        PyErr_SetString(PyExc_TypeError, "enter() takes a call's arguments: a tuple and a dict");
        return NULL;
    }
    int tells_it = tells(around);
    if (tells_it < 0) {
        return NULL;
    }
    if (tells_it) {
        PyTupleObject *tuple = (PyTupleObject *)args[0];
        int at_once = !PyDict_GET_SIZE(args[1]) && told_at_once(around, tuple->ob_item, Py_SIZE(tuple), NULL, &told);
        if (!at_once && told_later(around, args[0], args[1], &told) < 0) {
            return NULL;
        }
        enter(around, &told, &entered);
        told_clear(&told);
    }
    if (!entered.span) {
        Py_RETURN_NONE;
    }
    PyObject *state = PyTuple_Pack(2, entered.span, entered.token ? entered.token : Py_None);
    Py_XDECREF(entered.token);
    Py_DECREF(entered.span);
    return state;
}

PyObject *around_leave(Around *around, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2 || !PyTuple_CheckExact(args[0]) || PyTuple_GET_SIZE(args[0]) != 2
        || Py_TYPE(PyTuple_GET_ITEM(args[0], 0)) != &SpanType) {
        PyErr_SetString(PyExc_TypeError, "leave() takes what enter() gave, and an exception or None");
        return NULL;
    }
    PyObject *token = PyTuple_GET_ITEM(args[0], 1);
    Entered entered = {(Span *)Py_NewRef(PyTuple_GET_ITEM(args[0], 0)), token == Py_None ? NULL : Py_NewRef(token)};
    if (args[1] == Py_None) {
        leave(&entered);
    } else if (leave_with(around, &entered, args[1]) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

int around_spans_init(void)
{
    name_known = PyUnicode_InternFromString("_aftertrace");
    return name_known ? 0 : -1;
}

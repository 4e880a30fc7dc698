/* Around: what happens around a library's function, in C: no frame that a traceback, a warning or a debugger could show, and no code of
 * Python's to fetch for each call. The program sees a function of Python's, made by functools.wraps; only calls come here
 * (PyFunction_SetVectorcall, which the interpreter asks before it enters a function's code). */
#include <Python.h>
#include <structmember.h>

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

static PyTypeObject AroundType;
static PyObject *name_known, *name_cursor, *name_contrib;
static vectorcallfunc plain; /* how functions are called */

/* -- our own failures -- */

/* An exception of begin() or end() is set. 0: counted; -1: it is not ours, and raised on. */
static int absorb(Around *around)
{
    PyObject *error = PyErr_GetRaisedException();
    if (!PyErr_GivenExceptionMatches(error, PyExc_Exception)) {
        PyErr_SetRaisedException(error);
        return -1;
    }
    PyObject *result = PyObject_CallFunctionObjArgs(around->failed, around->name, error, NULL);
    Py_DECREF(error);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* end(state, result, error), after the call; 0, or -1 with what is to be raised in place of the result, or of the error. */
static int finish(Around *around, PyObject *state, PyObject *result, PyObject *error)
{
    PyObject *done = PyObject_CallFunctionObjArgs(around->end, state, result ? result : Py_None, error ? error : Py_None, NULL);
    Py_XDECREF(done);
    if (done || absorb(around) == 0) {
        return 0;
    }
    if (error) {
        PyObject *struck = PyErr_GetRaisedException();
        if (struck != error) {
            PyException_SetContext(struck, Py_NewRef(error));
        }
        PyErr_SetRaisedException(struck);
    }
    return -1;
}

/* -- any call: begin(args, kwargs) -> state or None; end(state, result, error) -- */

static PyObject *keywords(PyObject *const *values, PyObject *kwnames)
{
    PyObject *kwargs = PyDict_New();
    for (Py_ssize_t i = 0; kwargs && kwnames && i < PyTuple_GET_SIZE(kwnames); i++) {
        if (PyDict_SetItem(kwargs, PyTuple_GET_ITEM(kwnames, i), values[i]) < 0) {
            Py_CLEAR(kwargs);
        }
    }
    return kwargs;
}

static PyObject *tuple_of(PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *tuple = PyTuple_New(nargs);
    for (Py_ssize_t i = 0; tuple && i < nargs; i++) {
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
    }
    return tuple;
}

/* What begin() gives: a new reference, None where it fails; NULL with what is to be raised. */
static PyObject *begun(Around *around, PyObject *tuple, PyObject *kwargs)
{
    PyObject *state = around->begin ? PyObject_CallFunctionObjArgs(around->begin, tuple, kwargs, NULL) : Py_NewRef(Py_None);
    return state ? state : absorb(around) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *call_between(Around *around, PyObject *tuple, PyObject *kwargs)
{
    PyObject *state = begun(around, tuple, kwargs);
    if (!state) {
        return NULL;
    }
    PyObject *result = PyObject_Call(around->original, tuple, PyDict_GET_SIZE(kwargs) ? kwargs : NULL);
    if (state != Py_None) {
        PyObject *error = result ? NULL : PyErr_GetRaisedException();
        if (finish(around, state, result, error) < 0) {
            Py_CLEAR(result);
            Py_CLEAR(error);
        }
        if (error) {
            PyErr_SetRaisedException(error);
        }
    }
    Py_DECREF(state);
    return result;
}

static PyObject *call_any(Around *around, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    PyObject *tuple = tuple_of(args, nargs), *result = NULL;
    PyObject *kwargs = tuple ? keywords(args + nargs, kwnames) : NULL;
    if (kwargs) {
        result = call_between(around, tuple, kwargs);
    }
    Py_XDECREF(kwargs);
    Py_XDECREF(tuple);
    return result;
}

/* -- a cursor's statement as SQLAlchemy sees it: nothing where the driver's boundary tells it -- */

static int is_told(Around *around, PyObject *context)
{
    PyObject *cursor = PyObject_GetAttr(context, name_cursor);
    PyObject *type = cursor ? (PyObject *)Py_TYPE(cursor) : NULL;
    int is = type && Py_TYPE(type) == &PyType_Type && PySet_Contains(around->told, type) == 1;
    Py_XDECREF(cursor);
    PyErr_Clear();
    return is;
}

static PyObject *call_unless_told(Around *around, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    if (PyVectorcall_NARGS(nargsf) > 2 && !module_is_loaded(name_contrib) && (!span_current() || is_told(around, args[2]))) {
        return PyObject_Vectorcall(around->original, args, nargsf, kwnames);
    }
    return call_any(around, args, nargsf, kwnames);
}

/* -- a call with an argument of ours -- */

static PyObject *call_filled(Around *around, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    if (PyVectorcall_NARGS(nargsf) != 1 || kwnames) {
        return PyObject_Vectorcall(around->original, args, nargsf, kwnames);
    }
    PyObject *both[] = {args[0], around->extra};
    return PyObject_Vectorcall(around->original, both, 2, NULL);
}

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
    int out = suppressed_here();
    if (out == 0 && above->kind == 3 && around->instrumented) {
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
    int raised = finish(around, (PyObject *)entered->span, NULL, error);
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
    return out < 0 ? absorb(around) : !out;
}

/* What begin() says; -1: with what is to be raised. */
static int told_later(Around *around, PyObject *tuple, PyObject *kwargs, Told *told)
{
    PyObject *answer = begun(around, tuple, kwargs);
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
        PyObject *tuple = tuple_of(args, nargs), *kwargs = tuple ? keywords(args + nargs, kwnames) : NULL;
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

static PyObject *call_spanned(Around *around, PyObject *const *args, size_t nargsf, PyObject *kwnames)
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

static PyObject *py_enter(Around *around, PyObject *const *args, Py_ssize_t nargs)
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

static PyObject *py_leave(Around *around, PyObject *const *args, Py_ssize_t nargs)
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

/* -- the type -- */

static PyObject *around_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Around *around = (Around *)self;
    if (Py_EnterRecursiveCall(" while calling a Python object")) {
        return NULL;
    }
    Py_INCREF(around);
    PyObject *result = around->call(around, args, nargsf, kwnames);
    Py_DECREF(around);
    Py_LeaveRecursiveCall();
    return result;
}

/* In place of a function's code: its only closure cell has the Around, unless the program has put something else there. */
static PyObject *through(PyObject *function, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    PyObject *closure = PyFunction_GET_CLOSURE(function);
    PyObject *cell = closure && PyTuple_GET_SIZE(closure) == 1 ? PyTuple_GET_ITEM(closure, 0) : NULL;
    PyObject *around = cell ? PyCell_GET(cell) : NULL;
    if (around && Py_TYPE(around) == &AroundType) {
        return around_vectorcall(around, args, nargsf, kwnames);
    }
    return plain(function, args, nargsf, kwnames);
}

static PyObject *py_call_through(PyObject *module, PyObject *function)
{
    if (!PyFunction_Check(function)) {
        PyErr_SetString(PyExc_TypeError, "call_through() takes a function");
        return NULL;
    }
    if (!plain) {
        plain = ((PyFunctionObject *)function)->vectorcall;
    }
    PyFunction_SetVectorcall((PyFunctionObject *)function, through);
    return Py_NewRef(function);
}

/* Arguments that may be None are NULL in here. */
static PyObject *optional(PyObject *o) { return o && o != Py_None ? Py_NewRef(o) : NULL; }

static int is_right(const Around *around)
{
    if ((!around->known || Py_TYPE(around->known) == &KnownType) && (!around->base || Py_TYPE(around->base) == &TemplateType)
        && (!around->holder || PyUnicode_CheckExact(around->holder)) && (!around->told || PySet_CheckExact(around->told))) {
        return 1;
    }
    PyErr_SetString(PyExc_TypeError, "known is a Known, base a Template, holder a str, told a set");
    return 0;
}

static PyObject *around_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"original", "name", "failed", "begin", "end", "spans", "current", "instrumented",
                            "known", "base", "holder", "told", "extra", NULL};
    PyObject *original, *name, *failed, *begin, *end, *instrumented = NULL, *known = NULL, *base = NULL, *holder = NULL, *told = NULL,
             *extra = NULL;
    int spans = 0, current = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOO|$ppOOOOOO:Around", names, &original, &name, &failed, &begin, &end, &spans,
                                     &current, &instrumented, &known, &base, &holder, &told, &extra)) {
        return NULL;
    }
    Around *around = (Around *)type->tp_alloc(type, 0);
    if (!around) {
        return NULL;
    }
    around->original = Py_NewRef(original);
    around->name = Py_NewRef(name);
    around->failed = Py_NewRef(failed);
    around->begin = Py_NewRef(begin);
    around->end = Py_NewRef(end);
    around->instrumented = optional(instrumented);
    around->known = (Known *)optional(known);
    around->base = (Template *)optional(base);
    around->holder = optional(holder);
    around->told = optional(told);
    around->extra = optional(extra);
    around->current = current;
    around->vectorcall = around_vectorcall;
    around->call = around->extra ? call_filled : spans ? call_spanned : around->told ? call_unless_told : call_any;
    if (!is_right(around)) {
        Py_CLEAR(around);
    }
    return (PyObject *)around;
}

#define EACH(act) \
    act(around->original); act(around->name); act(around->failed); act(around->begin); act(around->end); act(around->instrumented); \
    act(around->known); act(around->base); act(around->holder); act(around->told); act(around->extra)

static int around_traverse(Around *around, visitproc visit, void *arg)
{
    EACH(Py_VISIT);
    return 0;
}

/* Whoever still calls it calls what it stood around. */
static int around_clear(Around *around)
{
    Py_CLEAR(around->begin);
    return 0;
}

static void around_dealloc(Around *around)
{
    PyObject_GC_UnTrack(around);
    EACH(Py_XDECREF);
    Py_TYPE(around)->tp_free((PyObject *)around);
}

static PyMethodDef METHODS[] = {
    {"enter", (PyCFunction)(void (*)(void))py_enter, METH_FASTCALL, "What comes before the call."},
    {"leave", (PyCFunction)(void (*)(void))py_leave, METH_FASTCALL, "What comes after it."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject AroundType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "aftertrace._native.Around",
    .tp_basicsize = sizeof(Around),
    .tp_dealloc = (destructor)around_dealloc,
    .tp_traverse = (traverseproc)around_traverse,
    .tp_clear = (inquiry)around_clear,
    .tp_vectorcall_offset = offsetof(Around, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_doc = "What happens around a library's function.",
    .tp_methods = METHODS,
    .tp_new = around_new,
};

static PyMethodDef FUNCTIONS[] = {
    {"call_through", py_call_through, METH_O, "Calls of this function go to the Around in its closure, without a frame."},
    {NULL, NULL, 0, NULL},
};

int around_init(PyObject *module)
{
    name_known = PyUnicode_InternFromString("_aftertrace");
    name_cursor = PyUnicode_InternFromString("cursor");
    name_contrib = PyUnicode_InternFromString("opentelemetry.instrumentation.sqlalchemy");
    if (!name_known || !name_cursor || !name_contrib || PyType_Ready(&AroundType) < 0 || template_init(module) < 0
        || suppressed_init(module) < 0 || PyModule_AddFunctions(module, FUNCTIONS) < 0) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "Around", (PyObject *)&AroundType);
}

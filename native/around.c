/* Around: what happens around a library's function, in C: no frame that a traceback, a warning or a debugger could show, and no code of
 * Python's to fetch for each call. The program sees a function of Python's, made by functools.wraps; only calls come here
 * (PyFunction_SetVectorcall, which the interpreter asks before it enters a function's code). */
#include <Python.h>
#include <structmember.h>

#include "around_impl.h"

static PyTypeObject AroundType;
static PyObject *name_cursor, *name_contrib;
static vectorcallfunc plain; /* how functions are called */

/* -- our own failures -- */

int around_absorb(Around *around)
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

int around_finish(Around *around, PyObject *state, PyObject *result, PyObject *error)
{
    PyObject *done = PyObject_CallFunctionObjArgs(around->end, state, result ? result : Py_None, error ? error : Py_None, NULL);
    Py_XDECREF(done);
    if (done || around_absorb(around) == 0) {
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

PyObject *around_keywords(PyObject *const *values, PyObject *kwnames)
{
    PyObject *kwargs = PyDict_New();
    for (Py_ssize_t i = 0; kwargs && kwnames && i < PyTuple_GET_SIZE(kwnames); i++) {
        if (PyDict_SetItem(kwargs, PyTuple_GET_ITEM(kwnames, i), values[i]) < 0) {
            Py_CLEAR(kwargs);
        }
    }
    return kwargs;
}

PyObject *around_tuple(PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *tuple = PyTuple_New(nargs);
    for (Py_ssize_t i = 0; tuple && i < nargs; i++) {
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
    }
    return tuple;
}

PyObject *around_begun(Around *around, PyObject *tuple, PyObject *kwargs)
{
    PyObject *state = around->begin ? PyObject_CallFunctionObjArgs(around->begin, tuple, kwargs, NULL) : Py_NewRef(Py_None);
    return state ? state : around_absorb(around) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *call_between(Around *around, PyObject *tuple, PyObject *kwargs)
{
    PyObject *state = around_begun(around, tuple, kwargs);
    if (!state) {
        return NULL;
    }
    PyObject *result = PyObject_Call(around->original, tuple, PyDict_GET_SIZE(kwargs) ? kwargs : NULL);
    if (state != Py_None) {
        PyObject *error = result ? NULL : PyErr_GetRaisedException();
        if (around_finish(around, state, result, error) < 0) {
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
    PyObject *tuple = around_tuple(args, nargs), *result = NULL;
    PyObject *kwargs = tuple ? around_keywords(args + nargs, kwnames) : NULL;
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
    around->call = around->extra ? call_filled : spans ? around_call_spanned : around->told ? call_unless_told : call_any;
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
    {"enter", (PyCFunction)(void (*)(void))around_enter, METH_FASTCALL, "What comes before the call."},
    {"leave", (PyCFunction)(void (*)(void))around_leave, METH_FASTCALL, "What comes after it."},
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
    name_cursor = PyUnicode_InternFromString("cursor");
    name_contrib = PyUnicode_InternFromString("opentelemetry.instrumentation.sqlalchemy");
    if (!name_cursor || !name_contrib || around_spans_init() < 0 || PyType_Ready(&AroundType) < 0 || template_init(module) < 0
        || suppressed_init(module) < 0 || PyModule_AddFunctions(module, FUNCTIONS) < 0) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "Around", (PyObject *)&AroundType);
}

/* OpenTelemetry's current context with the recorder's span in it, where that takes no more than a look: for otel_context.RuntimeContext. */
#include "request.h"

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *variable, *kind, *slow; /* the API's ContextVar; its Context; what is asked where a look is not enough */
    PyObject *span, *context;         /* of a span alone, the last one; holds nothing of the program's */
} Reader;

static PyObject *span_key; /* where a Context keeps its span; NULL: spans of ours do not stand in contexts */

static PyObject *context_of(PyObject *kind, PyObject *span)
{
    PyObject *entries = PyDict_New();
    PyObject *made = entries && PyDict_SetItem(entries, span_key, span) == 0 ? PyObject_CallOneArg(kind, entries) : NULL;
    Py_XDECREF(entries);
    return made;
}

/* A context of our span alone: one call after another asks for the same. One that nobody else has kept is used for the next span. */
static PyObject *alone(Reader *reader, PyObject *here)
{
    if (here != reader->span) {
        int ours = reader->context && Py_REFCNT(reader->context) == 1;
        PyObject *made = ours ? Py_NewRef(reader->context) : context_of(reader->kind, here);
        if (!made || (ours && PyDict_SetItem(made, span_key, here) < 0)) {
            Py_XDECREF(made);
            return NULL;
        }
        Py_XSETREF(reader->span, Py_NewRef(here));
        Py_XSETREF(reader->context, made);
    }
    return Py_NewRef(reader->context);
}

/* What is current, out of what the variable holds. New reference, or NULL with an exception. */
static PyObject *merged(Reader *reader, PyObject *context)
{
    if (!span_key) {
        return Py_NewRef(context);
    }
    if ((PyObject *)Py_TYPE(context) == reader->kind) {
        PyObject *here = (PyObject *)span_current(), *seen = get(context, span_key);
        if (seen == here || (!here && Py_TYPE(seen) != &SpanType)) { /* a remote one that was attached as such */
            return Py_NewRef(context);
        }
        if (here && !PyDict_GET_SIZE(context)) {
            return alone(reader, here);
        }
    }
    return PyObject_CallNoArgs(reader->slow);
}

static PyObject *reader_call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Reader *reader = (Reader *)callable;
    PyObject *context;
    if (PyVectorcall_NARGS(nargsf) || kwnames) {
        return PyErr_Format(PyExc_TypeError, "get_current() takes no arguments");
    }
    if (PyContextVar_Get(reader->variable, NULL, &context) < 0) {
        return NULL;
    }
    if (!context) { /* no default: the API's own error */
        return PyObject_CallNoArgs(reader->slow);
    }
    PyObject *found = merged(reader, context);
    Py_DECREF(context);
    return found;
}

static PyObject *reader_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *variable, *kind, *slow;
    if (!PyArg_ParseTuple(args, "O!O!O:ContextReader", &PyContextVar_Type, &variable, &PyType_Type, &kind, &slow)) {
        return NULL;
    }
    Reader *reader = PyObject_GC_New(Reader, type);
    if (!reader) {
        return NULL;
    }
    reader->vectorcall = reader_call;
    reader->variable = Py_NewRef(variable);
    reader->kind = Py_NewRef(kind);
    reader->slow = Py_NewRef(slow);
    reader->span = reader->context = NULL;
    PyObject_GC_Track(reader);
    return (PyObject *)reader;
}

static int traverse(Reader *reader, visitproc visit, void *arg)
{
    Py_VISIT(reader->variable);
    Py_VISIT(reader->kind);
    Py_VISIT(reader->slow);
    Py_VISIT(reader->span);
    Py_VISIT(reader->context);
    return 0;
}

static void dealloc(Reader *reader)
{
    PyObject_GC_UnTrack(reader);
    Py_DECREF(reader->variable);
    Py_DECREF(reader->kind);
    Py_DECREF(reader->slow);
    Py_XDECREF(reader->span);
    Py_XDECREF(reader->context);
    PyObject_GC_Del(reader);
}

static PyTypeObject ReaderType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "aftertrace._native.ContextReader",
    .tp_basicsize = sizeof(Reader),
    .tp_dealloc = (destructor)dealloc,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Reader, vectorcall),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_doc = "get_current() of OpenTelemetry's runtime context.",
    .tp_traverse = (traverseproc)traverse,
    .tp_new = reader_new,
};

static PyObject *set_span_key(PyObject *module, PyObject *key)
{
    Py_XSETREF(span_key, key == Py_None ? NULL : Py_NewRef(key));
    Py_RETURN_NONE;
}

static PyMethodDef FUNCTIONS[] = {
    {"set_span_key", set_span_key, METH_O, "Where an OpenTelemetry context keeps its span; None: contexts are as the API made them."},
    {NULL, NULL, 0, NULL},
};

int contexts_init(PyObject *module)
{
    if (PyType_Ready(&ReaderType) < 0 || PyModule_AddFunctions(module, FUNCTIONS) < 0) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "ContextReader", (PyObject *)&ReaderType);
}

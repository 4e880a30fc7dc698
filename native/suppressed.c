/* Whether the program's OpenTelemetry wants no instrumentation here. Asked for each statement: what does not change is remembered. */
#include <Python.h>

#include "around.h"

#define KEYS_MAX 4

static PyObject *name_context, *name_runtime;
static PyObject *hushed; /* ContextVar: true while another layer tells the statement */
static PyObject *look;   /* look(runtime) -> (ContextVar, keys of its contexts), or None: ask() each time */
static PyObject *ask;    /* ask() -> bool */

static PyObject *runtime, *variable, *keys; /* of which runtime look() has told what */

static PyObject *module_of(PyObject *name)
{
    PyObject *modules = PyImport_GetModuleDict();
    PyObject *module = modules && PyDict_Check(modules) ? PyDict_GetItemWithError(modules, name) : NULL;
    if (!module) {
        PyErr_Clear();
    }
    return module;
}

int module_is_loaded(PyObject *name) { return module_of(name) != NULL; }

/* Of a result that is a bool of ours. */
static int truth(PyObject *result)
{
    int is = result ? result == Py_True : -1;
    Py_XDECREF(result);
    return is;
}

/* What a context variable holds: a new reference, or NULL: nothing. */
static PyObject *held(PyObject *var)
{
    PyObject *value = NULL;
    if (PyContextVar_Get(var, NULL, &value) < 0) {
        PyErr_Clear();
    }
    return value;
}

static int is_hushed(void)
{
    PyObject *value = held(hushed);
    int is = value == Py_True;
    Py_XDECREF(value);
    return is;
}

static int look_at(PyObject *found)
{
    Py_INCREF(found); /* the program may put another one in its place meanwhile */
    PyObject *told = PyObject_CallOneArg(look, found);
    if (!told) {
        Py_DECREF(found);
        return -1;
    }
    Py_CLEAR(variable);
    Py_CLEAR(keys);
    if (PyTuple_CheckExact(told) && PyTuple_GET_SIZE(told) == 2 && PyContextVar_CheckExact(PyTuple_GET_ITEM(told, 0))
        && PyTuple_CheckExact(PyTuple_GET_ITEM(told, 1))) {
        variable = Py_NewRef(PyTuple_GET_ITEM(told, 0));
        keys = Py_NewRef(PyTuple_GET_ITEM(told, 1));
    }
    Py_XSETREF(runtime, found);
    Py_DECREF(told);
    return 0;
}

/* 1: one of the keys may stand in the context, so Python has to look. */
static int may_stand_in(PyObject *context, PyObject *names)
{
    if (!context || (PyDict_Check(context) && !PyDict_GET_SIZE(context))) {
        return 0;
    }
    if (!PyDict_Check(context)) {
        return 1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        PyObject *key = PyTuple_GET_ITEM(names, i);
        if (!PyUnicode_CheckExact(key) || PyDict_GetItemWithError(context, key) || PyErr_Occurred()) {
            PyErr_Clear();
            return 1;
        }
    }
    return 0;
}

/* The keys of a context are the program's: comparing them may run its code, during which nothing in here may go. */
static int may_stand(void)
{
    PyObject *context = held(variable), *names = Py_NewRef(keys);
    int may = may_stand_in(context, names);
    Py_DECREF(names);
    Py_XDECREF(context);
    return may;
}

int suppressed_here(void)
{
    PyObject *module = module_of(name_context);
    if (!module || !look) {
        return 0;
    }
    if (is_hushed()) {
        return 1;
    }
    PyObject *fields = PyModule_CheckExact(module) ? PyModule_GetDict(module) : NULL;
    PyObject *found = fields ? PyDict_GetItemWithError(fields, name_runtime) : NULL;
    PyErr_Clear();
    if (found && found != runtime && look_at(found) < 0) {
        return -1;
    }
    if (found && variable && !may_stand()) {
        return 0;
    }
    return truth(PyObject_CallNoArgs(ask));
}

static PyObject *py_watch_suppression(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 3 || !PyContextVar_CheckExact(args[0])) {
        PyErr_SetString(PyExc_TypeError, "watch_suppression() takes a ContextVar and two functions");
        return NULL;
    }
    Py_XSETREF(hushed, Py_NewRef(args[0]));
    Py_XSETREF(look, Py_NewRef(args[1]));
    Py_XSETREF(ask, Py_NewRef(args[2]));
    Py_CLEAR(runtime);
    Py_CLEAR(variable);
    Py_CLEAR(keys);
    Py_RETURN_NONE;
}

static PyObject *py_suppressed(PyObject *module, PyObject *unused)
{
    int is = suppressed_here();
    return is < 0 ? NULL : PyBool_FromLong(is);
}

static PyMethodDef METHODS[] = {
    {"watch_suppression", (PyCFunction)(void (*)(void))py_watch_suppression, METH_FASTCALL, "Whom suppressed() asks."},
    {"suppressed", py_suppressed, METH_NOARGS, "Whether OpenTelemetry wants no instrumentation here."},
    {NULL, NULL, 0, NULL},
};

int suppressed_init(PyObject *module)
{
    name_context = PyUnicode_InternFromString("opentelemetry.context");
    name_runtime = PyUnicode_InternFromString("_RUNTIME_CONTEXT");
    return name_context && name_runtime ? PyModule_AddFunctions(module, METHODS) : -1;
}

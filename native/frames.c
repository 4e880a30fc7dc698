/* The public way to frames, and the self-test that decides which way is taken. */
#include "frames.h"

#include <stdlib.h>

int frames_fast;

Frame frames_public_current(void) { return PyEval_GetFrame(); }

Frame frames_public_previous(Frame frame)
{
    PyFrameObject *back = PyFrame_GetBack((PyFrameObject *)frame);
    Py_XDECREF(back); /* a running frame holds its own object */
    return back;
}

PyCodeObject *frames_public_code(Frame frame)
{
    PyCodeObject *code = PyFrame_GetCode((PyFrameObject *)frame);
    Py_DECREF(code); /* the frame holds it */
    return code;
}

int frames_public_lasti(Frame frame)
{
    int lasti = PyFrame_GetLasti((PyFrameObject *)frame);
    return lasti < 0 ? -1 : lasti / CODE_UNIT;
}

PyObject *frames_public_slot(Frame frame, PyCodeObject *code, int slot)
{
    PyObject *pending = PyErr_GetRaisedException();
    PyObject *value = PyFrame_GetVar((PyFrameObject *)frame, PyTuple_GET_ITEM(code->co_localsplusnames, slot));
    if (!value)
        PyErr_Clear(); /* NameError: unbound */
    PyErr_SetRaisedException(pending);
    return value;
}

/* -- self-test: a probe called two Python frames deep compares the ways with each other and with what it was given ----------- */

static const char SCRIPT[] =
    "def inner(a, b):\n"
    "    keep = lambda: b\n"
    "    probe(a, b, inner, outer)\n"
    "def outer(a):\n"
    "    inner(a, [a])\n"
    "outer(object())\n";

#if FRAMES_KNOWN
static int slots_agree(Frame frame, PyCodeObject *code, PyObject *const *expected, int n)
{
    for (int i = 0; i < n; i++) {
        int is_cell = (PyBytes_AS_STRING(code->co_localspluskinds)[i] & CO_FAST_CELL) != 0;
        if (frames_fast_slot(frame, i, is_cell) != expected[i])
            return 0;
    }
    return 1;
}

static int agree(PyObject *const *args)
{
    PyFrameObject *current = PyEval_GetFrame(), *back = (PyFrameObject *)frames_public_previous(current);
    Frame fast = frames_fast_current();
    PyCodeObject *inner = (PyCodeObject *)PyFunction_GetCode(args[2]), *outer = (PyCodeObject *)PyFunction_GetCode(args[3]);
    if (!back || !fast || frames_fast_code(fast) != inner || frames_public_code(current) != inner)
        return 0;
    if (frames_fast_lasti(fast) != frames_public_lasti(current) || !slots_agree(fast, inner, args, 2))
        return 0;
    Frame caller = frames_fast_previous(fast);
    return caller && frames_fast_code(caller) == outer && frames_public_code(back) == outer && slots_agree(caller, outer, args, 1);
}
#endif

static PyObject *probe(PyObject *answer, PyObject *const *args, Py_ssize_t n)
{
#if FRAMES_KNOWN
    if (n == 4 && agree(args) && PyList_Append(answer, Py_True) < 0)
        return NULL;
#endif
    Py_RETURN_NONE;
}

/* 1: the layout is as it was compiled for. */
static int layout_holds(void)
{
    static PyMethodDef method = {"probe", (PyCFunction)(void (*)(void))probe, METH_FASTCALL, NULL};
    PyObject *answer = PyList_New(0), *globals = PyDict_New(), *done = NULL;
    PyObject *function = answer ? PyCFunction_New(&method, answer) : NULL;
    if (function && globals && PyDict_SetItemString(globals, "probe", function) == 0 &&
        PyDict_SetItemString(globals, "__builtins__", PyEval_GetBuiltins()) == 0)
        done = PyRun_String(SCRIPT, Py_file_input, globals, globals);
    int holds = done ? PyList_GET_SIZE(answer) == 1 : -1;
    if (globals)
        PyDict_Clear(globals); /* the functions and their globals know each other */
    Py_XDECREF(done);
    Py_XDECREF(function);
    Py_XDECREF(globals);
    Py_XDECREF(answer);
    return holds;
}

int frames_init(void)
{
    const char *wanted = getenv("AFTERTRACE_FRAMES"); /* "public": for tests of the slower way */
    frames_fast = 0;
    if (!FRAMES_KNOWN || (wanted && strcmp(wanted, "public") == 0))
        return 0;
    int holds = layout_holds();
    if (holds < 0)
        return -1;
    frames_fast = holds;
    return 0;
}

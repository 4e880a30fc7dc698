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

/* Whether a slot is bound, asked without PyFrame_GetVar(): for an unbound one it makes a message with the name's repr(), and before a repr()
 * the interpreter runs the program's signal handlers and finalizers. In a callback they would write into the record that is open, and what
 * a handler raises would be taken for the NameError. */
#if PY_VERSION_HEX >= 0x030D0000
static int is_bound(PyFrameObject *frame, PyCodeObject *code, int slot)
{
    PyObject *args = PyTuple_Pack(1, frame);
    PyObject *proxy = args ? PyFrameLocalsProxy_Type.tp_new(&PyFrameLocalsProxy_Type, args, NULL) : NULL;
    int bound = proxy ? PySequence_Contains(proxy, PyTuple_GET_ITEM(code->co_localsplusnames, slot)) : -1;
    Py_XDECREF(proxy);
    Py_XDECREF(args);
    return bound > 0;
}
#else
static int is_bound(PyFrameObject *frame, PyCodeObject *code, int slot)
{
    int is_cell = (PyBytes_AS_STRING(code->co_localspluskinds)[slot] & (CO_FAST_CELL | CO_FAST_FREE)) != 0;
    return frames_fast_slot(frame->f_frame, slot, is_cell) != NULL;
}
#endif

PyObject *frames_public_slot(Frame frame, PyCodeObject *code, int slot)
{
    PyObject *pending = PyErr_GetRaisedException();
    PyObject *name = PyTuple_GET_ITEM(code->co_localsplusnames, slot);
    PyObject *value = is_bound((PyFrameObject *)frame, code, slot) ? PyFrame_GetVar((PyFrameObject *)frame, name) : NULL;
    if (!value)
        PyErr_Clear(); /* no memory */
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
    int holds = FRAMES_KNOWN ? layout_holds() : 0;
    frames_fast = 0;
    if (holds < 0)
        return -1;
    if (!holds && PY_VERSION_HEX < 0x030D0000) {
        PyErr_SetString(PyExc_RuntimeError, "this interpreter's frames are not those of CPython 3.12");
        return -1;
    }
    frames_fast = holds && !(wanted && strcmp(wanted, "public") == 0);
    return 0;
}

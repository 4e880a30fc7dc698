/* aftertrace._native: the module, and the functions that steer the recorder of this process (contract: _native.pyi). */
#include "recorder.h"
#include "spans.h"

#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

int values_init(PyObject *module); /* encode_value */
int reader_init(PyObject *module); /* Reader, scan */

static struct {
    int started;
    size_t ring_bytes, defs_bytes;
    int level;
} settings;

static int refuse_subinterpreter(void)
{
    if (PyInterpreterState_Get() == PyInterpreterState_Main())
        return 0;
    PyErr_SetString(PyExc_RuntimeError, "aftertrace does not record in sub-interpreters");
    return -1;
}

static void forget_in_child(void)
{
    ring_forget();
    if (at_thread)
        at_thread->id = (uint64_t)syscall(SYS_gettid);
}

static int open_ring(void)
{
    if (ring_open(settings.ring_bytes, settings.defs_bytes, settings.level) == 0)
        return 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

static PyObject *start(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"level", "ring_bytes", "defs_bytes", "roots", "libraries", "include", "exclude", "keys", NULL};
    static int hooked;
    int level;
    Py_ssize_t ring_bytes = 0, defs_bytes = 0;
    PyObject *roots = NULL, *libraries = NULL, *include = NULL, *exclude = NULL, *keys = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i|$nnOOOOO:start", names, &level, &ring_bytes, &defs_bytes, &roots,
                                     &libraries, &include, &exclude, &keys))
        return NULL;
    if (settings.started) {
        PyErr_SetString(PyExc_RuntimeError, "already started");
        return NULL;
    }
    if (refuse_subinterpreter() < 0)
        return NULL;
    settings.ring_bytes = (size_t)ring_bytes;
    settings.defs_bytes = (size_t)defs_bytes;
    settings.level = level;
    if (open_ring() < 0)
        return NULL;
    if (!hooked)
        hooked = pthread_atfork(NULL, NULL, forget_in_child) == 0;
    settings.started = 1;
    Py_RETURN_NONE;
}

static PyObject *stop(PyObject *module, PyObject *unused)
{
    at_ring.on = 0;
    Py_RETURN_NONE;
}

static PyObject *close_(PyObject *module, PyObject *unused)
{
    ring_mark_ended();
    return stop(module, unused);
}

static PyObject *reopen(PyObject *module, PyObject *unused)
{
    if (settings.started && !at_ring.map && open_ring() < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *ring_fd(PyObject *module, PyObject *unused) { return PyLong_FromLong(at_ring.fd); }

static PyObject *process_uid(PyObject *module, PyObject *unused)
{
    return PyBytes_FromStringAndSize((const char *)at_ring.uid, sizeof at_ring.uid);
}

static PyMethodDef functions[] = {
    {"start", (PyCFunction)(void (*)(void))start, METH_VARARGS | METH_KEYWORDS, NULL},
    {"stop", stop, METH_NOARGS, NULL},
    {"close", close_, METH_NOARGS, NULL},
    {"reopen", reopen, METH_NOARGS, NULL},
    {"ring_fd", ring_fd, METH_NOARGS, NULL},
    {"process_uid", process_uid, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int populate(PyObject *module)
{
    if (PyModule_AddIntConstant(module, "FORMAT_VERSION", 1) < 0 || PyModule_AddIntConstant(module, "LEVEL_SPANS", LEVEL_SPANS) < 0 ||
        PyModule_AddIntConstant(module, "LEVEL_CALLS", LEVEL_CALLS) < 0 || PyModule_AddIntConstant(module, "LEVEL_LINES", LEVEL_LINES) < 0)
        return -1;
    return values_init(module) < 0 || reader_init(module) < 0 || spans_init(module) < 0 ? -1 : 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)populate},
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "aftertrace._native", .m_methods = functions, .m_slots = slots};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }

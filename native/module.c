/* aftertrace._native: the module, and the functions that steer the recorder of this process (contract: _native.pyi). */
#include "classes.h"
#include "names.h"
#include "capture.h"
#include "events.h"
#include "governor.h"
#include "reader.h"
#include "redact.h"
#include "rules.h"
#include "spans.h"

#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

int reader_init(PyObject *module); /* Reader, survey */

static struct {
    int started;
    size_t ring_bytes, defs_bytes;
    int level;
    double budget;
} settings;

/* From pthread_atfork: before anything of the child's can run. */
static void forget_in_child(void)
{
    ring_forget();
    if (at_thread)
        at_thread->id = (uint64_t)syscall(SYS_gettid);
}

static int open_ring(void)
{
    static int hooked;
    if (!hooked && !(hooked = pthread_atfork(NULL, NULL, forget_in_child) == 0)) {
        PyErr_NoMemory();
        return -1;
    }
    int level = settings.level == LEVEL_LINES && settings.budget < 1 ? LEVEL_AUTO : settings.level;
    if (ring_open(settings.ring_bytes, settings.defs_bytes, level) == 0)
        return 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

static int take_keys(PyObject *keys)
{
    redact_reset();
    names_forget();
    PyObject *fast = keys ? PySequence_Fast(keys, "keys is a sequence of str") : PyTuple_New(0);
    if (!fast)
        return -1;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast); i++) {
        Py_ssize_t n;
        const char *text = PyUnicode_AsUTF8AndSize(PySequence_Fast_GET_ITEM(fast, i), &n);
        if (text && redact_add(text, (size_t)n) < 0)
            PyErr_SetString(PyExc_ValueError, "more than 512 keys to redact, or one of more than 64 letters");
        if (PyErr_Occurred())
            break;
    }
    Py_DECREF(fast);
    return PyErr_Occurred() ? -1 : 0;
}

static void shut(void)
{
    ring_end_stretch();
    if (!settings.started)
        return;
    codes_stop();
    monitoring_stop();
    settings.started = 0;
}

static int begin(void)
{
    ring_close(); /* of an earlier start */
    ring_set_keyframe(capture_keyframe);
    if (frames_init() < 0 || open_ring() < 0)
        return -1;
    settings.started = 1;
    codes_redefine(); /* what an earlier start armed */
    governor_begin(settings.budget);
    if (codes_start() == 0 && monitoring_start(settings.level) == 0)
        return 0;
    shut();
    ring_close();
    return -1;
}

static int valid(Py_ssize_t ring_bytes, Py_ssize_t defs_bytes, int level)
{
    if (ring_bytes > 0 && defs_bytes > 0 && level >= LEVEL_SPANS && level <= LEVEL_LINES)
        return 1;
    PyErr_SetString(PyExc_ValueError, "level is 0, 1 or 2; ring_bytes and defs_bytes are more than 0");
    return 0;
}

static int valid_budget(double budget)
{
    if (budget > 0 && budget <= 1)
        return 1;
    PyErr_SetString(PyExc_ValueError, "budget is a share: more than 0, 1 at most");
    return 0;
}

static PyObject *start(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"level", "ring_bytes", "defs_bytes", "roots", "libraries", "include", "exclude", "keys", "budget", NULL};
    int level;
    double budget = 1;
    Py_ssize_t ring_bytes = 0, defs_bytes = 0;
    PyObject *roots = NULL, *libraries = NULL, *include = NULL, *exclude = NULL, *keys = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i|$nnOOOOOd:start", names, &level, &ring_bytes, &defs_bytes, &roots,
                                     &libraries, &include, &exclude, &keys, &budget) ||
        !valid(ring_bytes, defs_bytes, level) || !valid_budget(budget))
        return NULL;
    if (settings.started) {
        PyErr_SetString(PyExc_RuntimeError, "already started");
        return NULL;
    }
    classes_forget();
    if (rules_set(roots, libraries, include, exclude) < 0 || take_keys(keys) < 0)
        return NULL;
    settings.ring_bytes = (size_t)ring_bytes;
    settings.defs_bytes = (size_t)defs_bytes;
    settings.level = level;
    settings.budget = budget;
    if (begin() < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *stop(PyObject *module, PyObject *unused)
{
    shut();
    Py_RETURN_NONE;
}

static PyObject *close_(PyObject *module, PyObject *unused)
{
    ring_mark_ended();
    return stop(module, unused);
}

static PyObject *reopen(PyObject *module, PyObject *unused)
{
    if (settings.started && !at_ring.map) {
        if (open_ring() < 0)
            return NULL;
        codes_redefine();
        governor_begin(settings.budget);
    }
    Py_RETURN_NONE;
}

static int call_later(void *function)
{
    PyObject *result = PyObject_CallNoArgs(function);
    Py_XDECREF(result);
    PyErr_Clear(); /* it would be raised in whatever was interrupted */
    Py_DECREF((PyObject *)function);
    return 0;
}

static PyObject *later(PyObject *module, PyObject *function)
{
    if (Py_AddPendingCall(call_later, Py_NewRef(function)) == 0)
        Py_RETURN_TRUE;
    Py_DECREF(function);
    Py_RETURN_FALSE;
}

static PyObject *set_level(PyObject *module, PyObject *arg)
{
    long level = PyLong_AsLong(arg);
    if ((level == -1 && PyErr_Occurred()) || !valid(1, 1, level < 0 || level > LEVEL_LINES ? -1 : (int)level))
        return NULL;
    settings.level = (int)level;
    if (settings.started && monitoring_set_level((int)level) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *pause_(PyObject *module, PyObject *unused)
{
    governor_pause(1);
    if (settings.started && monitoring_set_level(LEVEL_SPANS) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *resume(PyObject *module, PyObject *unused)
{
    if (settings.started && monitoring_set_level(settings.level) < 0)
        return NULL;
    governor_pause(0);
    Py_RETURN_NONE;
}

static PyObject *set_budget(PyObject *module, PyObject *arg)
{
    double budget = PyFloat_AsDouble(arg);
    if ((budget == -1 && PyErr_Occurred()) || !valid_budget(budget))
        return NULL;
    settings.budget = budget;
    governor_set_budget(budget);
    Py_RETURN_NONE;
}

static PyObject *govern(PyObject *module, PyObject *unused)
{
    governor_look();
    Py_RETURN_NONE;
}

static PyObject *usage(PyObject *module, PyObject *unused) { return governor_usage(); }

static PyObject *hot(PyObject *module, PyObject *arg)
{
    Py_ssize_t most = PyLong_AsSsize_t(arg);
    return most == -1 && PyErr_Occurred() ? NULL : governor_hot(most);
}

static PyObject *outside(PyObject *module, PyObject *arg)
{
    Py_ssize_t most = PyLong_AsSsize_t(arg);
    return most == -1 && PyErr_Occurred() ? NULL : governor_outside(most);
}

static PyObject *set_code_level(PyObject *module, PyObject *args)
{
    PyCodeObject *code;
    int level;
    if (!PyArg_ParseTuple(args, "O!i:set_code_level", &PyCode_Type, &code, &level) || !valid(1, 1, level))
        return NULL;
    CodeInfo *info = settings.started && at_ring.stretch ? code_info(code) : NULL;
    if (info && (level < LEVEL_LINES || info->lines))
        codes_set_level(info, (uint8_t)level, CAUSE_COLD);
    return PyBool_FromLong(info != NULL);
}

/* Code objects are found by their file and first line: the same in every process of a service. */
static PyObject *focus(PyObject *module, PyObject *args)
{
    PyObject *places;
    double how_long;
    long count = 0;
    if (!PyArg_ParseTuple(args, "O!d:focus", &PyFrozenSet_Type, &places, &how_long))
        return NULL;
    for (CodeInfo *info = codes_first(); info; info = codes_next(info)) {
        PyObject *place = Py_BuildValue("(Oi)", info->code->co_filename, info->code->co_firstlineno);
        int is = place ? PySet_Contains(places, place) : -1;
        Py_XDECREF(place);
        if (is < 0)
            return NULL;
        if (is)
            governor_focus(info, how_long);
        count += is;
    }
    return PyLong_FromLong(count);
}

static PyObject *arm(PyObject *module, PyObject *code)
{
    if (!PyCode_Check(code)) {
        PyErr_SetString(PyExc_TypeError, "arm() takes a code object");
        return NULL;
    }
    int user = settings.started && at_ring.stretch ? codes_arm((PyCodeObject *)code) : 0;
    return user < 0 ? NULL : PyBool_FromLong(user);
}

static PyObject *why_user(PyObject *module, PyObject *path)
{
    char why[4096 + 64];
    const char *text = PyUnicode_AsUTF8(path);
    if (!text)
        return NULL;
    int user = rules_user(text, why, sizeof why);
    return Py_BuildValue("(Os)", user ? Py_True : Py_False, why);
}

static PyObject *new_files(PyObject *module, PyObject *unused) { return codes_new_files(); }

static PyObject *status(PyObject *module, PyObject *unused)
{
    return Py_BuildValue("{s:O,s:i,s:i,s:s,s:I,s:K,s:K,s:K,s:K,s:K,s:I,s:n,s:n,s:s}", "recording", at_ring.stretch ? Py_True : Py_False,
                         "level", settings.level, "tool_id", monitoring_tool(), "frames", frames_fast ? "fast" : "public",
                         "codes_armed", codes_armed(), "records", at_ring.records, "lost", at_ring.lost, "doubts", events_doubts,
                         "refused", spans_refused(), "activations", activation_count(), "parked", parked_count(), "ring_bytes",
                         (Py_ssize_t)at_ring.count * SUBBUFFER_SIZE, "defs_bytes", (Py_ssize_t)at_ring.defs_bytes, "memory",
                         at_ring.memory ? at_ring.memory : "");
}

static PyObject *ring_fd(PyObject *module, PyObject *unused) { return PyLong_FromLong(at_ring.fd); }

static PyObject *process_uid(PyObject *module, PyObject *unused)
{
    return PyBytes_FromStringAndSize((const char *)at_ring.uid, sizeof at_ring.uid);
}

static PyMethodDef functions[] = {
    {"start", (PyCFunction)(void (*)(void))start, METH_VARARGS | METH_KEYWORDS, "Makes the ring and begins to record."},
    {"stop", stop, METH_NOARGS, "Ends recording; the ring stays readable."},
    {"close", close_, METH_NOARGS, "Marks the ring as ended in order, and stops."},
    {"reopen", reopen, METH_NOARGS, "A new ring, in a forked child."},
    {"later", later, METH_O, "Calls a function on the main thread, between two instructions."},
    {"ring_fd", ring_fd, METH_NOARGS, "The ring's file descriptor; -1: none."},
    {"process_uid", process_uid, METH_NOARGS, "16 random bytes."},
    {"set_level", set_level, METH_O, "How much is recorded from now on."},
    {"pause", pause_, METH_NOARGS, "Events of code off; what the governor knows stays."},
    {"resume", resume, METH_NOARGS, "Ends pause()."},
    {"set_budget", set_budget, METH_O, "The share of CPU time that recording code may cost."},
    {"govern", govern, METH_NOARGS, "Looks at the budget now."},
    {"usage", usage, METH_NOARGS, "What recording costs."},
    {"hot", hot, METH_O, "The code objects that cost most."},
    {"outside", outside, METH_O, "Which code runs outside of any trace."},
    {"set_code_level", set_code_level, METH_VARARGS, "The level of one code object."},
    {"focus", focus, METH_VARARGS, "Lines of code that took part in a failure."},
    {"arm", arm, METH_O, "Classifies one code object that existed before start()."},
    {"why_user", why_user, METH_O, "Whether a file is user code, and which rule says so."},
    {"new_files", new_files, METH_NOARGS, "(id, path) of user files met since the last call."},
    {"status", status, METH_NOARGS, "Counters of the recorder."},
    {NULL, NULL, 0, NULL},
};

/* An interpreter of the old kind (mod_wsgi's) may load what does not support it, and would share our state. */
static int refuse_loading(void)
{
    if (PyInterpreterState_Get() == PyInterpreterState_Main())
        return 0;
    PyErr_SetString(PyExc_ImportError, "module aftertrace._native does not support loading in subinterpreters");
    return -1;
}

static int populate(PyObject *module)
{
    if (refuse_loading() < 0)
        return -1;
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

/* Our place in sys.monitoring: a tool id, the callbacks, and which events are on. Always through its Python functions: rare, and documented. */
#include "events.h"
#include "governor.h"
#include "ring.h"

static int tool = -1;
static PyObject *set_local; /* sys.monitoring.set_local_events, while we have a tool id */
static long bits[16];       /* of events_kinds, in their order */

int monitoring_tool(void) { return tool; }

/* New reference; NULL with an exception. */
static PyObject *function(const char *name)
{
    PyObject *monitoring = PySys_GetObject("monitoring");
    if (!monitoring) {
        PyErr_SetString(PyExc_RuntimeError, "sys.monitoring is missing");
        return NULL;
    }
    return PyObject_GetAttrString(monitoring, name);
}

static int done(PyObject *result)
{
    Py_XDECREF(result);
    return result ? 0 : -1;
}

static int call(const char *name, PyObject *first, PyObject *second, PyObject *third)
{
    PyObject *callable = function(name);
    if (!callable)
        return -1;
    PyObject *result = PyObject_CallFunctionObjArgs(callable, first, second, third, NULL);
    Py_DECREF(callable);
    return done(result);
}

static int call_tool(const char *name, PyObject *second, PyObject *third)
{
    PyObject *id = PyLong_FromLong(tool);
    int failed = id ? call(name, id, second, third) : -1;
    Py_XDECREF(id);
    return failed;
}

/* 3, else 4; neither free: -1 without an exception. */
static int take_tool(void)
{
    PyObject *name = PyUnicode_FromString("aftertrace");
    for (tool = 3; name && tool <= 4; tool++) {
        if (call_tool("use_tool_id", name, NULL) == 0)
            break;
        if (!PyErr_ExceptionMatches(PyExc_ValueError))
            break;
        PyErr_Clear();
    }
    Py_XDECREF(name);
    if (PyErr_Occurred() || tool > 4)
        tool = -1;
    return PyErr_Occurred() ? -1 : 0;
}

static int read_bits(void)
{
    PyObject *events = function("events");
    for (int i = 0; events && events_kinds[i].name; i++) {
        PyObject *bit = PyObject_GetAttrString(events, events_kinds[i].name);
        bits[i] = bit ? PyLong_AsLong(bit) : 0;
        Py_XDECREF(bit);
    }
    Py_XDECREF(events);
    return PyErr_Occurred() ? -1 : 0;
}

static int register_callbacks(int on)
{
    for (int i = 0; events_kinds[i].name; i++) {
        PyObject *bit = PyLong_FromLong(bits[i]);
        int failed = bit ? call_tool("register_callback", bit, on ? events_kinds[i].callback : Py_None) : -1;
        Py_XDECREF(bit);
        if (failed)
            return -1;
    }
    return 0;
}

static long local_mask(int level)
{
    long events = 0;
    for (int i = 0; events_kinds[i].name && level >= LEVEL_CALLS; i++)
        if (events_kinds[i].local && (level >= LEVEL_LINES || strcmp(events_kinds[i].name, "LINE") != 0))
            events |= bits[i];
    return events;
}

static long global_mask(void)
{
    long events = 0;
    for (int i = 0; events_kinds[i].name && events_level >= LEVEL_CALLS; i++)
        if (!events_kinds[i].local && events_kinds[i].least <= events_exceptions)
            events |= bits[i];
    return events;
}

static int set_global(long events)
{
    PyObject *value = PyLong_FromLong(events);
    int failed = value ? call_tool("set_events", value, NULL) : -1;
    Py_XDECREF(value);
    return failed;
}

static int set_code(PyCodeObject *code, long events)
{
    return set_local ? done(PyObject_CallFunction(set_local, "iOl", tool, code, events)) : 0;
}

int monitoring_local(CodeInfo *info)
{
    info->level = info->own < events_level ? info->own : (uint8_t)events_level;
    return set_code(info->code, local_mask(info->level));
}

int monitoring_first(PyCodeObject *code) { return set_code(code, bits[0]); }
int monitoring_none(PyCodeObject *code) { return set_code(code, 0); }

void monitoring_set_exceptions(int wanted)
{
    PyObject *pending = PyErr_GetRaisedException();
    events_exceptions = wanted;
    if (tool >= 0 && set_global(global_mask()) < 0)
        PyErr_Clear();
    codes_define_level(0, (uint8_t)wanted, wanted == EXCEPTIONS_ALL ? CAUSE_COLD : CAUSE_BUDGET);
    PyErr_SetRaisedException(pending);
}

/* What a frame did at the old level is not known at the new one: values are captured anew, and after spans, where no events are, frames too. */
static void say_level(int level)
{
    static const char *const TOLD[] = {"from here on spans only", "from here on calls only", "from here on lines"};
    if (!at_ring.stretch || level == events_level)
        return;
    if (events_level == LEVEL_SPANS)
        ring_begin_stretch();
    at_ring.roll++;
    ring_gap(4, TOLD[level]);
}

int monitoring_set_level(int level)
{
    say_level(level);
    events_level = level;
    ring_set_level(level == LEVEL_LINES && governor_limits() ? LEVEL_AUTO : level);
    if (tool < 0)
        return 0;
    return set_global(global_mask()) < 0 ? -1 : codes_set_events();
}

int monitoring_start(int level)
{
    if (events_init() < 0 || take_tool() < 0)
        return -1;
    if (tool >= 0 && (read_bits() < 0 || register_callbacks(1) < 0 || !(set_local = function("set_local_events"))))
        return -1;
    events_level = level; /* nothing has changed yet that would have to be said */
    return monitoring_set_level(level);
}

void monitoring_stop(void)
{
    PyObject *pending = PyErr_GetRaisedException();
    if (tool >= 0) {
        if (monitoring_set_level(LEVEL_SPANS) < 0)
            PyErr_Clear();
        if (register_callbacks(0) < 0 || call_tool("free_tool_id", NULL, NULL) < 0)
            PyErr_Clear();
    }
    Py_CLEAR(set_local);
    tool = -1;
    PyErr_SetRaisedException(pending);
}

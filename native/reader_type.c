/* Reader and survey(): the ring's reader as Python sees it, in the agent. */
#define PY_SSIZE_T_CLEAN 1
#include <Python.h>

#include "reader.h"

typedef struct {
    PyObject_HEAD
    RingReader core;
    PyObject *clocks, *losses; /* lists, since the last call */
} Reader;

#define NOTES_MAX 65536 /* clocks or losses that wait to be asked for; older ones are dropped */

static int note(PyObject *list, PyObject *item)
{
    if (!item) {
        return -1;
    }
    int failed = PyList_Append(list, item);
    Py_DECREF(item);
    if (!failed && PyList_GET_SIZE(list) > NOTES_MAX) {
        failed = PyList_SetSlice(list, 0, NOTES_MAX / 2, NULL);
    }
    return failed;
}

static PyObject *reader_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"fd", NULL};
    int fd;
    const char *why;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i:Reader", names, &fd)) {
        return NULL;
    }
    Reader *self = (Reader *)type->tp_alloc(type, 0);
    if (!self) {
        return NULL;
    }
    self->core.fd = -1;
    if (reader_open(&self->core, fd, &why) < 0) {
        if (why) {
            PyErr_SetString(PyExc_ValueError, why);
        } else {
            PyErr_SetFromErrno(PyExc_OSError);
        }
        Py_DECREF(self);
        return NULL;
    }
    self->clocks = PyList_New(0);
    self->losses = PyList_New(0);
    if (!self->clocks || !self->losses) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static void reader_dealloc(Reader *self)
{
    reader_close(&self->core);
    Py_XDECREF(self->clocks);
    Py_XDECREF(self->losses);
    Py_TYPE(self)->tp_free(self);
}

static int is_closed(Reader *self)
{
    if (self->core.fd < 0) {
        PyErr_SetString(PyExc_ValueError, "the reader is closed");
        return 1;
    }
    return 0;
}

static PyObject *slice_tuple(const Step *step)
{
    const char *trace = step->in_trace ? (const char *)step->trace_id : NULL;
    return Py_BuildValue("(Ky#Ky#)", (unsigned long long)step->position, trace, (Py_ssize_t)16, (unsigned long long)step->thread,
                         (const char *)step->records, (Py_ssize_t)step->length);
}

static int take_step(Reader *self, const Step *step, PyObject *slices)
{
    const uint64_t *c = step->clock;
    switch (step->kind) {
    case STEP_SLICE:
        return note(slices, slice_tuple(step));
    case STEP_CLOCK:
        return note(self->clocks, Py_BuildValue("(KKKKK)", (unsigned long long)c[0], (unsigned long long)c[1], (unsigned long long)c[2],
                                                (unsigned long long)c[3], (unsigned long long)c[4]));
    case STEP_LOSS:
        return note(self->losses, Py_BuildValue("(KK)", (unsigned long long)step->position, (unsigned long long)step->to));
    default:
        return 0;
    }
}

static PyObject *poll(Reader *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"max_bytes", NULL};
    Py_ssize_t max_bytes = 4 << 20, bytes = 0, count = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|n:poll", names, &max_bytes) || is_closed(self)) {
        return NULL;
    }
    PyObject *slices = PyList_New(0);
    while (slices && bytes < max_bytes && count++ < NOTES_MAX) {
        Step step;
        reader_step(&self->core, &step);
        if (step.kind == STEP_NONE) {
            break;
        }
        bytes += step.kind == STEP_SLICE ? (Py_ssize_t)step.length : 0;
        if (take_step(self, &step, slices) < 0) {
            Py_CLEAR(slices);
        }
    }
    return slices;
}

/* Hands out a list and begins a new one. */
static PyObject *hand_out(PyObject **list)
{
    PyObject *fresh = PyList_New(0);
    if (!fresh) {
        return NULL;
    }
    PyObject *old = *list;
    *list = fresh;
    return old;
}

static PyObject *clocks(Reader *self, PyObject *unused) { return hand_out(&self->clocks); }
static PyObject *losses(Reader *self, PyObject *unused) { return hand_out(&self->losses); }

static PyObject *definitions(Reader *self, PyObject *unused)
{
    if (is_closed(self)) {
        return NULL;
    }
    uint8_t *buffer = PyMem_Malloc(self->core.definitions_size + 1u);
    if (!buffer) {
        return PyErr_NoMemory();
    }
    PyObject *bytes = PyBytes_FromStringAndSize((char *)buffer, (Py_ssize_t)reader_definitions(&self->core, buffer));
    PyMem_Free(buffer);
    return bytes;
}

static PyObject *ended(Reader *self, PyObject *unused)
{
    return is_closed(self) ? NULL : PyBool_FromLong(reader_u32(&self->core, 208) == 1);
}

static PyObject *close_reader(Reader *self, PyObject *unused)
{
    reader_close(&self->core);
    Py_RETURN_NONE;
}

static PyObject *get_pid(Reader *self, void *unused) { return PyLong_FromUnsignedLong(self->core.pid); }
static PyObject *get_uid(Reader *self, void *unused) { return PyBytes_FromStringAndSize((char *)self->core.uid, 16); }
static PyObject *get_hex(Reader *self, void *unused) { return PyLong_FromUnsignedLong(self->core.python_hex); }
static PyObject *get_lost(Reader *self, void *unused) { return PyLong_FromUnsignedLongLong(self->core.lost); }

static PyObject *get_level(Reader *self, void *unused)
{
    return is_closed(self) ? NULL : PyLong_FromUnsignedLong(reader_u32(&self->core, 52));
}

static PyGetSetDef GETTERS[] = {
    {"pid", (getter)get_pid, NULL, NULL, NULL},
    {"process_uid", (getter)get_uid, NULL, NULL, NULL},
    {"python_hex", (getter)get_hex, NULL, NULL, NULL},
    {"level", (getter)get_level, NULL, "The level now.", NULL},
    {"lost_bytes", (getter)get_lost, NULL, "Overwritten before they were read, so far.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef METHODS[] = {
    {"poll", (PyCFunction)(void (*)(void))poll, METH_VARARGS | METH_KEYWORDS, "What is new, as slices."},
    {"clocks", (PyCFunction)clocks, METH_NOARGS, "Clocks of the sub-buffers met since the last call."},
    {"losses", (PyCFunction)losses, METH_NOARGS, "Positions lost since the last call."},
    {"definitions", (PyCFunction)definitions, METH_NOARGS, "Definitions since the last call."},
    {"ended", (PyCFunction)ended, METH_NOARGS, "The process said that it ended in order."},
    {"close", (PyCFunction)close_reader, METH_NOARGS, "Lets go of the ring."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject ReaderType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "aftertrace._native.Reader",
    .tp_basicsize = sizeof(Reader),
    .tp_dealloc = (destructor)reader_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "Reads another process's ring through its memfd.",
    .tp_methods = METHODS,
    .tp_getset = GETTERS,
    .tp_new = reader_new,
};

/* Kinds that survey() reports: RAISE, HANDLED, UNWIND, SPAN_*, LOG, KEEP, GAP. */
#define SURVEYED (1u << 9 | 1u << 11 | 1u << 12 | 0x7fu << 13 | 1u << 20 | 1u << 21 | 1u << 22)

static PyObject *survey(PyObject *module, PyObject *records)
{
    Py_buffer view;
    if (PyObject_GetBuffer(records, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    PyObject *found = PyList_New(0);
    size_t at = 0, body, next, length = (size_t)view.len;
    uint64_t ticks = 0;
    uint8_t kind;
    while (found && (next = record_at(view.buf, length, at, &kind, &body))) {
        uint64_t before = ticks;
        if (!record_stamp(view.buf, kind, body, next, &ticks)) {
            break;
        }
        if (kind < 32 && (SURVEYED >> kind & 1)) {
            PyObject *item = Py_BuildValue("(innK)", kind, (Py_ssize_t)body, (Py_ssize_t)next, (unsigned long long)before);
            if (!item || PyList_Append(found, item) < 0) {
                Py_CLEAR(found);
            }
            Py_XDECREF(item);
        }
        at = next;
    }
    PyBuffer_Release(&view);
    return found;
}

static PyMethodDef FUNCTIONS[] = {
    {"survey", survey, METH_O, "(kind, start of body, end of body, ticks before) of the records that are not calls or lines."},
    {NULL, NULL, 0, NULL},
};

int reader_init(PyObject *module)
{
    if (PyType_Ready(&ReaderType) < 0 || PyModule_AddFunctions(module, FUNCTIONS) < 0) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "Reader", (PyObject *)&ReaderType);
}

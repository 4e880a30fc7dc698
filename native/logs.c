/* log() and keep(): a program's log records and its wish to keep a request, as records. */
#include "governor.h"
#include <Python.h>

#include "attributes.h"
#include "spans.h"

#define LOGGER_MAX 200
#define FILE_MAX 400
#define FUNCTION_MAX 200
#define REASON_MAX 1000
#define TAIL_ROOM (FILE_MAX + FUNCTION_MAX + 32) /* what stands behind the values of a LOG */

static const Caps MESSAGE_CAPS = {.depth = 2, .items = 16, .fields = 8, .text = 2048};
static const Caps ARGS_CAPS = {.depth = 3, .items = 32, .fields = 16, .text = 512};

static Signature LOG_ARGS = {.names = {"severity", "logger", "message", "args", "file", "line", "function", "exception"}};
static Signature KEEP_ARGS = {.names = {"reason", "attributes"}};

/* A value that takes at most its share of the room before what must still follow it. */
static void put_value(Out *out, PyObject *o, const Caps *caps, size_t after, size_t share)
{
    size_t room = (out_left(out) - after) / share;
    value_write(out, o, caps, room < VALUE_MIN ? VALUE_MIN : room);
}

static PyObject *py_log(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *given[ARGS_MAX];
    Out out;
    read_args(&LOG_ARGS, args, nargs, kwnames, given);
    int severity = read_int(given[0], 0), line = read_int(given[5], 0);
    if (spans_begin(&out, REC_LOG)) {
        put_varint(&out, ring_dt());
        put_varint(&out, (uint64_t)severity);
        put_text(&out, given[1], LOGGER_MAX);
        put_value(&out, given[2] ? given[2] : Py_None, &MESSAGE_CAPS, TAIL_ROOM, 3);
        put_value(&out, given[3] ? given[3] : Py_None, &ARGS_CAPS, TAIL_ROOM, 2);
        put_text(&out, given[4], FILE_MAX);
        put_varint(&out, (uint64_t)line);
        put_text(&out, given[6], FUNCTION_MAX);
        value_write(&out, given[7] ? given[7] : Py_None, &ARGS_CAPS, out_left(&out));
        ring_commit(&out);
        at_governor.spans += COST_LOG;
    }
    Py_RETURN_NONE;
}

static PyObject *py_keep(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *given[ARGS_MAX];
    Out out;
    read_args(&KEEP_ARGS, args, nargs, kwnames, given);
    Attributes attributes = attributes_open(given[1]);
    if (spans_begin(&out, REC_KEEP)) {
        put_varint(&out, ring_dt());
        put_text(&out, given[0], REASON_MAX);
        put_attributes(&out, &attributes);
        ring_commit(&out);
    }
    attributes_close(&attributes);
    Py_RETURN_NONE;
}

static PyMethodDef METHODS[] = {
    {"log", (PyCFunction)(void (*)(void))py_log, METH_FASTCALL | METH_KEYWORDS, "Writes a log record."},
    {"keep", (PyCFunction)(void (*)(void))py_keep, METH_FASTCALL | METH_KEYWORDS, "Asks that the current request be kept."},
    {NULL, NULL, 0, NULL},
};

int logs_init(PyObject *module)
{
    if (signature_init(&LOG_ARGS) < 0 || signature_init(&KEEP_ARGS) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, METHODS);
}

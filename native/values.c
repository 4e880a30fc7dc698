/* Copying a value (D4): dispatch on exact type, containers with fair shares of the room, redaction by name. */
#define _GNU_SOURCE 1
#define Py_BUILD_CORE 1
#include <Python.h>
#include <time.h>

#include "redact.h"
#include "suspect.h"
#include "values_impl.h"

/* -- parts -- */

static size_t ascii_prefix(char *to, size_t max, const char *text)
{
    size_t n = 0;
    for (; text[n] && n < max; n++) {
        to[n] = text[n] > 0 ? text[n] : '?';
    }
    return n;
}

void write_missing(Out *out, enum Reason reason, const char *type)
{
    char text[64];
    size_t room = out_left(out) - 3;
    size_t n = ascii_prefix(text, room < sizeof text ? room : sizeof text, type);
    put_u8(out, TAG_MISSING);
    put_u8(out, (uint8_t)reason);
    put_str(out, text, n);
}

void write_redacted(Out *out, enum Reason reason)
{
    put_u8(out, TAG_REDACTED);
    put_u8(out, (uint8_t)reason);
}

/* One of `left` values that share the room: what the others do not need, it may take. */
void write_shared(Out *out, PyObject *o, const Caps *caps, unsigned depth, size_t left)
{
    uint8_t *end = out->end;
    size_t share = out_left(out) / left;
    out->end = out->at + (share < ITEM_MIN ? ITEM_MIN : share);
    write_any(out, o, caps, depth);
    out->end = end;
}

void write_under_name(Out *out, PyObject *name, PyObject *o, const Caps *caps, unsigned depth, size_t left)
{
    if (o && redact_name(name) && !redact_is_empty(o)) {
        write_redacted(out, REDACTED_NAME);
    } else {
        write_shared(out, o, caps, depth, left);
    }
}

/* -- containers -- */

typedef struct {
    uint8_t *count_at; /* where n stands */
    unsigned width;
    Py_ssize_t planned;
    enum Reason reason; /* why not all of them are planned */
} Plan;

/* Writes a container's head and plans how many of its items fit; `each` is the least room of one. */
static Plan open_container(Out *out, enum Tag tag, PyObject *o, Py_ssize_t length, const Caps *caps, unsigned depth, size_t each)
{
    put_u8(out, (uint8_t)tag);
    put_varint(out, identity(o));
    put_varint(out, (uint64_t)length);
    Plan plan = {.count_at = out->at, .planned = length, .reason = WHOLE};
    if (plan.planned && !depth) {
        plan.planned = 0;
        plan.reason = DEPTH;
    }
    if (plan.planned > caps->items) {
        plan.planned = caps->items;
        plan.reason = COLLECTION_SIZE;
    }
    Py_ssize_t fit = out_left(out) > 4 ? (Py_ssize_t)((out_left(out) - 4) / each) : 0;
    if (plan.planned > fit) {
        plan.planned = fit;
        plan.reason = SIZE;
    }
    plan.width = varint_width((uint64_t)plan.planned);
    patch_varint(plan.count_at, plan.width, (uint64_t)plan.planned);
    out->at += plan.width;
    put_u8(out, (uint8_t)plan.reason);
    return plan;
}

/* Fewer came than were planned. */
static void close_short(const Plan *plan, Py_ssize_t written, enum Reason reason)
{
    patch_varint(plan->count_at, plan->width, (uint64_t)written);
    plan->count_at[plan->width] = (uint8_t)reason;
}

/* A pair like ("authorization", "Basic ...") is a header, a column, an item of a dict; of three, the name may stand twice (h11). */
static int is_sensitive_pair(PyObject *const *items, Py_ssize_t length)
{
    return (length == 2 || (length == 3 && items[1] && redact_name(items[1]))) && items[0] && redact_name(items[0]);
}

/* "--password", behind which its value stands in a list of a command's words. */
static int is_sensitive_option(PyObject *o)
{
    return o && Py_TYPE(o) == &PyUnicode_Type && PyUnicode_GET_LENGTH(o) > 2 && PyUnicode_READ_CHAR(o, 0) == '-' && redact_name(o);
}

void write_items(Out *out, enum Tag tag, PyObject *o, PyObject *const *items, Py_ssize_t length, PyObject *names, const Caps *caps, unsigned depth)
{
    Plan plan = open_container(out, tag, o, length, caps, depth, ITEM_MIN);
    int pair = is_sensitive_pair(items, length), named = 0;
    for (Py_ssize_t i = 0; i < plan.planned; i++) {
        size_t left = (size_t)(plan.planned - i);
        if ((named || (pair && i == length - 1)) && items[i] && !redact_is_empty(items[i])) {
            write_redacted(out, REDACTED_NAME);
        } else if (names) {
            write_under_name(out, PyTuple_GET_ITEM(names, i), items[i], caps, depth - 1, left);
        } else {
            write_shared(out, items[i], caps, depth - 1, left);
        }
        named = is_sensitive_option(items[i]);
    }
}

static void write_sequence(Out *out, enum Tag tag, PyObject *o, PyObject *const *items, PyObject *names, const Caps *caps, unsigned depth)
{
    write_items(out, tag, o, items, Py_SIZE(o), names, caps, depth);
}

void write_pairs(Out *out, PyObject *o, PyObject *const *pairs, Py_ssize_t count, const Caps *caps, unsigned depth)
{
    Plan plan = open_container(out, TAG_DICT, o, count, caps, depth, 2 * ITEM_MIN);
    for (Py_ssize_t i = 0; i < plan.planned; i++) {
        size_t left = (size_t)(plan.planned - i);
        write_shared(out, pairs[2 * i], caps, depth - 1, 2 * left);
        write_under_name(out, pairs[2 * i], pairs[2 * i + 1], caps, depth - 1, 2 * left - 1);
    }
}

static void write_set(Out *out, enum Tag tag, PyObject *o, const Caps *caps, unsigned depth)
{
    PySetObject *set = (PySetObject *)o;
    Plan plan = open_container(out, tag, o, set->used, caps, depth, ITEM_MIN);
    Py_ssize_t written = 0;
    unsigned dead = 0;
    for (Py_ssize_t i = 0; i <= set->mask && written < plan.planned && dead <= SCAN_MAX; i++) {
        setentry *entry = &set->table[i];
        if (!entry->key || entry->hash == -1) { /* unused, or the dummy of a removed one */
            dead++;
            continue;
        }
        write_shared(out, entry->key, caps, depth - 1, (size_t)(plan.planned - written));
        written++;
    }
    if (written < plan.planned) {
        close_short(&plan, written, dead > SCAN_MAX ? TIMEOUT : CONCURRENT_MODIFICATION);
    }
}

static void write_dict(Out *out, PyObject *o, const Caps *caps, unsigned depth)
{
    Entries entries;
    PyObject *key, *value;
    entries_of_dict(&entries, o);
    Plan plan = open_container(out, TAG_DICT, o, entries.used, caps, depth, 2 * ITEM_MIN);
    Py_ssize_t written = 0;
    while (written < plan.planned && entries_next(&entries, &key, &value)) {
        size_t left = (size_t)(plan.planned - written);
        write_shared(out, key, caps, depth - 1, 2 * left);
        write_under_name(out, key, value, caps, depth - 1, 2 * left - 1);
        written++;
    }
    if (written < plan.planned) {
        close_short(&plan, written, entries.dead > SCAN_MAX ? TIMEOUT : CONCURRENT_MODIFICATION);
    }
}

/* -- subclasses of built-ins: their content, as the built-in stores it -- */

static PyObject *fields_name; /* "_fields" */

/* The field names of a named tuple; NULL when it is none. Borrowed. */
static PyObject *field_names(PyObject *o)
{
    PyObject *names = lookup(Py_TYPE(o)->tp_dict, fields_name);
    if (!names || !PyTuple_CheckExact(names) || PyTuple_GET_SIZE(names) != Py_SIZE(o)) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        if (!PyUnicode_CheckExact(PyTuple_GET_ITEM(names, i))) {
            return NULL;
        }
    }
    return names;
}

static int write_container_as(Out *out, PyObject *o, PyTypeObject *layout, const Caps *caps, unsigned depth)
{
    if (layout == &PyDict_Type) {
        write_dict(out, o, caps, depth);
    } else if (layout == &PyList_Type) {
        write_sequence(out, TAG_LIST, o, ((PyListObject *)o)->ob_item, NULL, caps, depth);
    } else if (layout == &PyTuple_Type) {
        write_sequence(out, TAG_TUPLE, o, ((PyTupleObject *)o)->ob_item, o->ob_type == layout ? NULL : field_names(o), caps, depth);
    } else if (layout == &PySet_Type) {
        write_set(out, TAG_SET, o, caps, depth);
    } else if (layout == &PyFrozenSet_Type) {
        write_set(out, TAG_FROZENSET, o, caps, depth);
    } else {
        return 0;
    }
    return 1;
}

/* Writes `o` as an instance of the built-in `layout`, whose structure it has; 0: not one of them. */
static int write_as(Out *out, PyObject *o, PyTypeObject *layout, const Caps *caps, unsigned depth)
{
    if (layout == &PyUnicode_Type) {
        write_text(out, o, caps);
    } else if (layout == &PyLong_Type) {
        write_int(out, o);
    } else if (layout == &PyFloat_Type) {
        write_float(out, ((PyFloatObject *)o)->ob_fval);
    } else if (layout == &PyBytes_Type) {
        write_bytes(out, TAG_BYTES, ((PyBytesObject *)o)->ob_sval, Py_SIZE(o), caps);
    } else if (layout == &PyByteArray_Type) {
        const char *start = ((PyByteArrayObject *)o)->ob_start;
        write_bytes(out, TAG_BYTEARRAY, start ? start : "", Py_SIZE(o), caps);
    } else if (layout == &PyComplex_Type) {
        write_complex(out, o);
    } else {
        return write_container_as(out, o, layout, caps, depth) || write_temporal(out, o, layout);
    }
    return 1;
}

static void write_subclass(Out *out, PyObject *o, PyTypeObject *layout, const Caps *caps, unsigned depth)
{
    if (out_left(out) < 1 + 10 + 9 + ITEM_MIN) {
        write_missing(out, SIZE, Py_TYPE(o)->tp_name);
        return;
    }
    put_u8(out, TAG_SUBCLASS);
    put_type(out, Py_TYPE(o), 9 + ITEM_MIN);
    put_varint(out, identity(o));
    write_as(out, o, layout, caps, depth);
}

/* -- dispatch -- */

static void write_instance(Out *out, PyObject *o, const Class *class, const Caps *caps, unsigned depth)
{
    if (class->known != NOT_KNOWN) {
        if (write_known(class->known, out, o, caps, depth)) {
            return;
        }
        class = class_of(Py_TYPE(o));
    }
    if (class->layout && !class->is_secret) {
        write_subclass(out, o, class->layout, caps, depth);
    } else {
        write_object(out, o, class, caps, depth);
    }
}

static void write_rare(Out *out, PyObject *o, const Caps *caps, unsigned depth)
{
    if (o == Py_Ellipsis || o == Py_NotImplemented) {
        put_u8(out, o == Py_Ellipsis ? TAG_ELLIPSIS : TAG_NOTIMPLEMENTED);
        return;
    }
    const Class *class = class_of(Py_TYPE(o));
    switch ((enum Way)class->way) {
    case WAY_RANGE:
        write_range(out, o);
        break;
    case WAY_EXCEPTION:
        write_exception(out, o, class, caps, depth);
        break;
    case WAY_NAMED:
        write_named(out, o);
        break;
    case WAY_BUILTIN:
        write_as(out, o, class->layout, caps, depth);
        break;
    case WAY_OBJECT:
        write_instance(out, o, class, caps, depth);
        break;
    }
}

void write_any(Out *out, PyObject *o, const Caps *caps, unsigned depth)
{
    if (!o) {
        put_u8(out, TAG_UNBOUND);
        return;
    }
    PyTypeObject *type = Py_TYPE(o);
    if (type == &PyUnicode_Type) {
        write_text(out, o, caps);
    } else if (type == &PyLong_Type) {
        write_int(out, o);
    } else if (o == Py_None) {
        put_u8(out, TAG_NONE);
    } else if (type == &PyDict_Type) {
        write_dict(out, o, caps, depth);
    } else if (type == &PyList_Type) {
        write_sequence(out, TAG_LIST, o, ((PyListObject *)o)->ob_item, NULL, caps, depth);
    } else if (type == &PyTuple_Type) {
        write_sequence(out, TAG_TUPLE, o, ((PyTupleObject *)o)->ob_item, NULL, caps, depth);
    } else if (type == &PyFloat_Type) {
        write_float(out, ((PyFloatObject *)o)->ob_fval);
    } else if (type == &PyBool_Type) {
        put_u8(out, o == Py_True ? TAG_TRUE : TAG_FALSE);
    } else {
        write_rare(out, o, caps, depth);
    }
}

void value_write(Out *out, PyObject *o, const Caps *caps, size_t room)
{
    uint8_t *end = out->end;
    if (room < out_left(out)) {
        out->end = out->at + room;
    }
    if (out_left(out) >= ITEM_MIN) {
        objects_begin();
        write_any(out, o, caps, caps->depth < DEPTH_MAX ? caps->depth : DEPTH_MAX);
    } else if (out_left(out) >= 3) {
        write_missing(out, SIZE, "");
    }
    out->end = end;
}

void value_write_redacted(Out *out) { write_redacted(out, REDACTED_NAME); }

void value_write_named(Out *out, PyObject *name, PyObject *o, const Caps *caps, size_t room)
{
    if (o && redact_name(name) && !redact_is_empty(o) && out_left(out) >= 2) {
        write_redacted(out, REDACTED_NAME);
    } else {
        value_write(out, o, caps, room);
    }
}

/* -- the module's part -- */

#define ENCODE_ROOM_MAX (1 << 20)

static int clamp_u16(int v) { return v < 0 ? 0 : v > UINT16_MAX ? UINT16_MAX : v; }

static PyObject *encode_value(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"", "depth", "items", "fields", "text", "objects", "room", NULL};
    PyObject *o;
    int depth = 3, items = 32, fields = 24, text = 256, objects = 4, room = 4096;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$iiiiii:encode_value", names, &o, &depth, &items, &fields, &text, &objects, &room)) {
        return NULL;
    }
    if (room < VALUE_MIN || room > ENCODE_ROOM_MAX) {
        return PyErr_Format(PyExc_ValueError, "room must be between %d and %d bytes", VALUE_MIN, ENCODE_ROOM_MAX);
    }
    Caps caps = {(uint16_t)clamp_u16(depth), (uint16_t)clamp_u16(items), (uint16_t)clamp_u16(fields), (uint16_t)clamp_u16(text), (uint16_t)clamp_u16(objects), 0};
    uint8_t *buffer = PyMem_RawMalloc((size_t)room); /* exactly the room: sanitizers see a byte too many */
    if (!buffer) {
        return PyErr_NoMemory();
    }
    Out out = {buffer, buffer + room};
    value_write(&out, o, &caps, (size_t)room);
    PyObject *bytes = PyBytes_FromStringAndSize((char *)buffer, out.at - buffer);
    PyMem_RawFree(buffer);
    return bytes;
}

/* ns that one value_write() of a value takes, on average over some rounds. */
static PyObject *time_value(PyObject *module, PyObject *args)
{
    static const Caps CAPS = {.depth = 3, .items = 32, .fields = 24, .text = 256, .objects = 4};
    uint8_t buffer[4096];
    PyObject *o;
    int rounds;
    struct timespec before, after;
    if (!PyArg_ParseTuple(args, "Oi:time_value", &o, &rounds)) {
        return NULL;
    }
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (int i = 0; i < rounds; i++) {
        Out out = {buffer, buffer + sizeof buffer};
        value_write(&out, o, &CAPS, sizeof buffer);
        __asm__ volatile("" : : "r"(buffer) : "memory"); /* the bytes are wanted */
    }
    clock_gettime(CLOCK_MONOTONIC, &after);
    double ns = (double)(after.tv_sec - before.tv_sec) * 1e9 + (double)(after.tv_nsec - before.tv_nsec);
    return PyFloat_FromDouble(rounds > 0 ? ns / rounds : 0.0);
}

static PyObject *fingerprint(PyObject *module, PyObject *o) { return PyLong_FromUnsignedLong(value_fingerprint(o)); }

static PyObject *sensitive_name(PyObject *module, PyObject *name) { return PyBool_FromLong(redact_name(name)); }

static PyObject *suspicious(PyObject *module, PyObject *args)
{
    Py_buffer view;
    Py_ssize_t start, end;
    if (!PyArg_ParseTuple(args, "y*nn:suspicious", &view, &start, &end)) {
        return NULL;
    }
    end = end < view.len ? end : view.len;
    int is = start >= 0 && start < end && suspect((const uint8_t *)view.buf + start, (size_t)(end - start));
    PyBuffer_Release(&view);
    return PyBool_FromLong(is);
}

static PyMethodDef METHODS[] = {
    {"suspicious", suspicious, METH_VARARGS, "Whether bytes of a record may hold a secret by its pattern."},
    {"sensitive_name", sensitive_name, METH_O, "Whether values behind this name (str or bytes) are redacted."},
    {"encode_value", (PyCFunction)(void (*)(void))encode_value, METH_VARARGS | METH_KEYWORDS, "One captured value, as the format writes it."},
    {"time_value", time_value, METH_VARARGS, "ns that copying a value takes, on average over some rounds."},
    {"fingerprint", fingerprint, METH_O, "Fingerprint of a mutable's content; 0 for what has none."},
    {NULL, NULL, 0, NULL},
};

int values_init(PyObject *module)
{
    if (scalars_init() < 0 || classes_init() < 0 || objects_init() < 0 || library_init() < 0 || arrays_init() < 0) {
        return -1;
    }
    if (!fields_name && !(fields_name = PyUnicode_InternFromString("_fields"))) {
        return -1;
    }
    return PyModule_AddFunctions(module, METHODS);
}

/* Arguments and attributes of the span API, read without ever raising. */
#include "attributes.h"

static const Caps ATTRIBUTE_CAPS = {.depth = 2, .items = 64, .fields = 0, .text = 2048};
static uint64_t refused;

/* -- arguments -- */

void refuse(void)
{
    PyErr_Clear();
    refused++;
}

uint64_t refused_count(void) { return refused; }

int signature_init(Signature *signature)
{
    for (int i = 0; signature->names[i]; i++) {
        if (!signature->interned[i] && !(signature->interned[i] = PyUnicode_InternFromString(signature->names[i]))) {
            return -1;
        }
    }
    return 0;
}

static int index_of(const Signature *signature, PyObject *name)
{
    for (int i = 0; signature->names[i]; i++) {
        if (signature->interned[i] == name) {
            return i;
        }
    }
    for (int i = 0; signature->names[i]; i++) {
        if (PyUnicode_CompareWithASCIIString(name, signature->names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

void read_args(const Signature *signature, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject **to)
{
    int count = 0;
    for (; signature->names[count]; count++) {
        to[count] = count < nargs ? args[count] : NULL;
    }
    if (nargs > count) {
        refuse();
    }
    Py_ssize_t named = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    for (Py_ssize_t i = 0; i < named; i++) {
        int at = index_of(signature, PyTuple_GET_ITEM(kwnames, i));
        if (at < 0) {
            refuse();
        } else {
            to[at] = args[nargs + i];
        }
    }
}

uint64_t read_ns(PyObject *o)
{
    if (!o || o == Py_None) {
        return 0;
    }
    unsigned long long ns = PyLong_Check(o) ? PyLong_AsUnsignedLongLong(o) : 0;
    if (!PyLong_Check(o) || PyErr_Occurred()) {
        refuse();
        return 0;
    }
    return ns;
}

int read_int(PyObject *o, int otherwise)
{
    if (!o || o == Py_None) {
        return otherwise;
    }
    int overflow = 0;
    long value = PyLong_Check(o) ? PyLong_AsLongAndOverflow(o, &overflow) : -1;
    if (!PyLong_Check(o) || overflow || value < 0 || value > INT32_MAX) {
        refuse();
        return otherwise;
    }
    return (int)value;
}

int read_id(PyObject *o, uint8_t *to, size_t size)
{
    memset(to, 0, size);
    if (!o || !PyLong_Check(o)) {
        return 0;
    }
    const _PyLongValue *v = &((PyLongObject *)o)->long_value;
    size_t digits = v->lv_tag >> 3;
    if ((v->lv_tag & 3) == 2 || digits * PyLong_SHIFT >= size * 8 + PyLong_SHIFT) {
        return 0;
    }
    uint64_t held = 0;
    unsigned bits = 0;
    size_t at = size;
    for (size_t i = 0; i < digits; i++) {
        held |= (uint64_t)v->ob_digit[i] << bits;
        for (bits += PyLong_SHIFT; bits >= 8 && at; bits -= 8, held >>= 8) {
            to[--at] = (uint8_t)held;
        }
    }
    if (at) {
        to[--at] = (uint8_t)held;
        held >>= 8;
    }
    return held == 0;
}

PyObject *read_str(PyObject *o)
{
    if (o && PyUnicode_CheckExact(o)) {
        return Py_NewRef(o);
    }
    PyObject *text = o && PyUnicode_Check(o) ? PyUnicode_FromObject(o) : NULL;
    if (!text) {
        if (o && o != Py_None) {
            refuse();
        }
        PyErr_Clear();
        text = PyUnicode_FromStringAndSize(NULL, 0); /* the shared empty str: cannot fail */
    }
    return text;
}

/* -- text -- */

void put_text(Out *out, PyObject *str, size_t max)
{
    if (str && PyUnicode_Check(str)) {
        put_pystr(out, str, max);
    } else {
        put_varint(out, 0);
    }
}

/* -- attributes -- */

static PyObject *copy_of_mapping(PyObject *mapping)
{
    PyObject *dict = PyDict_New();
    if (dict && PyDict_Update(dict, mapping) < 0) {
        Py_CLEAR(dict);
    }
    if (!dict) {
        refuse();
    }
    return dict;
}

Attributes attributes_open(PyObject *mapping)
{
    Attributes attributes = {0};
    if (mapping && mapping != Py_None) {
        attributes.dict = PyDict_Check(mapping) ? Py_NewRef(mapping) : copy_of_mapping(mapping);
    }
    if (attributes.dict) {
        Py_ssize_t count = PyDict_GET_SIZE(attributes.dict);
        attributes.left = count < ATTRIBUTES_MAX ? count : ATTRIBUTES_MAX;
        refused += (uint64_t)(count - attributes.left);
    }
    return attributes;
}

void attributes_close(Attributes *attributes) { Py_CLEAR(attributes->dict); }

void put_attribute(Out *out, PyObject *key, PyObject *value, size_t room)
{
    put_pystr(out, key, ATTRIBUTE_KEY_MAX);
    value_write_named(out, key, value, &ATTRIBUTE_CAPS, room > ATTRIBUTE_KEY_MAX + VALUE_MIN ? room - ATTRIBUTE_KEY_MAX : VALUE_MIN);
}

uint8_t *open_count(Out *out)
{
    uint8_t *at = out->at;
    put_u8(out, 0);
    return at;
}

static int next_attribute(Attributes *attributes, PyObject **key, PyObject **value)
{
    if (attributes->dict) {
        return PyDict_Next(attributes->dict, &attributes->at, key, value);
    }
    *key = attributes->pairs[attributes->at++];
    *value = attributes->pairs[attributes->at++];
    return 1;
}

void put_attributes_counted(Out *out, Attributes *attributes, uint8_t *count_at)
{
    PyObject *key, *value;
    while (attributes->left && out_left(out) >= ATTRIBUTE_ROOM && *count_at < 127
           && next_attribute(attributes, &key, &value)) {
        size_t room = out_left(out) / (size_t)attributes->left--;
        if (!PyUnicode_Check(key)) {
            refuse();
            continue;
        }
        put_attribute(out, key, value, room);
        ++*count_at;
    }
}

void put_attributes(Out *out, Attributes *attributes) { put_attributes_counted(out, attributes, open_count(out)); }

/* Copies a value into a record: D4. Exact types only; runs no user code, keeps no reference, makes no Python object. */
#ifndef AFTERTRACE_VALUES_H
#define AFTERTRACE_VALUES_H

#include <Python.h>
#include "buffer.h"

typedef struct {
    uint16_t depth;      /* levels of containers and attributes below the value itself (default 3) */
    uint16_t items;      /* items of a container (default 32) */
    uint16_t fields;     /* attributes of an object (default 24); 0: type and identity only */
    uint16_t text;       /* bytes of a str or bytes (default 256) */
    uint16_t objects;    /* objects within it that are looked into (default 4) */
    uint16_t refers;     /* 1: an object that is told already (told.h) is only named */
} Caps;

/* Writes one value in at most `room` bytes (room >= VALUE_MIN), and never past out->end. `o` NULL: UNBOUND. Never fails; an exception that is
 * set on entry is still set on return. */
#define VALUE_MIN 80
void value_write(Out *out, PyObject *o, const Caps *caps, size_t room);

/* Writes the values that most slots hold in at most VALUE_MIN bytes, which there must be: 1; or nothing, for all others: 0. */
#define QUICK_TEXT 64

/* memcpy() of few bytes, without the call. */
static inline void copy_short(uint8_t *to, const uint8_t *from, size_t n)
{
    if (n >= 8) {
        for (size_t i = 0; i + 8 < n; i += 8)
            memcpy(to + i, from + i, 8);
        memcpy(to + n - 8, from + n - 8, 8);
    } else if (n >= 4) {
        memcpy(to, from, 4);
        memcpy(to + n - 4, from + n - 4, 4);
    } else
        for (size_t i = 0; i < n; i++)
            to[i] = from[i];
}

static inline int value_quick(Out *out, PyObject *o)
{
    enum { NONE = 0x01, TRUE_, FALSE_, INT = 0x06, FLOAT = 0x08, STR = 0x0A };
    uint8_t *at = out->at;
    PyTypeObject *type = Py_TYPE(o);
    if (type == &PyLong_Type) {
        uintptr_t tag = ((PyLongObject *)o)->long_value.lv_tag;
        if (tag >= 2 << 3) /* more than one digit */
            return 0;
        *at++ = INT;
        uint32_t zigzag = ((PyLongObject *)o)->long_value.ob_digit[0] << 1; /* a digit has 30 bits */
        for (zigzag -= (tag & 3) == 2; zigzag >= 0x80; zigzag >>= 7)
            *at++ = (uint8_t)(zigzag | 0x80);
        *at++ = (uint8_t)zigzag;
    } else if (type == &PyUnicode_Type) {
        size_t n = (size_t)PyUnicode_GET_LENGTH(o);
        if (n > QUICK_TEXT || !PyUnicode_IS_COMPACT_ASCII(o))
            return 0;
        *at++ = STR;
        *at++ = (uint8_t)n;
        *at++ = (uint8_t)n;
        copy_short(at, (const uint8_t *)((PyASCIIObject *)o + 1), n);
        at += n;
    } else if (o == Py_None)
        *at++ = NONE;
    else if (type == &PyBool_Type)
        *at++ = o == Py_True ? TRUE_ : FALSE_;
    else if (type == &PyFloat_Type) {
        *at++ = FLOAT;
        memcpy(at, &((PyFloatObject *)o)->ob_fval, 8);
        at += 8;
    } else
        return 0;
    out->at = at;
    return 1;
}

/* The same behind a name: REDACTED when the name says so (redact.h). */
void value_write_named(Out *out, PyObject *name, PyObject *o, const Caps *caps, size_t room);

/* What stands in place of a value that its name hides. */
void value_write_redacted(Out *out);

/* Fair share: the room that each of `left` values may take of what is left in the record. */
static inline size_t value_share(const Out *out, size_t left)
{
    size_t share = out_left(out) / (left ? left : 1);
    return share < VALUE_MIN ? VALUE_MIN : share;
}

/* UTF-8 of a str (subclasses by content), whole code points, at most `max` bytes; returns how many. */
size_t utf8_prefix(uint8_t *to, size_t max, PyObject *str);

/* A Python str (subclasses by content) as the format's `str`: whole code points, at most `max` bytes, for which there is room. */
void put_pystr(Out *out, PyObject *str, size_t max);

/* A str value from n bytes of UTF-8; room: n + 5. */
void value_write_utf8(Out *out, const char *text, size_t n);

/* A type's name as the format gives it (`orders.models.Order`, `ValueError`), UTF-8, at most `max` bytes; returns how many. */
size_t value_type_name(char *to, size_t max, PyTypeObject *type);

int values_init(PyObject *module); /* adds encode_value() and fingerprint() to the module; 0 or -1 */

/* Cheap fingerprint of a mutable's content (size, first and last item); 0 for what is not list, dict, set, bytearray. */
uint32_t value_fingerprint(PyObject *o);

/* The same of an object of the program's by what its attributes are, and theirs; 0 when more may be in it than they show. */
uint32_t value_object_fingerprint(PyObject *o);

#endif

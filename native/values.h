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
} Caps;

/* Writes one value in at most `room` bytes (room >= VALUE_MIN), and never past out->end. `o` NULL: UNBOUND. Never fails; an exception that is
 * set on entry is still set on return. */
#define VALUE_MIN 80
void value_write(Out *out, PyObject *o, const Caps *caps, size_t room);

/* The same behind a name: REDACTED when the name says so (redact.h). */
void value_write_named(Out *out, PyObject *name, PyObject *o, const Caps *caps, size_t room);

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

#endif

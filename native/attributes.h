/* What callers hand to spans, logs and keep(): arguments by name, attributes, numbers. Nothing here raises: what cannot be used is
 * left out and counted. */
#ifndef AFTERTRACE_ATTRIBUTES_H
#define AFTERTRACE_ATTRIBUTES_H

#include <Python.h>
#include "values.h"

/* -- arguments -- */

#define ARGS_MAX 8

typedef struct {
    const char *names[ARGS_MAX + 1]; /* NULL behind the last */
    PyObject *interned[ARGS_MAX];
} Signature;

int signature_init(Signature *signature); /* 0 or -1 */

/* Fills `to` (borrowed; NULL: not given) from a vectorcall. */
void read_args(const Signature *signature, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject **to);

void refuse(void);           /* counts an argument that could not be used, and clears the exception that told so */
uint64_t refused_count(void);

uint64_t read_ns(PyObject *o);                       /* ns since 1970; 0: not given, or no such number */
int read_int(PyObject *o, int otherwise);            /* a small int */
int read_id(PyObject *o, uint8_t *to, size_t size);  /* a non-negative int as `size` bytes, most significant first; 0: it does not fit */
PyObject *read_str(PyObject *o);                     /* new reference, an exact str; "" where it is none */

/* -- text -- */

void put_text(Out *out, PyObject *str, size_t max);                /* `str` of the format; "" where it is no str */

/* -- attributes -- */

#define ATTRIBUTE_KEY_MAX 120
#define ATTRIBUTE_ROOM (ATTRIBUTE_KEY_MAX + 2 + VALUE_MIN) /* least room of one */
#define ATTRIBUTES_MAX 128                                 /* of one call: OpenTelemetry's default limit */

typedef struct {
    PyObject *dict;         /* owned; NULL: pairs */
    PyObject *const *pairs; /* key, value, key, value: the caller's */
    Py_ssize_t at, left;
} Attributes;

Attributes attributes_open(PyObject *mapping); /* a Mapping or None; may run the code of a mapping that is no dict */
void attributes_close(Attributes *attributes);

/* Writes `attrs` of the format: as many as fit; the others stay in `attributes`. With other attributes before them: open_count(), those,
 * each counted in there, then put_attributes_counted(). */
void put_attributes(Out *out, Attributes *attributes);
uint8_t *open_count(Out *out);
void put_attributes_counted(Out *out, Attributes *attributes, uint8_t *count_at);

void put_attribute(Out *out, PyObject *key, PyObject *value, size_t room);

#endif

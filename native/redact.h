/* Which names hide their values (D5): asked before any byte of a value enters the ring. */
#ifndef AFTERTRACE_REDACT_H
#define AFTERTRACE_REDACT_H

#include <Python.h>

/* Whether a name is sensitive: str or bytes (subclasses by content); anything else is not a name: 0. Spelling does not
 * matter: lower-cased, without '_', '-', '.' and spaces. Runs no code, makes no object, never fails. */
int redact_name(PyObject *name);

/* The same for n bytes of text. */
int redact_text(const char *text, size_t n);

/* Whether the value of a sensitive name may be shown all the same: None, True, False, an empty text. That something is missing
 * is what a reader most often looks for, and no secret. */
static inline int redact_is_empty(PyObject *o)
{
    return o == Py_None || o == Py_True || o == Py_False || (Py_TYPE(o) == &PyUnicode_Type && !PyUnicode_GET_LENGTH(o))
        || (Py_TYPE(o) == &PyBytes_Type && !Py_SIZE(o));
}

/* Whether what a function with a sensitive name returns (get_password) is what its name says: text, or a sequence, maybe of such.
 * Other objects have names of their own inside. */
int redact_is_returned(PyObject *o);

/* Adds a name of the user's. 0, or -1 when there is no room for it (at most 512 names, 64 letters each). */
int redact_add(const char *text, size_t n);

extern uint32_t redact_number; /* of the names that are sensitive now: another one for other names */

/* Forgets what redact_add() added. */
void redact_reset(void);

#endif

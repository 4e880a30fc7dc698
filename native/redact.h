/* Which names hide their values (D5): asked before any byte of a value enters the ring. */
#ifndef AFTERTRACE_REDACT_H
#define AFTERTRACE_REDACT_H

#include <Python.h>

/* Whether a name is sensitive: str or bytes (subclasses by content); anything else is not a name: 0. Spelling does not
 * matter: lower-cased, without '_', '-', '.' and spaces. Runs no code, makes no object, never fails. */
int redact_name(PyObject *name);

/* The same for n bytes of text. */
int redact_text(const char *text, size_t n);

/* Adds a name of the user's. 0, or -1 when there is no room for it (at most 512 names, 64 letters each). */
int redact_add(const char *text, size_t n);

/* Forgets what redact_add() added. */
void redact_reset(void);

#endif

/* Which files are user code: path rules given at start(). */
#ifndef AFTERTRACE_RULES_H
#define AFTERTRACE_RULES_H

#include <Python.h>

/* Takes sequences of str (or NULL). 0, or -1 with TypeError or MemoryError. */
int rules_set(PyObject *roots, PyObject *libraries, PyObject *include, PyObject *exclude);

/* Whether a path is user code; `why` gets the sentence that says which rule decided. */
int rules_user(const char *path, char *why, size_t room);

int rules_given(void); /* whether any rule says that something is user code */

#endif

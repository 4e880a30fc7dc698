/* Names of attributes, judged once per string. */
#ifndef AFTERTRACE_NAMES_H
#define AFTERTRACE_NAMES_H

#include <Python.h>

#define NAME_TEXT 40

typedef struct {
    PyObject *name;    /* an identity; with those below, since addresses are used again */
    Py_hash_t hash;
    Py_ssize_t points; /* code points */
    uint8_t is_hidden; /* machinery, beside the program's state: not shown */
    uint8_t is_sensitive;
    uint8_t size;      /* of the text; 0: longer than what is kept */
    uint8_t text[NAME_TEXT]; /* as the format writes it, its length first */
} Name;

/* Of a str. Good until the next call. */
const Name *name_of(PyObject *str);

int names_init(void);
void names_forget(void); /* the names to redact have changed */

#endif

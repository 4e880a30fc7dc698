/* What the values of a class are captured as, judged once per class. */
#ifndef AFTERTRACE_CLASSES_H
#define AFTERTRACE_CLASSES_H

#include <Python.h>

enum Way {
    WAY_NAMED,     /* a function, class, module ...: write_named() */
    WAY_RANGE,
    WAY_EXCEPTION,
    WAY_BUILTIN,   /* `layout` is the class itself */
    WAY_OBJECT     /* in this order: `known`, as a subclass of `layout`, by its attributes */
};

#define CLASS_NAME_MAX 120 /* bytes of a class's name in a record, which stands behind one byte of length */
#define NAME_KEPT 56
#define NOT_KNOWN (-1)

typedef struct {
    PyTypeObject *type; /* an identity; with those below, since addresses are used again */
    PyObject *qualname;
    unsigned version;   /* tp_version_tag: another one when anything of the class is changed */
    uint8_t way;        /* enum Way */
    int8_t known;       /* which of library.c's; NOT_KNOWN: none */
    uint8_t is_secret;  /* its very purpose is to keep its content from being shown */
    uint8_t is_library; /* known to be no user code: its objects are frameworks' machinery, large and seldom looked at */
    uint8_t hides_state; /* state that no attribute shows: some base made in C is larger than what it derives from */
    uint8_t members;    /* attributes in slots, of it and its bases; 255: or more */
    PyTypeObject *layout; /* the built-in whose content its objects carry; NULL: none */
    uint8_t name_length; /* 0: longer than what is kept */
    char name[NAME_KEPT];
} Class;

/* Good until the next call. Runs no code, makes nothing, raises nothing. */
const Class *class_of(PyTypeObject *type);

void classes_forget(void); /* the rules of what is user code have changed */

#endif

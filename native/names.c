/* A small table of names, by address; the last one at a place counts. */
#define Py_BUILD_CORE 1
#include <Python.h>

#include "names.h"
#include "redact.h"
#include "values_impl.h"

#define NAMES 1024

static Name names[NAMES];
static PyObject *notes_name, *sort_order_name, *sqlalchemy_name;

int names_init(void)
{
    if (!notes_name) {
        notes_name = PyUnicode_InternFromString("__notes__");
        sort_order_name = PyUnicode_InternFromString("_sort_order_");
        sqlalchemy_name = PyUnicode_InternFromString("_sa_instance_state");
    }
    return notes_name && sort_order_name && sqlalchemy_name ? 0 : -1;
}

void names_forget(void) { memset(names, 0, sizeof names); }

/* An enumeration's members and SQLAlchemy keep their machinery beside the program's state. */
static int is_hidden(PyObject *str)
{
    return str == sort_order_name || str == sqlalchemy_name
        || (str != notes_name && is_dunder((int)PyUnicode_KIND(str), PyUnicode_DATA(str), PyUnicode_GET_LENGTH(str)));
}

static void judge(Name *name, PyObject *str)
{
    name->is_hidden = (uint8_t)is_hidden(str);
    name->is_sensitive = (uint8_t)redact_name(str);
    name->size = 0;
    if (PyUnicode_IS_ASCII(str) && PyUnicode_GET_LENGTH(str) < NAME_TEXT) {
        name->text[0] = (uint8_t)PyUnicode_GET_LENGTH(str);
        memcpy(name->text + 1, PyUnicode_DATA(str), name->text[0]);
        name->size = (uint8_t)(name->text[0] + 1);
    }
}

const Name *name_of(PyObject *str)
{
    static Name unsure; /* of a str that nobody has asked for its hash yet */
    Py_hash_t hash = ((PyASCIIObject *)str)->hash;
    Py_ssize_t points = PyUnicode_GET_LENGTH(str);
    Name *name = &names[((uintptr_t)str >> 4) % NAMES];
    if (name->name == str && name->hash == hash && name->points == points) {
        return name;
    }
    name = hash == -1 ? &unsure : name;
    name->name = str;
    name->hash = hash;
    name->points = points;
    judge(name, str);
    return name;
}

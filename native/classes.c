/* Judging classes: how their objects are captured, whose they are, what they are called. */
#define Py_BUILD_CORE 1
#include <Python.h>

#include "classes.h"
#include "rules.h"
#include "values_impl.h"

#define CLASSES 1024
#define PATH_ROOM 4096

static Class classes[CLASSES];
static PyObject *module_name, *file_name, *builtins_name;

int classes_init(void)
{
    if (!module_name) {
        module_name = PyUnicode_InternFromString("__module__");
        file_name = PyUnicode_InternFromString("__file__");
        builtins_name = PyUnicode_InternFromString("builtins");
    }
    return module_name && file_name && builtins_name ? 0 : -1;
}

void classes_forget(void) { memset(classes, 0, sizeof classes); }

/* -- what they are called -- */

/* `module.name` in at most `max` bytes; the module is left out where both do not fit. */
size_t qualified_name(uint8_t *to, size_t max, PyObject *module, PyObject *name)
{
    size_t n = 0;
    if (module && PyUnicode_CheckExact(module) && module != builtins_name
        && (size_t)PyUnicode_GET_LENGTH(module) + 1 + (size_t)PyUnicode_GET_LENGTH(name) <= max) {
        n = utf8_prefix(to, max, module);
        if (n < max) {
            to[n++] = '.';
        }
    }
    return n + utf8_prefix(to + n, max - n, name);
}

size_t c_name(uint8_t *to, size_t max, const char *name)
{
    size_t n = strnlen(name, max);
    memcpy(to, name, n);
    for (size_t i = 0; i < n; i++) {
        to[i] = to[i] < 0x80 ? to[i] : '?';
    }
    return n;
}

size_t value_type_name(char *to, size_t max, PyTypeObject *type)
{
    if (!PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE)) {
        return c_name((uint8_t *)to, max, type->tp_name);
    }
    PyObject *name = ((PyHeapTypeObject *)type)->ht_qualname;
    return qualified_name((uint8_t *)to, max, lookup(type->tp_dict, module_name), name);
}

static void keep_name(Class *class)
{
    char text[NAME_KEPT + 1]; /* as long as this: it was cut */
    size_t n = value_type_name(text, sizeof text, class->type);
    class->name_length = n <= NAME_KEPT ? (uint8_t)n : 0;
    memcpy(class->name, text, class->name_length);
}

/* -- whose they are -- */

/* The file of the module that defines a type: 1, if it can be known. */
static int file_of(PyTypeObject *type, char *path)
{
    PyObject *name = lookup(type->tp_dict, module_name), *modules = PySys_GetObject("modules");
    if (!name || !PyUnicode_CheckExact(name) || !modules || !PyDict_CheckExact(modules)) {
        return 0;
    }
    PyObject *module = lookup(modules, name);
    PyObject *file = module && PyModule_CheckExact(module) ? lookup(PyModule_GetDict(module), file_name) : NULL;
    if (!file || !PyUnicode_CheckExact(file) || PyUnicode_GET_LENGTH(file) * 4 >= PATH_ROOM) {
        return 0;
    }
    path[utf8_prefix((uint8_t *)path, PATH_ROOM - 1, file)] = 0;
    return 1;
}

static int is_library(PyTypeObject *type)
{
    char path[PATH_ROOM], why[512];
    return PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE) && rules_given() && file_of(type, path) && !rules_user(path, why, sizeof why);
}

/* -- what they hold -- */

static int is_secret_name(const char *name)
{
    static const char *const MORE[] = {"", "Str", "String", "Bytes", "Url", "Field", "Value"};
    if (strncmp(name, "Secret", 6)) {
        return 0;
    }
    for (size_t i = 0; i < sizeof MORE / sizeof *MORE; i++) {
        if (!strcmp(name + 6, MORE[i])) {
            return 1;
        }
    }
    return name[6] == '['; /* Secret[int] */
}

/* pydantic's classes and others', and what derives from them. */
static int is_secret(PyTypeObject *type)
{
    for (; type && type != &PyBaseObject_Type; type = type->tp_base) {
        if (type->tp_name[0] == 'S' && is_secret_name(type->tp_name)) {
            return 1;
        }
    }
    return 0;
}

static int hides_state(PyTypeObject *type)
{
    for (; type && type->tp_base; type = type->tp_base) {
        int has_slots = PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE) && type->tp_members && type->tp_members->name
            && type->tp_members->type == Py_T_OBJECT_EX;
        if (!has_slots && type->tp_basicsize > type->tp_base->tp_basicsize) {
            return 1;
        }
    }
    return 0;
}

static uint8_t members_of(PyTypeObject *type)
{
    size_t n = 0;
    PyObject *mro = type->tp_mro;
    for (Py_ssize_t i = 0; mro && PyTuple_CheckExact(mro) && i < PyTuple_GET_SIZE(mro); i++) {
        PyTypeObject *base = (PyTypeObject *)PyTuple_GET_ITEM(mro, i);
        for (PyMemberDef *member = PyType_Check(base) ? base->tp_members : NULL; member && member->name; member++) {
            n += member->type == Py_T_OBJECT_EX || member->type == _Py_T_OBJECT;
        }
    }
    return n < UINT8_MAX ? (uint8_t)n : UINT8_MAX;
}

static int is_builtin(PyTypeObject *type)
{
    return type == &PyUnicode_Type || type == &PyLong_Type || type == &PyFloat_Type || type == &PyBytes_Type || type == &PyByteArray_Type
        || type == &PyComplex_Type || type == &PyDict_Type || type == &PyList_Type || type == &PyTuple_Type || type == &PySet_Type
        || type == &PyFrozenSet_Type || is_temporal_type(type);
}

/* The nearest built-in on the chain of bases that gave `type` its layout. */
static PyTypeObject *layout_of(PyTypeObject *type)
{
    for (PyTypeObject *base = type->tp_base; base && base != &PyBaseObject_Type; base = base->tp_base) {
        if (is_builtin(base)) {
            return base;
        }
    }
    return NULL;
}

/* -- the verdict -- */

static void judge(Class *class, PyTypeObject *type)
{
    class->layout = NULL;
    class->known = NOT_KNOWN;
    class->is_secret = class->is_library = class->hides_state = 0;
    class->members = members_of(type);
    keep_name(class);
    if (type == &PyRange_Type) {
        class->way = WAY_RANGE;
    } else if (PyType_HasFeature(type, Py_TPFLAGS_BASE_EXC_SUBCLASS)) {
        class->way = WAY_EXCEPTION;
    } else if (is_named_type(type)) {
        class->way = WAY_NAMED;
    } else if (is_builtin(type)) {
        class->way = WAY_BUILTIN;
        class->layout = type;
    } else {
        class->way = WAY_OBJECT;
        class->known = (int8_t)known_of(type);
        class->layout = layout_of(type);
        class->is_secret = (uint8_t)is_secret(type);
        class->is_library = (uint8_t)is_library(type);
        class->hides_state = (uint8_t)hides_state(type);
    }
}

const Class *class_of(PyTypeObject *type)
{
    static Class unsure; /* of a class that says nothing of its changes */
    PyObject *qualname = PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE) ? ((PyHeapTypeObject *)type)->ht_qualname : NULL;
    Class *class = &classes[((uintptr_t)type >> 4) % CLASSES];
    if (class->type == type && class->version == type->tp_version_tag && class->qualname == qualname) {
        return class;
    }
    class = qualname && !type->tp_version_tag ? &unsure : class;
    class->type = type;
    class->qualname = qualname;
    class->version = type->tp_version_tag;
    judge(class, type);
    return class;
}

/* Objects: type names, attributes (dict, inline values, slots), exceptions, and what is only named (functions, classes ...). */
#define Py_BUILD_CORE 1
#include <Python.h>
#if PY_VERSION_HEX >= 0x030E0000
#include "pycore_genobject.h"
#endif

#include "redact.h"
#include "rules.h"
#include "values_impl.h"

#define TYPE_NAME_MAX 120
#define ATTRIBUTE_NAME_MAX 100
#define ATTRIBUTE_MIN (ITEM_MIN + 16) /* least room of an attribute: its name, cut, and its value */

static PyObject *module_name, *builtins_name, *dunder_name, *notes_name, *file_name, *sort_order_name, *sqlalchemy_name;

int objects_init(void)
{
    if (!module_name) {
        module_name = PyUnicode_InternFromString("__module__");
        builtins_name = PyUnicode_InternFromString("builtins");
        dunder_name = PyUnicode_InternFromString("__name__");
        notes_name = PyUnicode_InternFromString("__notes__");
        file_name = PyUnicode_InternFromString("__file__");
        sort_order_name = PyUnicode_InternFromString("_sort_order_");
        sqlalchemy_name = PyUnicode_InternFromString("_sa_instance_state");
    }
    return module_name && builtins_name && dunder_name && notes_name && file_name && sort_order_name && sqlalchemy_name ? 0 : -1;
}

/* -- names -- */

/* `module.name` in at most `max` bytes; the module is left out where both do not fit. */
static size_t qualified(uint8_t *to, size_t max, PyObject *module, PyObject *name)
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

static size_t c_name(uint8_t *to, size_t max, const char *name)
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
    return qualified((uint8_t *)to, max, lookup(type->tp_dict, module_name), name);
}

/* Names stand behind one byte of length: TYPE_NAME_MAX < 128. `room` counts it. */
static size_t name_room(size_t room) { return room - 1 < TYPE_NAME_MAX ? room - 1 : TYPE_NAME_MAX; }

static void close_name(Out *out, size_t n)
{
    *out->at = (uint8_t)n;
    out->at += n + 1;
}

void put_type(Out *out, PyTypeObject *type, size_t keep)
{
    close_name(out, value_type_name((char *)out->at + 1, name_room(out_left(out) - keep), type));
}

/* Dunder attributes are the machinery of classes and libraries, not the program's state. */
static int is_dunder(int kind, const void *data, Py_ssize_t n)
{
    return n > 4 && PyUnicode_READ(kind, data, 0) == '_' && PyUnicode_READ(kind, data, 1) == '_'
        && PyUnicode_READ(kind, data, n - 1) == '_' && PyUnicode_READ(kind, data, n - 2) == '_';
}

/* What pydantic keeps of a model's data under such a name, where there is any. */
static int is_models_data(const char *name, PyObject *value)
{
    return (!strcmp(name, "__pydantic_extra__") || !strcmp(name, "__pydantic_private__")) && value && PyDict_CheckExact(value)
        && PyDict_GET_SIZE(value);
}

/* Of an enumeration's member and of SQLAlchemy: their machinery, beside the program's state. */
static int is_machinery(PyObject *name) { return name == sort_order_name || name == sqlalchemy_name; }

/* -- attributes -- */

/* Walks an object's own attributes: dict or inline values first, then slots from the type upwards. */
typedef struct {
    PyObject *o;
    Entries entries;
    int has_entries;
    int skip_none; /* members of C types: unset ones say nothing */
    PyObject *mro;
    Py_ssize_t class_at;
    PyMemberDef *member;
} Fields;

typedef struct {
    PyObject *name;     /* from a dict, or NULL: */
    const char *c_name; /* from a slot, UTF-8 */
    PyObject *value;
} Field;

static Fields fields_of(PyObject *o)
{
    Fields fields = {.o = o, .mro = Py_TYPE(o)->tp_mro};
    fields.has_entries = entries_of_object(&fields.entries, o);
    return fields;
}

static int next_entry(Fields *fields, Field *field)
{
    PyObject *key, *value;
    while (fields->has_entries && entries_next(&fields->entries, &key, &value)) {
        if (PyUnicode_Check(key) && !is_machinery(key)
            && (!is_dunder((int)PyUnicode_KIND(key), PyUnicode_DATA(key), PyUnicode_GET_LENGTH(key)) || key == notes_name)) {
            *field = (Field){.name = key, .value = value};
            return 1;
        }
    }
    return 0;
}

/* The next class whose members hold objects of the instance; 0: no more. */
static int next_class(Fields *fields)
{
    while (fields->mro && PyTuple_CheckExact(fields->mro) && fields->class_at < PyTuple_GET_SIZE(fields->mro)) {
        PyObject *class = PyTuple_GET_ITEM(fields->mro, fields->class_at++);
        if (PyType_Check(class) && ((PyTypeObject *)class)->tp_members) {
            fields->member = ((PyTypeObject *)class)->tp_members;
            fields->skip_none = !PyType_HasFeature((PyTypeObject *)class, Py_TPFLAGS_HEAPTYPE);
            return 1;
        }
    }
    return 0;
}

static int next_slot(Fields *fields, Field *field)
{
    while (fields->member || next_class(fields)) {
        PyMemberDef *member = fields->member++;
        if (!member->name) {
            fields->member = NULL;
            continue;
        }
        if ((member->type != Py_T_OBJECT_EX && member->type != _Py_T_OBJECT) || (member->flags & Py_RELATIVE_OFFSET)) {
            continue;
        }
        PyObject *value = *(PyObject **)((char *)fields->o + member->offset);
        if (is_dunder(PyUnicode_1BYTE_KIND, member->name, (Py_ssize_t)strlen(member->name)) && !is_models_data(member->name, value)) {
            continue;
        }
        if (value && !(fields->skip_none && value == Py_None)) {
            *field = (Field){.c_name = member->name, .value = value};
            return 1;
        }
    }
    return 0;
}

static int fields_next(Fields *fields, Field *field) { return next_entry(fields, field) || next_slot(fields, field); }

static size_t count_fields(PyObject *o, size_t max)
{
    Fields fields = fields_of(o);
    Field field;
    size_t n = 0;
    while (n < max && fields_next(&fields, &field)) {
        n++;
    }
    return n;
}

/* Whether a type keeps state that no attribute shows: some base made in C is larger than what it derives from. */
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

/* -- whose class -- */

#define LIBRARY_FIELDS 8 /* attributes of an object of a library's class: what it is, not all that it is made of */
#define LIBRARY_ITEMS 4
#define TYPES 1024
#define PATH_ROOM 4096

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

/* A class that is known to be no user code: its objects are frameworks' machinery, large and seldom looked at. */
static int is_library(PyTypeObject *type)
{
    static struct {
        PyTypeObject *type;
        PyObject *name; /* addresses are used again */
        int is;
    } known[TYPES];
    if (!PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE) || !rules_given()) {
        return 0;
    }
    size_t i = ((uintptr_t)type >> 4) % TYPES;
    PyObject *name = ((PyHeapTypeObject *)type)->ht_qualname;
    if (known[i].type != type || known[i].name != name) {
        char path[PATH_ROOM], why[512];
        known[i].type = type;
        known[i].name = name;
        known[i].is = file_of(type, path) && !rules_user(path, why, sizeof why);
    }
    return known[i].is;
}

/* -- fingerprints -- */

#define PRINTED_FIELDS 24

static inline uint64_t mix(uint64_t h, uint64_t v) { return (h ^ v) * 0x9e3779b97f4a7c15u; }

static uint64_t print_of_fields(PyObject *o, int depth);

/* Addresses of small values are used again as soon as they are dropped: their content counts. */
static uint64_t print_of_value(PyObject *o, int depth)
{
    PyTypeObject *type = Py_TYPE(o);
    uint64_t h = (uintptr_t)o;
    if (type == &PyLong_Type) {
        return mix(((PyLongObject *)o)->long_value.lv_tag, ((PyLongObject *)o)->long_value.ob_digit[0]);
    }
    if (type == &PyFloat_Type) {
        memcpy(&h, &((PyFloatObject *)o)->ob_fval, sizeof h);
        return h;
    }
    if (type == &PyUnicode_Type) {
        return mix(mix(h, (uint64_t)PyUnicode_GET_LENGTH(o)), (uint64_t)((PyASCIIObject *)o)->hash);
    }
    if (depth && PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE) && !PyType_Check(o)) {
        return mix(h, print_of_fields(o, depth - 1));
    }
    return mix(h, value_fingerprint(o));
}

static uint64_t print_of_fields(PyObject *o, int depth)
{
    Fields fields = fields_of(o);
    Field field;
    uint64_t h = (uintptr_t)Py_TYPE(o);
    int most = is_library(Py_TYPE(o)) ? LIBRARY_FIELDS : PRINTED_FIELDS;
    for (int i = 0; i < most && fields_next(&fields, &field); i++) {
        h = mix(h, print_of_value(field.value, depth));
    }
    return h;
}

uint32_t value_object_fingerprint(PyObject *o)
{
    if (!PyType_HasFeature(Py_TYPE(o), Py_TPFLAGS_HEAPTYPE) || PyType_Check(o) || hides_state(Py_TYPE(o))) {
        return 0;
    }
    uint32_t folded = (uint32_t)(print_of_fields(o, !is_library(Py_TYPE(o))) >> 32);
    return folded ? folded : 1;
}

/* A name that does not fit ends in an ellipsis. max <= ATTRIBUTE_NAME_MAX, and enough for that. */
static void put_field_name(Out *out, const Field *field, size_t max)
{
    if (field->name && PyUnicode_IS_ASCII(field->name) && (size_t)PyUnicode_GET_LENGTH(field->name) <= max) {
        put_str(out, PyUnicode_DATA(field->name), (size_t)PyUnicode_GET_LENGTH(field->name));
        return;
    }
    char text[ATTRIBUTE_NAME_MAX];
    size_t n = field->name ? utf8_prefix((uint8_t *)text, max, field->name) : strnlen(field->c_name, max), points = 0;
    if (!field->name) {
        memcpy(text, field->c_name, n);
    }
    for (size_t i = 0; i < n; i++) {
        points += ((uint8_t)text[i] & 0xc0) != 0x80;
    }
    if (field->name ? points < (size_t)PyUnicode_GET_LENGTH(field->name) : field->c_name[n] != 0) {
        if (n > max - 3) {
            for (n = max - 3; n && ((uint8_t)text[n] & 0xc0) == 0x80; n--) { /* cut between code points */
            }
        }
        memcpy(text + n, "\u2026", 3);
        n += 3;
    }
    put_str(out, text, n);
}

static int is_sensitive_field(const Field *field)
{
    return (field->name ? redact_name(field->name) : redact_text(field->c_name, strlen(field->c_name))) && !redact_is_empty(field->value);
}

/* Writes up to `planned` attributes, each in its share; `left` of them share the room. Returns how many. */
static size_t write_fields(Out *out, PyObject *o, const Caps *caps, unsigned depth, size_t planned, size_t left)
{
    Fields fields = fields_of(o);
    Field field;
    size_t n = 0;
    while (n < planned && fields_next(&fields, &field)) {
        uint8_t *end = out->end;
        size_t share = out_left(out) / (left - n);
        out->end = out->at + (share < ATTRIBUTE_MIN ? ATTRIBUTE_MIN : share);
        size_t room = out_left(out) - ITEM_MIN - 1;
        put_field_name(out, &field, room < ATTRIBUTE_NAME_MAX ? room : ATTRIBUTE_NAME_MAX);
        if (is_sensitive_field(&field)) {
            write_redacted(out, REDACTED_NAME);
        } else {
            write_any(out, field.value, caps, depth);
        }
        out->end = end;
        n++;
    }
    return n;
}

/* How many attributes fit, and why not more. */
static size_t plan_fields(const Out *out, PyObject *o, const Caps *caps, unsigned depth, size_t extra, enum Reason *reason)
{
    size_t most = caps->fields;
    size_t total = count_fields(o, most + 1);
    *reason = WHOLE;
    if (total && !depth) {
        *reason = DEPTH;
        return 0;
    }
    if (total > most) {
        *reason = FIELD_COUNT;
        total = most;
    }
    size_t room = out_left(out) > 4 ? out_left(out) - 4 : 0;
    size_t fit = room / ATTRIBUTE_MIN;
    fit = fit > extra ? fit - extra : 0;
    if (total > fit) {
        *reason = SIZE;
        total = fit;
    }
    return total;
}

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

/* Classes whose very purpose is to keep their content from being shown (pydantic's and others'), and what derives from them. */
int is_secret_type(PyTypeObject *type)
{
    for (; type && type != &PyBaseObject_Type; type = type->tp_base) {
        if (type->tp_name[0] == 'S' && is_secret_name(type->tp_name)) {
            return 1;
        }
    }
    return 0;
}

void write_object(Out *out, PyObject *o, const Caps *caps, unsigned depth)
{
    PyTypeObject *type = Py_TYPE(o);
    put_u8(out, TAG_OBJECT);
    put_type(out, type, 9 + 4);
    put_varint(out, identity(o));
    enum Reason reason;
    if (is_secret_type(type)) {
        put_varint(out, 0);
        put_u8(out, REDACTED_TYPE);
        return;
    }
    Caps lean = *caps;
    if (is_library(type)) { /* in full depth only where it is the value itself */
        depth = depth + 1 < caps->depth ? 0 : depth;
        lean.fields = lean.fields < LIBRARY_FIELDS ? lean.fields : LIBRARY_FIELDS;
        lean.items = lean.items < LIBRARY_ITEMS ? lean.items : LIBRARY_ITEMS;
        caps = &lean;
    }
    size_t planned = plan_fields(out, o, caps, depth, 0, &reason);
    if (!planned && reason == WHOLE && hides_state(type)) {
        reason = OPAQUE;
    }
    put_varint(out, planned);
    put_u8(out, (uint8_t)reason);
    write_fields(out, o, caps, depth - 1, planned, planned);
}

/* -- exceptions -- */

/* The exception that a reader of the traceback would be shown before this one; NULL: none. Borrowed. */
static PyObject *earlier(PyBaseExceptionObject *e, const char **name)
{
    *name = e->cause ? "__cause__" : "__context__";
    return e->cause ? e->cause : e->suppress_context ? NULL : e->context;
}

void write_exception(Out *out, PyObject *o, const Caps *caps, unsigned depth)
{
    PyBaseExceptionObject *e = (PyBaseExceptionObject *)o;
    const char *link_name = "";
    PyObject *link = depth ? earlier(e, &link_name) : NULL;
    put_u8(out, TAG_EXCEPTION);
    put_type(out, Py_TYPE(o), 9 + 5);
    put_varint(out, identity(o));
    enum Reason reason;
    size_t extra = link ? 2 : 1;
    size_t planned = plan_fields(out, o, caps, depth, extra, &reason);
    if (out_left(out) < ITEM_MIN + 4) {
        write_missing(out, SIZE, "");
        put_varint(out, 0);
        return;
    }
    out->end -= 4;
    if (e->args && PyTuple_Check(e->args)) {
        write_shared(out, e->args, caps, depth ? depth : 1, planned + extra);
    } else {
        write_missing(out, OPAQUE, "tuple");
    }
    out->end += 4;
    int linked = link && out_left(out) >= planned * ATTRIBUTE_MIN + ATTRIBUTE_MIN + 4;
    put_varint(out, planned + (size_t)linked);
    write_fields(out, o, caps, depth ? depth - 1 : 0, planned, planned + (size_t)linked);
    if (linked) {
        put_str(out, link_name, strlen(link_name));
        write_shared(out, link, caps, depth - 1, 1);
    }
}

/* -- what is only named -- */

static void put_named(Out *out, PyObject *o, enum What what, PyObject *module, PyObject *name, const char *plain)
{
    put_u8(out, TAG_NAMED);
    put_u8(out, (uint8_t)what);
    size_t room = out_left(out) - 9;
    uint8_t *to = out->at + 1;
    int is_str = name && PyUnicode_Check(name);
    close_name(out, is_str ? qualified(to, name_room(room), module, name) : c_name(to, name_room(room), plain));
    put_varint(out, identity(o));
}

static void write_function(Out *out, PyObject *o, enum What what, PyObject *function)
{
    if (PyFunction_Check(function)) {
        PyFunctionObject *f = (PyFunctionObject *)function;
        put_named(out, o, what, f->func_module, f->func_qualname, "");
    } else {
        put_named(out, o, what, NULL, NULL, Py_TYPE(function)->tp_name);
    }
}

static void write_class(Out *out, PyObject *o)
{
    put_u8(out, TAG_NAMED);
    put_u8(out, WHAT_CLASS);
    put_type(out, (PyTypeObject *)o, 9);
    put_varint(out, identity(o));
}

/* Generators, coroutines and asynchronous generators begin alike (genobject.h). */
static int write_suspended(Out *out, PyObject *o, PyTypeObject *type)
{
    enum What what;
    if (type == &PyGen_Type) {
        what = WHAT_GENERATOR;
    } else if (type == &PyCoro_Type) {
        what = WHAT_COROUTINE;
    } else if (type == &PyAsyncGen_Type) {
        what = WHAT_ASYNC_GENERATOR;
    } else {
        return 0;
    }
    put_named(out, o, what, NULL, ((PyGenObject *)o)->gi_qualname, "");
    return 1;
}

static int write_builtin(Out *out, PyObject *o, PyTypeObject *type)
{
    if (type == &PyCFunction_Type || type == &PyCMethod_Type) {
        PyCFunctionObject *f = (PyCFunctionObject *)o;
        put_named(out, o, WHAT_BUILTIN, NULL, NULL, f->m_ml->ml_name);
        return 1;
    }
    if (type == &PyMethodDescr_Type || type == &PyWrapperDescr_Type || type == &PyClassMethodDescr_Type) {
        put_named(out, o, WHAT_BUILTIN, NULL, ((PyDescrObject *)o)->d_name, "");
        return 1;
    }
    return 0;
}

int write_named(Out *out, PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    if (type == &PyFunction_Type) {
        write_function(out, o, WHAT_FUNCTION, o);
    } else if (type == &PyMethod_Type) {
        write_function(out, o, WHAT_METHOD, ((PyMethodObject *)o)->im_func);
    } else if (PyType_HasFeature(type, Py_TPFLAGS_TYPE_SUBCLASS)) {
        write_class(out, o);
    } else if (type == &PyModule_Type) {
        put_named(out, o, WHAT_MODULE, NULL, lookup(PyModule_GetDict(o), dunder_name), "?");
    } else if (type == &PyCode_Type) {
        put_named(out, o, WHAT_CODE, NULL, ((PyCodeObject *)o)->co_qualname, "");
    } else {
        return write_suspended(out, o, type) || write_builtin(out, o, type);
    }
    return 1;
}

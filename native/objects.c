/* Objects: type names, attributes (dict, inline values, slots), exceptions, and what is only named (functions, classes ...). */
#define Py_BUILD_CORE 1
#include <Python.h>
#if PY_VERSION_HEX >= 0x030E0000
#include "pycore_genobject.h"
#endif

#include "classes.h"
#include "names.h"
#include "redact.h"
#include "told.h"
#include "values_impl.h"

#define ATTRIBUTE_NAME_MAX 100
#define ATTRIBUTE_MIN (ITEM_MIN + 16) /* least room of an attribute: its name, cut, and its value */

static PyObject *dunder_name;
static unsigned looked_into; /* objects within the value that is being written */

int objects_init(void)
{
    if (!dunder_name) {
        dunder_name = PyUnicode_InternFromString("__name__");
    }
    return dunder_name && names_init() == 0 ? 0 : -1;
}

/* -- names -- */

/* Names stand behind one byte of length: CLASS_NAME_MAX < 128. `room` counts it. */
static size_t name_room(size_t room) { return room - 1 < CLASS_NAME_MAX ? room - 1 : CLASS_NAME_MAX; }

static void close_name(Out *out, size_t n)
{
    *out->at = (uint8_t)n;
    out->at += n + 1;
}

void put_type(Out *out, PyTypeObject *type, size_t keep)
{
    const Class *class = class_of(type);
    if (class->name_length && class->name_length < out_left(out) - keep) {
        put_str(out, class->name, class->name_length);
        return;
    }
    close_name(out, value_type_name((char *)out->at + 1, name_room(out_left(out) - keep), type));
}

/* Dunder attributes are the machinery of classes and libraries, not the program's state. */
int is_dunder(int kind, const void *data, Py_ssize_t n)
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

/* -- attributes -- */

/* Walks an object's own attributes: dict or inline values first, then slots from the type upwards. */
typedef struct {
    PyObject *o;
    Entries entries;
    int has_entries;
    size_t most; /* there are no more than this */
    int skip_none; /* members of C types: unset ones say nothing */
    PyObject *mro;
    Py_ssize_t class_at;
    PyMemberDef *member;
} Fields;

typedef struct {
    const Name *name;   /* from a dict, or NULL: */
    const char *c_name; /* from a slot, UTF-8 */
    PyObject *value;
} Field;

static Fields fields_of(PyObject *o, const Class *class)
{
    Fields fields = {.o = o, .most = class->members, .mro = class->members ? Py_TYPE(o)->tp_mro : NULL};
    fields.has_entries = entries_of_object(&fields.entries, o);
    fields.most += fields.has_entries ? (size_t)fields.entries.used : 0;
    return fields;
}

static int next_entry(Fields *fields, Field *field)
{
    PyObject *key, *value;
    while (fields->has_entries && entries_next(&fields->entries, &key, &value)) {
        const Name *name = PyUnicode_Check(key) ? name_of(key) : NULL;
        if (name && !name->is_hidden) {
            *field = (Field){.name = name, .value = value};
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

#define LIBRARY_FIELDS 8 /* attributes of an object of a library's class: what it is, not all that it is made of */
#define LIBRARY_ITEMS 4

/* -- fingerprints -- */

#define PRINTED_FIELDS 32 /* of an object with more, nothing can be said */

static inline uint64_t mix(uint64_t h, uint64_t v) { return (h ^ v) * 0x9e3779b97f4a7c15u; }

static uint64_t print_of_fields(PyObject *o, const Class *class, int depth);

/* Addresses of small values are used again as soon as they are dropped: their content counts. */
static inline uint64_t print_of_value(PyObject *o, int depth)
{
    PyTypeObject *type = Py_TYPE(o);
    uint64_t h = (uintptr_t)o;
    if (type == &PyUnicode_Type) {
        return mix(mix(h, (uint64_t)PyUnicode_GET_LENGTH(o)), (uint64_t)((PyASCIIObject *)o)->hash);
    }
    if (type == &PyLong_Type) {
        return mix(((PyLongObject *)o)->long_value.lv_tag, ((PyLongObject *)o)->long_value.ob_digit[0]);
    }
    if (type == &PyFloat_Type) {
        memcpy(&h, &((PyFloatObject *)o)->ob_fval, sizeof h);
        return h;
    }
    if (PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE)) {
        const Class *class = depth ? class_of(type) : NULL;
        return class && class->way == WAY_OBJECT && !class->is_library ? mix(h, print_of_fields(o, class, depth - 1)) : h;
    }
    return type == &PyTuple_Type || o == Py_None ? h : mix(h, value_fingerprint(o));
}

/* Of all attributes, whatever their names. 0: too many. */
static uint64_t print_of_fields(PyObject *o, const Class *class, int depth)
{
    Entries entries;
    Field field;
    uint64_t h = (uintptr_t)Py_TYPE(o);
    int n = 0;
    Fields slots = {.o = o, .mro = class->members ? Py_TYPE(o)->tp_mro : NULL};
    if (entries_of_object(&entries, o)) {
        Values values = entries_values(&entries);
        if (entries.used > PRINTED_FIELDS || values.count > 2 * PRINTED_FIELDS) {
            return 0;
        }
        for (Py_ssize_t i = 0; i < values.count; i++, values.at += values.stride) {
            PyObject *value = *(PyObject *const *)values.at;
            h = value ? mix(h, print_of_value(value, depth)) : h + 1;
        }
    }
    while (slots.mro && next_slot(&slots, &field)) {
        if (++n > PRINTED_FIELDS) {
            return 0;
        }
        h = mix(h, print_of_value(field.value, depth));
    }
    return h;
}

/* 0: nothing can be said. */
static uint32_t print_of_object(PyObject *o, const Class *class)
{
    return class->qualname && class->way == WAY_OBJECT && !class->hides_state ? (uint32_t)(print_of_fields(o, class, 1) >> 32) : 0;
}

uint32_t value_object_fingerprint(PyObject *o) { return print_of_object(o, class_of(Py_TYPE(o))); }

/* A name that does not fit ends in an ellipsis. max <= ATTRIBUTE_NAME_MAX, and enough for that. */
static void put_field_name(Out *out, const Field *field, size_t max)
{
    PyObject *name = field->name ? field->name->name : NULL;
    if (name && field->name->size && field->name->size <= max) {
        put_raw(out, field->name->text, field->name->size);
        return;
    }
    char text[ATTRIBUTE_NAME_MAX];
    size_t n = name ? utf8_prefix((uint8_t *)text, max, name) : strnlen(field->c_name, max), points = 0;
    if (!name) {
        memcpy(text, field->c_name, n);
    }
    for (size_t i = 0; i < n; i++) {
        points += ((uint8_t)text[i] & 0xc0) != 0x80;
    }
    if (name ? points < (size_t)PyUnicode_GET_LENGTH(name) : field->c_name[n] != 0) {
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
    return (field->name ? field->name->is_sensitive : redact_text(field->c_name, strlen(field->c_name))) && !redact_is_empty(field->value);
}

/* What most attributes are, where there is much room: 1; or nothing, for all others: 0. */
static int write_quick_field(Out *out, const Field *field, const Caps *caps, size_t left)
{
    if (!field->name || !field->name->size || field->name->is_sensitive || caps->text < QUICK_TEXT
        || out_left(out) < NAME_TEXT + VALUE_MIN + left * ATTRIBUTE_MIN) {
        return 0;
    }
    uint8_t *at = out->at;
    put_raw(out, field->name->text, field->name->size);
    if (value_quick(out, field->value)) {
        return 1;
    }
    out->at = at;
    return 0;
}

/* A count of attributes, and why there are not more, which are known only when those are written. */
typedef struct {
    uint8_t *at;
    unsigned width;
    size_t most; /* no more attributes than this; `reason` when there would be */
    enum Reason reason;
} Count;

/* `extra` attributes come from elsewhere. With no depth there are none, and whether there would be any is the reason. */
static Count open_count(Out *out, const Caps *caps, unsigned depth, size_t extra)
{
    size_t room = out_left(out) > 4 ? out_left(out) - 4 : 0, fit = room / ATTRIBUTE_MIN;
    fit = fit > extra ? fit - extra : 0;
    Count count = {.at = out->at, .most = caps->fields, .reason = FIELD_COUNT};
    if (!depth) {
        count.most = 0;
        count.reason = DEPTH;
    } else if (fit < count.most) {
        count.most = fit;
        count.reason = SIZE;
    }
    count.width = varint_width(count.most + extra);
    out->at += count.width;
    return count;
}

/* Writes up to count->most attributes, each in its share; `extra` more share the room. Returns how many; count->reason becomes why
 * these are not all. */
static size_t write_fields(Out *out, PyObject *o, const Class *class, const Caps *caps, unsigned depth, Count *count, size_t extra)
{
    Fields fields = fields_of(o, class);
    Field field;
    size_t n = 0, left = (fields.most < count->most ? fields.most : count->most) + extra;
    while (fields_next(&fields, &field)) {
        if (n == count->most) {
            return n;
        }
        if (write_quick_field(out, &field, caps, left)) {
            n++;
            continue;
        }
        uint8_t *end = out->end;
        size_t share = out_left(out) / (left > n ? left - n : 1);
        out->end = out->at + (share < ATTRIBUTE_MIN ? ATTRIBUTE_MIN : share);
        size_t room = out_left(out) - ITEM_MIN - 1;
        put_field_name(out, &field, room < ATTRIBUTE_NAME_MAX ? room : ATTRIBUTE_NAME_MAX);
        if (is_sensitive_field(&field)) {
            write_redacted(out, REDACTED_NAME);
        } else {
            write_any(out, field.value, caps, depth - 1);
        }
        out->end = end;
        n++;
    }
    count->reason = WHOLE;
    return n;
}

static void write_attributes(Out *out, PyObject *o, const Class *class, const Caps *caps, unsigned depth, uint32_t fingerprint)
{
    int hides_state = class->hides_state; /* the class is another one's when its attributes are written */
    Count count = open_count(out, caps, depth, 0);
    uint8_t *reason = out->at++;
    size_t n = write_fields(out, o, class, caps, depth, &count, 0);
    patch_varint(count.at, count.width, n);
    *reason = (uint8_t)(!n && count.reason == WHOLE && hides_state ? OPAQUE : count.reason);
    if (fingerprint && *reason != SIZE) {
        told_set(o, fingerprint, depth);
    } else if (n || *reason == WHOLE) {
        told_forget(o);
    }
}

void objects_begin(void) { looked_into = 0; }

void write_object(Out *out, PyObject *o, const Class *class, const Caps *caps, unsigned depth)
{
    put_u8(out, TAG_OBJECT);
    put_type(out, class->type, 9 + 4);
    put_varint(out, identity(o));
    if (class->is_secret) {
        put_varint(out, 0);
        put_u8(out, REDACTED_TYPE);
        return;
    }
    if (depth && depth < caps->depth && looked_into++ >= caps->objects) {
        put_varint(out, 0);
        put_u8(out, COLLECTION_SIZE);
        return;
    }
    Caps lean = *caps;
    if (class->is_library) { /* looked into only where it is the value itself */
        depth = depth < caps->depth ? 0 : depth;
        lean.fields = lean.fields < LIBRARY_FIELDS ? lean.fields : LIBRARY_FIELDS;
        lean.items = lean.items < LIBRARY_ITEMS ? lean.items : LIBRARY_ITEMS;
        caps = &lean;
    }
    uint32_t fingerprint = caps->refers && depth ? print_of_object(o, class) : 0;
    class = class_of(Py_TYPE(o));
    if (fingerprint && told_is(o, fingerprint, depth)) {
        put_varint(out, 0);
        put_u8(out, AS_BEFORE);
        return;
    }
    write_attributes(out, o, class, caps, depth, fingerprint);
}

/* -- exceptions -- */

/* The exception that a reader of the traceback would be shown before this one; NULL: none. Borrowed. */
static PyObject *earlier(PyBaseExceptionObject *e, const char **name)
{
    *name = e->cause ? "__cause__" : "__context__";
    return e->cause ? e->cause : e->suppress_context ? NULL : e->context;
}

void write_exception(Out *out, PyObject *o, const Class *class, const Caps *caps, unsigned depth)
{
    PyTypeObject *type = class->type;
    PyBaseExceptionObject *e = (PyBaseExceptionObject *)o;
    const char *link_name = "";
    PyObject *link = depth ? earlier(e, &link_name) : NULL;
    put_u8(out, TAG_EXCEPTION);
    put_type(out, type, 9 + 5);
    put_varint(out, identity(o));
    size_t extra = link ? 2 : 1;
    if (out_left(out) < ITEM_MIN + 4) {
        write_missing(out, SIZE, "");
        put_varint(out, 0);
        return;
    }
    out->end -= 4;
    if (e->args && PyTuple_Check(e->args)) {
        size_t most = fields_of(o, class).most;
        write_shared(out, e->args, caps, depth ? depth : 1, (most < caps->fields ? most : caps->fields) + extra);
    } else {
        write_missing(out, OPAQUE, "tuple");
    }
    out->end += 4;
    Count count = open_count(out, caps, depth, link != NULL);
    size_t n = write_fields(out, o, class_of(type), caps, depth, &count, link != NULL);
    if (link && out_left(out) >= ATTRIBUTE_MIN + 4) {
        put_str(out, link_name, strlen(link_name));
        write_shared(out, link, caps, depth - 1, 1);
        n++;
    }
    patch_varint(count.at, count.width, n);
}

/* -- what is only named -- */

static void put_named(Out *out, PyObject *o, enum What what, PyObject *module, PyObject *name, const char *plain)
{
    put_u8(out, TAG_NAMED);
    put_u8(out, (uint8_t)what);
    size_t room = out_left(out) - 9;
    uint8_t *to = out->at + 1;
    int is_str = name && PyUnicode_Check(name);
    close_name(out, is_str ? qualified_name(to, name_room(room), module, name) : c_name(to, name_room(room), plain));
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

static void write_builtin(Out *out, PyObject *o, PyTypeObject *type)
{
    if (type == &PyCFunction_Type || type == &PyCMethod_Type) {
        PyCFunctionObject *f = (PyCFunctionObject *)o;
        put_named(out, o, WHAT_BUILTIN, NULL, NULL, f->m_ml->ml_name);
    } else {
        put_named(out, o, WHAT_BUILTIN, NULL, ((PyDescrObject *)o)->d_name, "");
    }
}

int is_named_type(PyTypeObject *type)
{
    return type == &PyFunction_Type || type == &PyMethod_Type || PyType_HasFeature(type, Py_TPFLAGS_TYPE_SUBCLASS) || type == &PyModule_Type
        || type == &PyCode_Type || type == &PyGen_Type || type == &PyCoro_Type || type == &PyAsyncGen_Type || type == &PyCFunction_Type
        || type == &PyCMethod_Type || type == &PyMethodDescr_Type || type == &PyWrapperDescr_Type || type == &PyClassMethodDescr_Type;
}

void write_named(Out *out, PyObject *o)
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
    } else if (!write_suspended(out, o, type)) {
        write_builtin(out, o, type);
    }
}

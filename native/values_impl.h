/* What the files of value capture share: values.c (dispatch, containers), scalars.c (numbers, text, time), objects.c (attributes, exceptions),
 * classes.c, library.c and arrays.c (types known by their layout), dicts.c (reading tables). Nothing else includes this, but request.c
 * for lookup(). */
#ifndef AFTERTRACE_VALUES_IMPL_H
#define AFTERTRACE_VALUES_IMPL_H

#include "classes.h"
#include "values.h"

enum Tag {
    TAG_UNBOUND, TAG_NONE, TAG_TRUE, TAG_FALSE, TAG_ELLIPSIS, TAG_NOTIMPLEMENTED, TAG_INT, TAG_BIGINT, TAG_FLOAT, TAG_COMPLEX,
    TAG_STR, TAG_BYTES, TAG_BYTEARRAY, TAG_LIST, TAG_TUPLE, TAG_SET, TAG_FROZENSET, TAG_DICT, TAG_OBJECT, TAG_SUBCLASS,
    TAG_EXCEPTION, TAG_NAMED, TAG_REDACTED, TAG_MISSING, TAG_RANGE, TAG_TEMPORAL
};

enum Reason {
    WHOLE, DEPTH, COLLECTION_SIZE, FIELD_COUNT, TIMEOUT, REDACTED_NAME, REDACTED_TYPE, CONCURRENT_MODIFICATION, SIZE, OPAQUE, LEVEL,
    AS_BEFORE
};

enum What {
    WHAT_FUNCTION = 1, WHAT_CLASS, WHAT_MODULE, WHAT_BUILTIN, WHAT_METHOD, WHAT_CODE, WHAT_GENERATOR, WHAT_COROUTINE, WHAT_ASYNC_GENERATOR
};

/* Every writer below is given at least ITEM_MIN bytes (out->end - out->at) and takes no more than it is given. */
#define ITEM_MIN 24
#define DEPTH_MAX 32
#define SCAN_MAX 4096 /* dead table entries that are passed over before giving up (TIMEOUT) */

/* values.c */
void write_any(Out *out, PyObject *o, const Caps *caps, unsigned depth);
void write_shared(Out *out, PyObject *o, const Caps *caps, unsigned depth, size_t left);
void write_under_name(Out *out, PyObject *name, PyObject *o, const Caps *caps, unsigned depth, size_t left);
void write_missing(Out *out, enum Reason reason, const char *type);
void write_redacted(Out *out, enum Reason reason);
void write_items(Out *out, enum Tag tag, PyObject *o, PyObject *const *items, Py_ssize_t length, PyObject *names, const Caps *caps, unsigned depth);
void write_pairs(Out *out, PyObject *o, PyObject *const *pairs, Py_ssize_t count, const Caps *caps, unsigned depth); /* as a dict */

static inline uint64_t identity(const void *o) { return (uintptr_t)o >> 4; }

/* Room for a varint that is known only later: `width` bytes, filled by patch_varint(). */
static inline unsigned varint_width(uint64_t most)
{
    unsigned width = 1;
    while (most >= 0x80) {
        most >>= 7;
        width++;
    }
    return width;
}

static inline void patch_varint(uint8_t *at, unsigned width, uint64_t v)
{
    for (unsigned i = 0; i + 1 < width; i++, v >>= 7) {
        at[i] = (uint8_t)(v | 0x80);
    }
    at[width - 1] = (uint8_t)(v & 0x7f);
}

/* scalars.c */
int scalars_init(void);
void write_int(Out *out, PyObject *o);
void write_float(Out *out, double v);
void write_complex(Out *out, PyObject *o);
void write_text(Out *out, PyObject *o, const Caps *caps);
void write_bytes(Out *out, enum Tag tag, const char *p, Py_ssize_t length, const Caps *caps);
void write_range(Out *out, PyObject *o);
int write_temporal(Out *out, PyObject *o, PyTypeObject *layout); /* 0: `layout` is not of the datetime family */
int is_temporal_type(PyTypeObject *type);

/* dicts.c: entries of a dict (subclasses by content) in order; a split table's and an object's inline values alike. */
typedef struct {
    PyDictKeysObject *keys;
    PyDictValues *values; /* NULL: combined table */
    Py_ssize_t at, count; /* count: entries, or attributes in order */
    Py_ssize_t used;
    unsigned dead; /* passed over so far */
} Entries;

/* The values of a table or an object in no order, NULL where one is not set: at `at` and so many bytes on. */
typedef struct {
    const char *at;
    size_t stride;
    Py_ssize_t count;
} Values;

void entries_of_dict(Entries *entries, PyObject *dict);
int entries_of_object(Entries *entries, PyObject *o); /* 0: it has no attributes of its own that can be read */
Values entries_values(const Entries *entries);
int entries_next(Entries *entries, PyObject **key, PyObject **value);
PyObject *lookup(PyObject *dict, PyObject *name); /* borrowed or NULL; NULL too where a key's __eq__ could run */

/* library.c: types of the standard library whose content no attribute shows; arrays.c: numpy's */
int library_init(void);
int arrays_init(void);
int known_of(PyTypeObject *type); /* which of them it is; NOT_KNOWN */
int write_known(int known, Out *out, PyObject *o, const Caps *caps, unsigned depth); /* 0: it cannot be read so */
int write_numpy(Out *out, PyObject *o, const Caps *caps, unsigned depth);
PyObject *known_zone_key(PyObject *zone); /* of a zoneinfo.ZoneInfo, an exact str; NULL: it is none, or has no key. Borrowed. */
PyTypeObject *loaded_type(PyObject *module_name, PyObject *name); /* a class out of a loaded module, or NULL. Borrowed. */

/* objects.c */
int objects_init(void);
void put_type(Out *out, PyTypeObject *type, size_t keep); /* the type's name as `str`, leaving `keep` bytes of the room */
void objects_begin(void); /* a value of its own */
void write_object(Out *out, PyObject *o, const Class *class, const Caps *caps, unsigned depth);
void write_exception(Out *out, PyObject *o, const Class *class, const Caps *caps, unsigned depth);
int is_dunder(int kind, const void *data, Py_ssize_t n);
int is_named_type(PyTypeObject *type); /* functions, classes, modules ... */
void write_named(Out *out, PyObject *o);

/* classes.c */
int classes_init(void);
size_t qualified_name(uint8_t *to, size_t max, PyObject *module, PyObject *name);
size_t c_name(uint8_t *to, size_t max, const char *name);

#endif

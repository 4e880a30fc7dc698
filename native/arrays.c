/* numpy's scalars and arrays, by the public structs of its C API (ndarraytypes.h), which versions 1 and 2 share as far as they are read here.
 * An array is an object with its shape, its dtype and the first of its items; its memory is read only where it is certain to be memory. */
#define Py_BUILD_CORE 1
#include <Python.h>

#include "values_impl.h"

#define DIMENSIONS_MAX 64
#define DIMENSIONS_SHOWN 8
#define ARRAY_ROOM 200 /* that an array takes at least, its first items included */
#define OWNS_DATA 4    /* NPY_ARRAY_OWNDATA */
#define VIEWS_MAX 4    /* views of views that are followed */

typedef struct {
    PyObject_HEAD
    PyTypeObject *typeobj;
    char kind, letter, byteorder, flags;
    int number;
} Dtype;

typedef struct {
    PyObject_HEAD
    char *data;
    int nd;
    Py_ssize_t *dimensions, *strides;
    PyObject *base;
    Dtype *dtype;
    int flags;
} Array;

/* By dtype number (NPY_TYPES). */
static const struct {
    const char *name;
    uint8_t size; /* of an item; 0: not read */
    char kind;    /* b: bool, i: signed, u: unsigned, f: float, c: complex, O: object */
} DTYPES[] = {
    {"bool", 1, 'b'},        {"int8", 1, 'i'},     {"uint8", 1, 'u'},    {"int16", 2, 'i'},      {"uint16", 2, 'u'},
    {"int32", 4, 'i'},       {"uint32", 4, 'u'},   {"int64", 8, 'i'},    {"uint64", 8, 'u'},     {"int64", 8, 'i'},
    {"uint64", 8, 'u'},      {"float32", 4, 'f'},  {"float64", 8, 'f'},  {"longdouble", 0, 0},   {"complex64", 8, 'c'},
    {"complex128", 16, 'c'}, {"clongdouble", 0, 0}, {"object", 8, 'O'},  {"bytes", 0, 0},        {"str", 0, 0},
    {"void", 0, 0},          {"datetime64", 0, 0}, {"timedelta64", 0, 0}, {"float16", 2, 'h'},
};
#define DTYPES_KNOWN (int)(sizeof DTYPES / sizeof *DTYPES)

static PyObject *numpy_name, *array_name;
static PyTypeObject *array_type; /* owned, once it is found */

/* Scalars' types, as they are met; owned. */
#define SCALARS_MOST 32
static struct {
    PyTypeObject *type;
    int number;
} scalars[SCALARS_MOST];
static int scalar_count;

int arrays_init(void)
{
    if (!numpy_name) {
        numpy_name = PyUnicode_InternFromString("numpy");
        array_name = PyUnicode_InternFromString("ndarray");
    }
    return numpy_name && array_name ? 0 : -1;
}

/* -- items -- */

static double half(uint16_t bits)
{
    int exponent = bits >> 10 & 31;
    double m = bits & 0x3ff, sign = bits >> 15 ? -1.0 : 1.0;
    if (exponent == 31) {
        return m != 0 ? Py_NAN : sign * Py_HUGE_VAL;
    }
    double v = exponent ? m + 1024 : m;
    for (int i = exponent ? exponent : 1; i < 25; i++) {
        v /= 2;
    }
    for (int i = 25; i < exponent; i++) {
        v *= 2;
    }
    return sign * v;
}

static double read_float(const char *at, size_t size)
{
    float f;
    double d;
    if (size == 4) {
        memcpy(&f, at, 4);
        return f;
    }
    memcpy(&d, at, 8);
    return d;
}

static void write_unsigned(Out *out, uint64_t v)
{
    if (v <= INT64_MAX) {
        put_u8(out, TAG_INT);
        put_svarint(out, (int64_t)v);
        return;
    }
    put_u8(out, TAG_BIGINT);
    put_u8(out, 0);
    put_varint(out, 64);
    put_varint(out, 8);
    put_u64(out, v);
}

static int64_t read_signed(const char *at, size_t size)
{
    int64_t v = 0;
    memcpy(&v, at, size);
    return (int64_t)((uint64_t)v << (64 - 8 * size)) >> (64 - 8 * size);
}

/* One item of a dtype that is read; takes at most ITEM_MIN bytes, an object's its room. */
static void write_item(Out *out, const char *at, int number, const Caps *caps, unsigned depth)
{
    size_t size = DTYPES[number].size;
    uint64_t u = 0;
    uint16_t bits;
    PyObject *o;
    switch (DTYPES[number].kind) {
    case 'b':
        put_u8(out, *at ? TAG_TRUE : TAG_FALSE);
        break;
    case 'i':
        put_u8(out, TAG_INT);
        put_svarint(out, read_signed(at, size));
        break;
    case 'u':
        memcpy(&u, at, size);
        write_unsigned(out, u);
        break;
    case 'h':
        memcpy(&bits, at, 2);
        write_float(out, half(bits));
        break;
    case 'f':
        write_float(out, read_float(at, size));
        break;
    case 'c':
        put_u8(out, TAG_COMPLEX);
        put_f64(out, read_float(at, size / 2));
        put_f64(out, read_float(at + size / 2, size / 2));
        break;
    default:
        memcpy(&o, at, sizeof o);
        write_any(out, o, caps, depth);
    }
}

/* -- arrays -- */

/* Whether the memory that an array shows lives in a heap block or in an immutable object: a mapped file may be cut, and reading it then kills. */
static int is_plain_memory(const Array *array)
{
    for (int i = 0; i < VIEWS_MAX; i++) {
        if (array->flags & OWNS_DATA) {
            return 1;
        }
        if (!array->base || PyBytes_CheckExact(array->base)) {
            return array->base != NULL;
        }
        if (Py_TYPE(array->base) != array_type) {
            return 0;
        }
        array = (const Array *)array->base;
    }
    return 0;
}

/* How many items; -1: no number. */
static Py_ssize_t count_of(const Array *array)
{
    Py_ssize_t count = 1;
    for (int i = 0; i < array->nd; i++) {
        if (array->dimensions[i] < 0 || (count && __builtin_mul_overflow(count, array->dimensions[i], &count))) {
            return -1;
        }
    }
    return count;
}

/* Steps to the next item, the last index first; how far from the item before. */
static Py_ssize_t advance(const Array *array, Py_ssize_t *index)
{
    Py_ssize_t by = 0;
    for (int i = array->nd - 1; i >= 0; i--) {
        if (++index[i] < array->dimensions[i]) {
            return by + array->strides[i];
        }
        by -= (index[i] - 1) * array->strides[i];
        index[i] = 0;
    }
    return by;
}

static void write_flat(Out *out, const Array *array, Py_ssize_t count, const Caps *caps, unsigned depth)
{
    int number = array->dtype->number;
    if (number < 0 || number >= DTYPES_KNOWN || !DTYPES[number].size || array->dtype->byteorder == '>' || !is_plain_memory(array)) {
        write_missing(out, OPAQUE, "");
        return;
    }
    Py_ssize_t n = count < caps->items ? count : caps->items, index[DIMENSIONS_MAX] = {0};
    size_t fit = (out_left(out) - 24) / ITEM_MIN;
    enum Reason reason = n < count ? COLLECTION_SIZE : WHOLE;
    if ((size_t)n > fit) {
        n = (Py_ssize_t)fit;
        reason = SIZE;
    }
    put_u8(out, TAG_LIST);
    put_varint(out, 0);
    put_varint(out, (uint64_t)count);
    put_varint(out, (uint64_t)n);
    put_u8(out, (uint8_t)reason);
    const char *at = array->data;
    uint8_t *end = out->end;
    for (Py_ssize_t i = 0; i < n; i++) {
        out->end = out->at + (size_t)(end - out->at) / (size_t)(n - i);
        write_item(out, at, number, caps, depth);
        out->end = end;
        at += advance(array, index);
    }
}

static void write_shape(Out *out, const Array *array)
{
    int n = array->nd < DIMENSIONS_SHOWN ? array->nd : DIMENSIONS_SHOWN;
    put_u8(out, TAG_TUPLE);
    put_varint(out, 0);
    put_varint(out, (uint64_t)array->nd);
    put_varint(out, (uint64_t)n);
    put_u8(out, n < array->nd ? COLLECTION_SIZE : WHOLE);
    for (int i = 0; i < n; i++) {
        put_u8(out, TAG_INT);
        put_svarint(out, array->dimensions[i]);
    }
}

static void write_dtype(Out *out, const Dtype *dtype)
{
    const char *name = dtype->number >= 0 && dtype->number < DTYPES_KNOWN ? DTYPES[dtype->number].name : "other";
    put_u8(out, TAG_STR);
    put_varint(out, strlen(name));
    put_str(out, name, strlen(name));
}

static int write_array(Out *out, PyObject *o, const Caps *caps, unsigned depth)
{
    const Array *array = (const Array *)o;
    Py_ssize_t count = array->nd >= 0 && array->nd <= DIMENSIONS_MAX && array->dtype ? count_of(array) : -1;
    if (count < 0 || (count && !array->data)) {
        return 0;
    }
    enum Reason reason = !depth ? DEPTH : !caps->fields ? FIELD_COUNT : out_left(out) < ARRAY_ROOM ? SIZE : WHOLE;
    if (out_left(out) < 32) {
        write_missing(out, SIZE, "numpy.ndarray");
        return 1;
    }
    put_u8(out, TAG_OBJECT);
    put_str(out, "numpy.ndarray", 13);
    put_varint(out, identity(o));
    put_varint(out, reason == WHOLE ? 3 : 0);
    put_u8(out, (uint8_t)reason);
    if (reason == WHOLE) {
        put_str(out, "shape", 5);
        write_shape(out, array);
        put_str(out, "dtype", 5);
        write_dtype(out, array->dtype);
        put_str(out, "flat", 4);
        write_flat(out, array, count, caps, depth - 1);
    }
    return 1;
}

/* -- scalars -- */

static int number_named(const char *name)
{
    if (!strcmp(name, "bool_")) {
        return 0;
    }
    if (!strcmp(name, "longlong") || !strcmp(name, "ulonglong")) {
        return name[0] == 'u' ? 10 : 9;
    }
    for (int i = 0; i < DTYPES_KNOWN; i++) {
        if (DTYPES[i].size && DTYPES[i].kind != 'O' && !strcmp(name, DTYPES[i].name)) {
            return i;
        }
    }
    return -1;
}

/* The dtype of a scalar's type; -1: it is none that is read. */
static int number_of(PyTypeObject *type)
{
    for (int i = 0; i < scalar_count; i++) {
        if (scalars[i].type == type) {
            return scalars[i].number;
        }
    }
    int number = PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE) || scalar_count == SCALARS_MOST ? -1 : number_named(type->tp_name + 6);
    if (number < 0 || type->tp_basicsize < (Py_ssize_t)(sizeof(PyObject) + DTYPES[number].size) || type->tp_itemsize) {
        return -1;
    }
    scalars[scalar_count].number = number; /* static types live for ever; those of numpy alone are named so */
    scalars[scalar_count++].type = (PyTypeObject *)Py_NewRef(type);
    return number;
}

static int write_scalar(Out *out, PyObject *o, int number)
{
    const char *type = Py_TYPE(o)->tp_name;
    size_t n = strlen(type);
    if (out_left(out) < n + 12 + ITEM_MIN) {
        write_missing(out, SIZE, type);
        return 1;
    }
    put_u8(out, TAG_SUBCLASS);
    put_str(out, type, n);
    put_varint(out, identity(o));
    write_item(out, (const char *)(o + 1), number, NULL, 0);
    return 1;
}

int write_numpy(Out *out, PyObject *o, const Caps *caps, unsigned depth)
{
    PyTypeObject *type = Py_TYPE(o);
    if (!array_type && !strcmp(type->tp_name, "numpy.ndarray") && type->tp_basicsize >= (Py_ssize_t)sizeof(Array)
        && type == loaded_type(numpy_name, array_name)) {
        array_type = (PyTypeObject *)Py_NewRef(type);
    }
    if (array_type && type == array_type) {
        return write_array(out, o, caps, depth);
    }
    int number = array_type || loaded_type(numpy_name, array_name) ? number_of(type) : -1;
    return number >= 0 && write_scalar(out, o, number);
}

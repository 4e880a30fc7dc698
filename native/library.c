/* Types of the standard library that hide their content from attributes, or spread it over them: each is known by its exact type, found by
 * name in a module that the program has loaded, and read by its layout or by the offsets of its own member descriptors. */
#define Py_BUILD_CORE 1
#include <Python.h>
#include <stdio.h>

#include "redact.h"
#include "values_impl.h"

typedef int (*Write)(Out *out, PyObject *o, const Caps *caps, unsigned depth); /* 0: it cannot be read so */

typedef struct {
    const char *shown;              /* tp_name: a quick look before the module is searched */
    const char *module, *name;      /* where it is found, once the program has imported it */
    Py_ssize_t size;                /* tp_basicsize that the layout has; 0: no layout of ours */
    int (*learn)(PyTypeObject *type); /* offsets; 0: not as we know it. NULL: nothing to learn */
    Write write;
    PyObject *module_name, *type_name; /* interned */
    PyTypeObject *type;             /* once it is found; owned */
} Known;

/* -- parts -- */

PyTypeObject *loaded_type(PyObject *module_name, PyObject *name)
{
    PyObject *module = lookup(PyImport_GetModuleDict(), module_name);
    if (!module || !PyModule_CheckExact(module)) {
        return NULL;
    }
    PyObject *type = lookup(PyModule_GetDict(module), name);
    return type && PyType_Check(type) ? (PyTypeObject *)type : NULL;
}

/* Where a type, or one that it derives from, keeps a slot; 0: nowhere. */
static Py_ssize_t slot_offset(PyTypeObject *type, PyObject *name)
{
    for (; name && type && type != &PyBaseObject_Type; type = type->tp_base) {
        PyObject *member = lookup(type->tp_dict, name);
        if (member && Py_TYPE(member) == &PyMemberDescr_Type) {
            PyMemberDef *def = ((PyMemberDescrObject *)member)->d_member;
            return def->type == Py_T_OBJECT_EX ? def->offset : 0;
        }
    }
    return 0;
}

static PyObject *slot_at(PyObject *o, Py_ssize_t offset) { return *(PyObject **)((char *)o + offset); }

/* Opens a SUBCLASS; 0, with MISSING written, where not even the least content has room behind it. */
static int open_subclass(Out *out, PyObject *o, const char *type)
{
    size_t n = strlen(type);
    if (out_left(out) < n + 12 + ITEM_MIN) {
        write_missing(out, SIZE, type);
        return 0;
    }
    put_u8(out, TAG_SUBCLASS);
    put_str(out, type, n);
    put_varint(out, identity(o));
    return 1;
}

/* -- Decimal and UUID: no built-in carries them, their text does -- */

static PyObject *int_name;
static Py_ssize_t uuid_int;

#define LIMB_DIGITS 19
#define DECIMAL_LIMBS 3

typedef struct {
    uint8_t flags; /* 1 negative, 2 infinity, 4 NaN, 8 signalling NaN */
    Py_ssize_t exp, digits, len, alloc;
    uint64_t *data; /* least significant first, 19 digits each */
} Mpd;

typedef struct {
    PyObject_HEAD
    Py_hash_t hash;
    Mpd dec;
    uint64_t inlined[4];
} Decimal; /* Modules/_decimal/_decimal.c and libmpdec/mpdecimal.h, 64-bit builds, unchanged since 3.3 */

/* The coefficient's digits; 0 when it is too long to be copied. */
static size_t decimal_digits(const Mpd *dec, char *to)
{
    if (dec->len < 1 || dec->len > DECIMAL_LIMBS) {
        return 0;
    }
    size_t n = (size_t)sprintf(to, "%llu", (unsigned long long)dec->data[dec->len - 1]);
    for (Py_ssize_t i = dec->len - 2; i >= 0; i--) {
        n += (size_t)sprintf(to + n, "%0*llu", LIMB_DIGITS, (unsigned long long)dec->data[i]);
    }
    return n;
}

/* As str(Decimal) where no exponent is needed, else digits and E. 0: too long. */
static size_t decimal_text(const Mpd *dec, char *to, size_t max)
{
    char digits[LIMB_DIGITS * DECIMAL_LIMBS + 2];
    const char *sign = dec->flags & 1 ? "-" : "";
    if (dec->flags & 14) {
        return (size_t)snprintf(to, max, "%s%s", sign, dec->flags & 2 ? "Infinity" : dec->flags & 4 ? "NaN" : "sNaN");
    }
    Py_ssize_t n = (Py_ssize_t)decimal_digits(dec, digits);
    if (!n) {
        return 0;
    }
    Py_ssize_t point = n + dec->exp; /* digits before the point */
    if (dec->exp == 0) {
        return (size_t)snprintf(to, max, "%s%.*s", sign, (int)n, digits);
    }
    if (dec->exp < 0 && point > 0) {
        return (size_t)snprintf(to, max, "%s%.*s.%.*s", sign, (int)point, digits, (int)(n - point), digits + point);
    }
    if (dec->exp < 0 && point > -6) {
        return (size_t)snprintf(to, max, "%s0.%.*s%.*s", sign, (int)-point, "000000", (int)n, digits);
    }
    return (size_t)snprintf(to, max, "%s%.*sE%+lld", sign, (int)n, digits, (long long)dec->exp);
}

static void write_as_text(Out *out, PyObject *o, const char *type, const char *text, size_t n)
{
    if (out_left(out) < n + strlen(type) + 16) {
        write_missing(out, SIZE, type);
        return;
    }
    put_u8(out, TAG_SUBCLASS);
    put_str(out, type, strlen(type));
    put_varint(out, identity(o));
    put_u8(out, TAG_STR);
    put_varint(out, n);
    put_str(out, text, n);
}

static int write_decimal(Out *out, PyObject *o, const Caps *caps, unsigned depth)
{
    char text[128];
    size_t n = decimal_text(&((Decimal *)o)->dec, text, sizeof text);
    if (!n) {
        write_missing(out, SIZE, "decimal.Decimal");
    } else {
        write_as_text(out, o, "decimal.Decimal", text, n);
    }
    return 1;
}

static int write_uuid(Out *out, PyObject *o, const Caps *caps, unsigned depth)
{
    PyObject *number = slot_at(o, uuid_int);
    if (!number || Py_TYPE(number) != &PyLong_Type) {
        return 0;
    }
    const _PyLongValue *v = &((PyLongObject *)number)->long_value;
    size_t count = v->lv_tag >> 3;
    if (count > 5 || (v->lv_tag & 3) == 2) {
        return 0;
    }
    unsigned __int128 m = 0;
    for (size_t i = count; i-- > 0;) {
        m = m << PyLong_SHIFT | v->ob_digit[i];
    }
    uint64_t high = (uint64_t)(m >> 64), low = (uint64_t)m;
    char text[40];
    int n = snprintf(text, sizeof text, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(high >> 32), (unsigned)(high >> 16 & 0xffff),
                     (unsigned)(high & 0xffff), (unsigned)(low >> 48), (unsigned long long)(low & 0xffffffffffffu));
    write_as_text(out, o, "uuid.UUID", text, (size_t)n);
    return 1;
}

static int learn_uuid(PyTypeObject *type) { return (uuid_int = slot_offset(type, int_name)) != 0; }

/* -- paths: as str() has cached it, or as it was given where that is the same -- */

static PyObject *str_name, *raw_name;
static Py_ssize_t path_str, path_raw;

static int learn_path(PyTypeObject *type)
{
    path_str = slot_offset(type, str_name);
    path_raw = slot_offset(type, raw_name);
    return path_str && path_raw;
}

/* Whether str(Path(text)) is text: no part of it is empty or '.'. */
static int is_normal(PyObject *text)
{
    Py_ssize_t n = PyUnicode_GET_LENGTH(text);
    int kind = (int)PyUnicode_KIND(text);
    const void *data = PyUnicode_DATA(text);
    Py_UCS4 before = '/'; /* the part before was empty, or it begins */
    for (Py_ssize_t i = 0; i < n; i++) {
        Py_UCS4 c = PyUnicode_READ(kind, data, i), next = i + 1 < n ? PyUnicode_READ(kind, data, i + 1) : '/';
        if (c == '/' && next == '/' && n > 1) {
            return 0;
        }
        if (c == '.' && before == '/' && next == '/') {
            return 0;
        }
        before = c;
    }
    return n > 0;
}

static int write_path(Out *out, PyObject *o, const Caps *caps, unsigned depth)
{
    PyObject *text = slot_at(o, path_str), *raw = slot_at(o, path_raw);
    if (!text || !PyUnicode_CheckExact(text)) {
        if (!raw || !PyList_CheckExact(raw) || PyList_GET_SIZE(raw) != 1) {
            return 0;
        }
        text = PyList_GET_ITEM(raw, 0);
        if (!PyUnicode_CheckExact(text) || !is_normal(text)) {
            return 0;
        }
    }
    if (open_subclass(out, o, Py_TYPE(o)->tp_name[1] == 'o' ? "pathlib.PosixPath" : "pathlib.PurePosixPath")) {
        write_text(out, text, caps);
    }
    return 1;
}

/* -- containers -- */

#define BLOCK_ITEMS 64
#define SHOWN_MOST 64 /* of a deque or a row */

typedef struct Block {
    struct Block *left;
    PyObject *items[BLOCK_ITEMS];
    struct Block *right;
} Block;

typedef struct {
    PyObject_VAR_HEAD
    Block *first, *last;
    Py_ssize_t first_index, last_index;
    size_t state;
    Py_ssize_t most, free_count;
    Block *free[16];
    PyObject *weak;
} Deque; /* Modules/_collectionsmodule.c, 3.12 to 3.14 */

static int write_deque(Out *out, PyObject *o, const Caps *caps, unsigned depth)
{
    Deque *deque = (Deque *)o;
    PyObject *items[SHOWN_MOST];
    Caps few = *caps;
    const Block *block = deque->first;
    Py_ssize_t n = Py_SIZE(o) < SHOWN_MOST ? Py_SIZE(o) : SHOWN_MOST, at = deque->first_index;
    few.items = few.items < SHOWN_MOST ? few.items : SHOWN_MOST;
    for (Py_ssize_t i = 0; i < n; i++, at++) {
        if (at == BLOCK_ITEMS) {
            block = block->right;
            at = 0;
        }
        if (!block || at < 0 || at > BLOCK_ITEMS) { /* not as we know it */
            return 0;
        }
        items[i] = block->items[at];
    }
    if (open_subclass(out, o, "collections.deque")) {
        write_items(out, TAG_LIST, o, items, Py_SIZE(o), NULL, &few, depth);
    }
    return 1;
}

typedef struct {
    PyObject_HEAD
    PyObject *mapping;
} Proxy; /* Objects/descrobject.c, unchanged since 2.2 */

static int write_proxy(Out *out, PyObject *o, const Caps *caps, unsigned depth)
{
    PyObject *mapping = ((Proxy *)o)->mapping;
    if (!mapping || !PyDict_Check(mapping)) {
        return 0;
    }
    if (open_subclass(out, o, "mappingproxy")) {
        write_any(out, mapping, caps, depth);
    }
    return 1;
}

typedef struct {
    PyObject_HEAD
    PyObject *data, *description;
} DatabaseRow; /* Modules/_sqlite/row.h, unchanged since 3.0 */

/* The name of a column: description is what Cursor.description is. */
static PyObject *column_name(PyObject *description, Py_ssize_t i)
{
    PyObject *column = i < PyTuple_GET_SIZE(description) ? PyTuple_GET_ITEM(description, i) : NULL;
    PyObject *name = column && PyTuple_CheckExact(column) && PyTuple_GET_SIZE(column) ? PyTuple_GET_ITEM(column, 0) : NULL;
    return name && PyUnicode_CheckExact(name) ? name : NULL;
}

static int write_database_row(Out *out, PyObject *o, const Caps *caps, unsigned depth)
{
    DatabaseRow *row = (DatabaseRow *)o;
    PyObject *pairs[2 * SHOWN_MOST];
    if (!row->data || !PyTuple_CheckExact(row->data) || !row->description || !PyTuple_CheckExact(row->description)) {
        return 0;
    }
    Py_ssize_t length = PyTuple_GET_SIZE(row->data);
    Caps few = *caps;
    few.items = few.items < SHOWN_MOST ? few.items : SHOWN_MOST;
    for (Py_ssize_t i = 0; i < length && i < SHOWN_MOST; i++) {
        pairs[2 * i] = column_name(row->description, i);
        pairs[2 * i + 1] = PyTuple_GET_ITEM(row->data, i);
        if (!pairs[2 * i] || !pairs[2 * i + 1]) {
            return 0;
        }
    }
    if (open_subclass(out, o, "sqlite3.Row")) {
        write_pairs(out, o, pairs, length, &few, depth);
    }
    return 1;
}

/* -- zones -- */

static PyObject *key_name;
static Py_ssize_t zone_key;

static int learn_zone(PyTypeObject *type) { return (zone_key = slot_offset(type, key_name)) != 0; }

/* -- which -- */

enum { ZONE = 0 };

static Known known[] = {
    [ZONE] = {.shown = "zoneinfo.ZoneInfo", .module = "zoneinfo", .name = "ZoneInfo", .learn = learn_zone},
    {.shown = "decimal.Decimal", .module = "_decimal", .name = "Decimal", .size = sizeof(Decimal), .write = write_decimal},
    {.shown = "UUID", .module = "uuid", .name = "UUID", .learn = learn_uuid, .write = write_uuid},
    {.shown = "PosixPath", .module = "pathlib", .name = "PosixPath", .learn = learn_path, .write = write_path},
    {.shown = "PurePosixPath", .module = "pathlib", .name = "PurePosixPath", .learn = learn_path, .write = write_path},
    {.shown = "collections.deque", .module = "_collections", .name = "deque", .size = sizeof(Deque), .write = write_deque},
    {.shown = "mappingproxy", .module = "types", .name = "MappingProxyType", .size = sizeof(Proxy), .write = write_proxy},
    {.shown = "sqlite3.Row", .module = "_sqlite3", .name = "Row", .size = sizeof(DatabaseRow), .write = write_database_row},
};

#define KNOWN (sizeof known / sizeof *known)

int library_init(void)
{
    if (int_name) {
        return 0;
    }
    for (size_t i = 0; i < KNOWN; i++) {
        known[i].module_name = PyUnicode_InternFromString(known[i].module);
        known[i].type_name = PyUnicode_InternFromString(known[i].name);
        if (!known[i].module_name || !known[i].type_name) {
            return -1;
        }
    }
    str_name = PyUnicode_InternFromString("_str");
    raw_name = PyUnicode_InternFromString("_raw_paths");
    key_name = PyUnicode_InternFromString("key");
    int_name = PyUnicode_InternFromString("int");
    return str_name && raw_name && key_name && int_name ? 0 : -1;
}

/* Whether `type` is what `k` describes: found once, by name, then by identity. */
static int is_known(Known *k, PyTypeObject *type)
{
    if (k->type) {
        return k->type == type;
    }
    if (type->tp_name[0] != k->shown[0] || strcmp(type->tp_name, k->shown) || (k->size && type->tp_basicsize != k->size)
        || loaded_type(k->module_name, k->type_name) != type || (k->learn && !k->learn(type))) {
        return 0;
    }
    k->type = (PyTypeObject *)Py_NewRef(type);
    return 1;
}

PyObject *known_zone_key(PyObject *zone)
{
    PyObject *key = is_known(&known[ZONE], Py_TYPE(zone)) ? slot_at(zone, zone_key) : NULL;
    return key && PyUnicode_CheckExact(key) ? key : NULL;
}

#define NUMPY ((int)KNOWN)

int known_of(PyTypeObject *type)
{
    for (int i = ZONE + 1; i < NUMPY; i++) {
        if (is_known(&known[i], type)) {
            return i;
        }
    }
    return strncmp(type->tp_name, "numpy.", 6) ? NOT_KNOWN : NUMPY;
}

int write_known(int which, Out *out, PyObject *o, const Caps *caps, unsigned depth)
{
    return which == NUMPY ? write_numpy(out, o, caps, depth) : known[which].write(out, o, caps, depth);
}

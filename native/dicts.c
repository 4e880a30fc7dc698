/* Reading dicts and objects' inline attributes in insertion order, without materialising anything. Layouts differ by minor version. */
#define Py_BUILD_CORE 1
#include <Python.h>
#include "pycore_dict.h"
#include "pycore_object.h"

#include "values_impl.h"

#if PY_VERSION_HEX >= 0x030F0000
#error "dicts.c knows the layouts of CPython 3.12 to 3.14"
#endif

/* Attributes held in an array beside the class's keys: how many, and which key each belongs to, oldest first. */
#if PY_VERSION_HEX < 0x030D0000
static Py_ssize_t values_count(PyDictValues *values) { return ((uint8_t *)values)[-2]; }
static unsigned values_index(PyDictValues *values, Py_ssize_t i) { return ((uint8_t *)values)[-3 - i]; }
#else
static Py_ssize_t values_count(PyDictValues *values) { return values->size; }
static unsigned values_index(PyDictValues *values, Py_ssize_t i) { return get_insertion_order_array(values)[i]; }
#endif

void entries_of_dict(Entries *entries, PyObject *dict)
{
    PyDictObject *d = (PyDictObject *)dict;
    entries->keys = d->ma_keys;
    entries->values = d->ma_values;
    entries->used = d->ma_used;
    entries->count = d->ma_values ? values_count(d->ma_values) : d->ma_keys->dk_nentries;
    entries->at = 0;
    entries->dead = 0;
}

static void entries_of_values(Entries *entries, PyTypeObject *type, PyDictValues *values)
{
    entries->keys = ((PyHeapTypeObject *)type)->ht_cached_keys;
    entries->values = values;
    entries->used = entries->count = values_count(values);
    entries->at = 0;
    entries->dead = 0;
}

/* The dict of an object whose type manages it, or its values in `*values`; both NULL: no attributes. */
static PyObject *managed(PyObject *o, PyDictValues **values)
{
    *values = NULL;
#if PY_VERSION_HEX < 0x030D0000
    PyDictOrValues held = *_PyObject_DictOrValuesPointer(o);
    if (_PyDictOrValues_IsValues(held)) {
        *values = _PyDictOrValues_GetValues(held);
        return NULL;
    }
    return _PyDictOrValues_GetDict(held);
#else
    PyObject *dict = (PyObject *)_PyObject_GetManagedDict(o);
    if (!dict && PyType_HasFeature(Py_TYPE(o), Py_TPFLAGS_INLINE_VALUES) && _PyObject_InlineValues(o)->valid) {
        *values = _PyObject_InlineValues(o);
    }
    return dict;
#endif
}

int entries_of_object(Entries *entries, PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    PyObject *dict = NULL;
    PyDictValues *values = NULL;
    if (PyType_HasFeature(type, Py_TPFLAGS_MANAGED_DICT)) {
        dict = managed(o, &values);
    } else if (type->tp_dictoffset) {
        PyObject **at = _PyObject_GetDictPtr(o); /* does not materialise where the dict is not managed */
        dict = at ? *at : NULL;
    }
    if (values && ((PyHeapTypeObject *)type)->ht_cached_keys) {
        entries_of_values(entries, type, values);
        return 1;
    }
    if (dict && PyDict_Check(dict)) {
        entries_of_dict(entries, dict);
        return 1;
    }
    return 0;
}

/* The entry at `i` of the table or of the order; 0 where it is dead. */
static int entry_at(const Entries *entries, Py_ssize_t i, PyObject **key, PyObject **value)
{
    PyDictKeysObject *keys = entries->keys;
    if (entries->values) {
        unsigned index = values_index(entries->values, i);
        if ((Py_ssize_t)index >= keys->dk_nentries) {
            return 0;
        }
        *key = DK_UNICODE_ENTRIES(keys)[index].me_key;
        *value = entries->values->values[index];
    } else if (DK_IS_UNICODE(keys)) {
        *key = DK_UNICODE_ENTRIES(keys)[i].me_key;
        *value = DK_UNICODE_ENTRIES(keys)[i].me_value;
    } else {
        *key = DK_ENTRIES(keys)[i].me_key;
        *value = DK_ENTRIES(keys)[i].me_value;
    }
    return *key && *value;
}

int entries_next(Entries *entries, PyObject **key, PyObject **value)
{
    while (entries->at < entries->count) {
        if (entry_at(entries, entries->at++, key, value)) {
            return 1;
        }
        if (++entries->dead > SCAN_MAX) {
            return 0;
        }
    }
    return 0;
}

Values entries_values(const Entries *entries)
{
    PyDictKeysObject *keys = entries->keys;
    if (entries->values) { /* of shared keys: with those that are not set */
        return (Values){(const char *)entries->values->values, sizeof(PyObject *), keys->dk_nentries};
    }
    if (DK_IS_UNICODE(keys)) {
        return (Values){(const char *)&DK_UNICODE_ENTRIES(keys)->me_value, sizeof(PyDictUnicodeEntry), entries->count};
    }
    return (Values){(const char *)&DK_ENTRIES(keys)->me_value, sizeof(PyDictKeyEntry), entries->count};
}

PyObject *lookup(PyObject *dict, PyObject *name)
{
    if (!dict || !PyDict_Check(dict)) {
        return NULL;
    }
    if (DK_IS_UNICODE(((PyDictObject *)dict)->ma_keys)) { /* all keys exact str: comparing them runs no code */
        return PyDict_GetItemWithError(dict, name);
    }
    Entries entries;
    PyObject *key, *value;
    entries_of_dict(&entries, dict);
    while (entries_next(&entries, &key, &value)) {
        if (key == name) {
            return value;
        }
    }
    return NULL;
}

/* -- fingerprints -- */

static inline uint64_t mix(uint64_t h, uint64_t v) { return (h ^ v) * 0x9e3779b97f4a7c15u; }

/* Addresses of numbers are used again as soon as they are dropped: what they are counts. */
static inline uint64_t plain_or_address(PyObject *o)
{
    uint64_t h = (uintptr_t)o;
    if (o && Py_TYPE(o) == &PyLong_Type) {
        return mix(((PyLongObject *)o)->long_value.lv_tag, ((PyLongObject *)o)->long_value.ob_digit[0]);
    }
    if (o && Py_TYPE(o) == &PyFloat_Type) {
        memcpy(&h, &((PyFloatObject *)o)->ob_fval, sizeof h);
    }
    return h;
}

static uint64_t ends_of(PyObject *const *items, Py_ssize_t n)
{
    uint64_t h = mix(1, (uint64_t)n);
    for (Py_ssize_t i = 0; i < n && i < 8; i++) {
        h = mix(h, plain_or_address(items[i]));
    }
    for (Py_ssize_t i = n > 16 ? n - 8 : 8; i < n; i++) {
        h = mix(h, plain_or_address(items[i]));
    }
    return h;
}

static uint64_t print_of_dict(PyDictObject *d)
{
    uint64_t h = mix(2, (uint64_t)d->ma_used);
#if PY_VERSION_HEX < 0x030E0000
    return mix(h, d->ma_version_tag); /* another one after each change, of all dicts */
#else
    Entries entries;
    PyObject *key, *value;
    entries_of_dict(&entries, (PyObject *)d);
    for (int i = 0; i < 8 && entries_next(&entries, &key, &value); i++) {
        h = mix(mix(h, (uintptr_t)key), plain_or_address(value));
    }
    for (Py_ssize_t i = entries.count - 1; i >= entries.at && i > entries.count - 9; i--) {
        if (entry_at(&entries, i, &key, &value)) {
            h = mix(mix(h, (uintptr_t)key), plain_or_address(value));
        }
    }
    return h;
#endif
}

static uint64_t print_of_set(PySetObject *set)
{
    uint64_t h = mix(mix(mix(3, (uint64_t)set->used), (uint64_t)set->fill), (uint64_t)set->mask);
    for (Py_ssize_t i = 0; i <= set->mask && i < 8; i++) {
        h = mix(h, (uintptr_t)set->table[i].key);
    }
    for (Py_ssize_t i = set->mask; i >= 8 && i > set->mask - 8; i--) {
        h = mix(h, (uintptr_t)set->table[i].key);
    }
    return h;
}

static uint64_t print_of_bytes(PyByteArrayObject *array)
{
    Py_ssize_t n = Py_SIZE(array);
    uint64_t h = mix(4, (uint64_t)n);
    for (Py_ssize_t i = 0; i < n && i < 32; i++) {
        h = mix(h, (uint8_t)array->ob_start[i]);
    }
    for (Py_ssize_t i = n > 64 ? n - 32 : 32; i < n; i++) {
        h = mix(h, (uint8_t)array->ob_start[i]);
    }
    return h;
}

uint32_t value_fingerprint(PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    uint64_t h;
    if (type == &PyList_Type) {
        h = ends_of(((PyListObject *)o)->ob_item, Py_SIZE(o));
    } else if (type == &PyDict_Type) {
        h = print_of_dict((PyDictObject *)o);
    } else if (type == &PySet_Type) {
        h = print_of_set((PySetObject *)o);
    } else if (type == &PyByteArray_Type) {
        h = print_of_bytes((PyByteArrayObject *)o);
    } else {
        return 0;
    }
    uint32_t folded = (uint32_t)(h >> 32);
    return folded ? folded : 1;
}

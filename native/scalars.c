/* Numbers, text and time as values. Reads layouts; calls nothing that could run code or allocate. */
#define Py_BUILD_CORE 1
#include <Python.h>
#include <datetime.h>
#include <stdio.h>

#include "values_impl.h"

#define BIG_BITS 512

/* As PyDateTime_IMPORT does it, without `datetime`, which on 3.12 is 2 ms of Python code. The capsule is held for life. */
static int datetime_init(void)
{
    PyObject *module = PyDateTimeAPI ? NULL : PyImport_ImportModule("_datetime");
    PyObject *capsule = module ? PyObject_GetAttrString(module, "datetime_CAPI") : NULL;
    Py_XDECREF(module);
    if (capsule)
        PyDateTimeAPI = PyCapsule_GetPointer(capsule, PyDateTime_CAPSULE_NAME);
    return PyDateTimeAPI ? 0 : -1;
}

int scalars_init(void) { return datetime_init(); }

/* -- numbers -- */

static unsigned digit_bits(digit d) { return d ? 32u - (unsigned)__builtin_clz(d) : 0; }

static void write_big(Out *out, const digit *digits, size_t count, int negative)
{
    uint64_t bits = (uint64_t)(count - 1) * PyLong_SHIFT + digit_bits(digits[count - 1]);
    size_t n = (size_t)((bits + 7) / 8);
    if (bits > BIG_BITS || out_left(out) < n + 14) {
        n = 0;
    }
    put_u8(out, TAG_BIGINT);
    put_u8(out, (uint8_t)negative);
    put_varint(out, bits);
    put_varint(out, n);
    uint64_t buffer = 0;
    unsigned held = 0;
    size_t next = 0;
    for (size_t i = 0; i < n; i++) {
        if (held < 8 && next < count) {
            buffer |= (uint64_t)digits[next++] << held;
            held += PyLong_SHIFT;
        }
        put_u8(out, (uint8_t)buffer);
        buffer >>= 8;
        held = held > 8 ? held - 8 : 0;
    }
}

/* The value when it fits 64 bits signed: 1, else 0. */
static int small_int(PyObject *o, int64_t *value)
{
    const _PyLongValue *v = &((PyLongObject *)o)->long_value;
    size_t count = v->lv_tag >> 3;
    int negative = (v->lv_tag & 3) == 2;
    if (count <= 1) {
        *value = count ? (negative ? -(int64_t)v->ob_digit[0] : (int64_t)v->ob_digit[0]) : 0;
        return 1;
    }
    if (count > 3 || (count == 3 && v->ob_digit[2] > 0xf)) {
        return 0;
    }
    uint64_t m = (uint64_t)v->ob_digit[0] | (uint64_t)v->ob_digit[1] << PyLong_SHIFT;
    if (count == 3) {
        m |= (uint64_t)v->ob_digit[2] << (2 * PyLong_SHIFT);
    }
    if (m > (uint64_t)INT64_MAX + (uint64_t)negative) {
        return 0;
    }
    *value = negative ? (int64_t)(~m + 1) : (int64_t)m;
    return 1;
}

void write_int(Out *out, PyObject *o)
{
    int64_t value;
    if (small_int(o, &value)) {
        put_u8(out, TAG_INT);
        put_svarint(out, value);
        return;
    }
    const _PyLongValue *v = &((PyLongObject *)o)->long_value;
    write_big(out, v->ob_digit, v->lv_tag >> 3, (v->lv_tag & 3) == 2);
}

void write_float(Out *out, double v)
{
    put_u8(out, TAG_FLOAT);
    put_f64(out, v);
}

void write_complex(Out *out, PyObject *o)
{
    put_u8(out, TAG_COMPLEX);
    put_f64(out, ((PyComplexObject *)o)->cval.real);
    put_f64(out, ((PyComplexObject *)o)->cval.imag);
}

typedef struct {
    PyObject_HEAD
    PyObject *start, *stop, *step, *length;
} Range; /* Objects/rangeobject.c, unchanged since 3.3; all four are exact ints */

void write_range(Out *out, PyObject *o)
{
    int64_t start, stop, step;
    Range *range = (Range *)o;
    if (out_left(out) < 31 || !small_int(range->start, &start) || !small_int(range->stop, &stop) || !small_int(range->step, &step)) {
        write_missing(out, SIZE, "range");
        return;
    }
    put_u8(out, TAG_RANGE);
    put_svarint(out, start);
    put_svarint(out, stop);
    put_svarint(out, step);
}

/* -- text -- */

static size_t utf8_point(uint8_t *to, Py_UCS4 c)
{
    if (c < 0x80) {
        to[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (uint8_t)(0xc0 | c >> 6);
        to[1] = (uint8_t)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (uint8_t)(0xe0 | c >> 12);
        to[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        to[2] = (uint8_t)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (uint8_t)(0xf0 | c >> 18);
    to[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
    to[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    to[3] = (uint8_t)(0x80 | (c & 0x3f));
    return 4;
}

static size_t point_size(Py_UCS4 c) { return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4; }

size_t utf8_prefix(uint8_t *to, size_t max, PyObject *str)
{
    size_t length = (size_t)PyUnicode_GET_LENGTH(str);
    const void *data = PyUnicode_DATA(str);
    if (PyUnicode_IS_ASCII(str)) {
        size_t n = length < max ? length : max;
        memcpy(to, data, n);
        return n;
    }
    int kind = (int)PyUnicode_KIND(str);
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        Py_UCS4 c = PyUnicode_READ(kind, data, i);
        if (n + point_size(c) > max) {
            break;
        }
        n += utf8_point(to + n, c);
    }
    return n;
}

void put_pystr(Out *out, PyObject *str, size_t max)
{
    if (PyUnicode_IS_ASCII(str)) {
        size_t length = (size_t)PyUnicode_GET_LENGTH(str);
        put_str(out, PyUnicode_DATA(str), length < max ? length : max);
        return;
    }
    unsigned width = varint_width(max);
    uint8_t *at = out->at;
    size_t n = utf8_prefix(at + width, max, str);
    unsigned needed = varint_width(n);
    if (needed < width) {
        memmove(at + needed, at + width, n);
    }
    put_varint(out, n);
    out->at += n;
}

/* Bytes of text that fit: room less the tag and the two lengths. */
static size_t text_room(const Out *out, uint64_t length, const Caps *caps)
{
    size_t head = 1 + varint_width(length) + varint_width(caps->text);
    size_t room = out_left(out) - head;
    return room < caps->text ? room : caps->text;
}

void write_text(Out *out, PyObject *o, const Caps *caps)
{
    uint64_t length = (uint64_t)PyUnicode_GET_LENGTH(o);
    size_t room = text_room(out, length, caps);
    put_u8(out, TAG_STR);
    put_varint(out, length);
    put_pystr(out, o, room);
}

void value_write_utf8(Out *out, const char *text, size_t n)
{
    size_t points = 0;
    for (size_t i = 0; i < n; i++) {
        points += ((uint8_t)text[i] & 0xc0) != 0x80;
    }
    put_u8(out, TAG_STR);
    put_varint(out, points);
    put_str(out, text, n);
}

void write_bytes(Out *out, enum Tag tag, const char *p, Py_ssize_t length, const Caps *caps)
{
    size_t room = text_room(out, (uint64_t)length, caps);
    put_u8(out, (uint8_t)tag);
    put_varint(out, (uint64_t)length);
    put_str(out, p, (size_t)length < room ? (size_t)length : room);
}

/* -- time -- */

typedef struct {
    PyObject_HEAD
    PyObject *offset; /* a timedelta */
    PyObject *name;
} Timezone; /* Modules/_datetimemodule.c, unchanged since 3.2 */

/* Of a zone whose offset is known to its code only: `[Europe/Berlin]`, or its class. */
static size_t text_named_zone(char *to, size_t max, PyObject *zone)
{
    PyObject *key = known_zone_key(zone);
    size_t n = 1;
    to[0] = '[';
    if (key) {
        n += utf8_prefix((uint8_t *)to + 1, max - 2 < 48 ? max - 2 : 48, key);
    }
    for (const char *p = key ? "" : Py_TYPE(zone)->tp_name; *p && n < 40 && n + 1 < max; p++) {
        to[n++] = *p > 0 ? *p : '?';
    }
    to[n++] = ']';
    return n;
}

static size_t text_zone(char *to, size_t max, PyObject *zone)
{
    if (zone == Py_None) {
        return 0;
    }
    if (Py_TYPE(zone) != Py_TYPE(PyDateTimeAPI->TimeZone_UTC)) {
        return text_named_zone(to, max, zone);
    }
    PyObject *offset = ((Timezone *)zone)->offset;
    int seconds = PyDateTime_DELTA_GET_DAYS(offset) * 86400 + PyDateTime_DELTA_GET_SECONDS(offset);
    char sign = seconds < 0 ? '-' : '+';
    seconds = abs(seconds);
    int n = snprintf(to, max, "%c%02d:%02d", sign, seconds / 3600, seconds / 60 % 60);
    if (seconds % 60) {
        n += snprintf(to + n, max - (size_t)n, ":%02d", seconds % 60);
    }
    return (size_t)n;
}

static size_t text_clock(char *to, size_t max, int hour, int minute, int second, int micro, PyObject *zone)
{
    int n = snprintf(to, max, "%02d:%02d:%02d", hour, minute, second);
    if (micro) {
        n += snprintf(to + n, max - (size_t)n, ".%06d", micro);
    }
    return (size_t)n + text_zone(to + n, max - (size_t)n, zone);
}

static size_t text_date(char *to, size_t max, PyObject *o)
{
    return (size_t)snprintf(to, max, "%04d-%02d-%02d", PyDateTime_GET_YEAR(o), PyDateTime_GET_MONTH(o), PyDateTime_GET_DAY(o));
}

int is_temporal_type(PyTypeObject *type)
{
    return type == PyDateTimeAPI->DateTimeType || type == PyDateTimeAPI->DateType || type == PyDateTimeAPI->TimeType
        || type == PyDateTimeAPI->DeltaType;
}

int write_temporal(Out *out, PyObject *o, PyTypeObject *layout)
{
    char text[128];
    size_t n;
    uint8_t what;
    if (layout == PyDateTimeAPI->DateTimeType) {
        what = 3;
        n = text_date(text, sizeof text, o);
        text[n++] = 'T';
        n += text_clock(text + n, sizeof text - n, PyDateTime_DATE_GET_HOUR(o), PyDateTime_DATE_GET_MINUTE(o),
                        PyDateTime_DATE_GET_SECOND(o), PyDateTime_DATE_GET_MICROSECOND(o), PyDateTime_DATE_GET_TZINFO(o));
    } else if (layout == PyDateTimeAPI->DateType) {
        what = 1;
        n = text_date(text, sizeof text, o);
    } else if (layout == PyDateTimeAPI->TimeType) {
        what = 2;
        n = text_clock(text, sizeof text, PyDateTime_TIME_GET_HOUR(o), PyDateTime_TIME_GET_MINUTE(o),
                       PyDateTime_TIME_GET_SECOND(o), PyDateTime_TIME_GET_MICROSECOND(o), PyDateTime_TIME_GET_TZINFO(o));
    } else if (layout == PyDateTimeAPI->DeltaType) {
        what = 4;
        n = (size_t)snprintf(text, sizeof text, "%d,%d,%d", PyDateTime_DELTA_GET_DAYS(o), PyDateTime_DELTA_GET_SECONDS(o),
                             PyDateTime_DELTA_GET_MICROSECONDS(o));
    } else {
        return 0;
    }
    if (out_left(out) < n + 3) { /* half of it would be another time */
        write_missing(out, SIZE, layout->tp_name);
        return 1;
    }
    put_u8(out, TAG_TEMPORAL);
    put_u8(out, what);
    put_str(out, text, n);
    return 1;
}

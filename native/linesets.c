/* Which slots each line of a code object writes and reads, from its bytecode and its location table
 * (CPython: Objects/locations.md, Include/opcode_ids.h). */
#include "codes.h"

#include <opcode.h>
#include <stdlib.h>

/* -- the location table --------------------------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *at, *end;
    int32_t line;   /* of the entry, from the first line of the code */
    int has_line;   /* 0: instructions without one */
    int units;      /* code units that the entry covers */
} Locations;

static uint32_t location_varint(Locations *l)
{
    uint32_t value = 0;
    for (int shift = 0; l->at < l->end && shift < 32; shift += 6) {
        uint8_t byte = *l->at++;
        value |= (uint32_t)(byte & 63) << shift;
        if (!(byte & 64))
            break;
    }
    return value;
}

static int32_t location_svarint(Locations *l)
{
    uint32_t v = location_varint(l);
    return v & 1 ? -(int32_t)(v >> 1) : (int32_t)(v >> 1);
}

static int next_location(Locations *l)
{
    if (l->at >= l->end)
        return 0;
    uint8_t first = *l->at++;
    int form = (first >> 3) & 15;
    l->units = (first & 7) + 1;
    l->has_line = form != 15;
    if (form == 13 || form == 14)
        l->line += location_svarint(l);
    else if (form >= 10 && form <= 12)
        l->line += form - 10;
    while (l->at < l->end && !(*l->at & 0x80)) /* columns: not for us */
        l->at++;
    return 1;
}

static Locations locations(PyCodeObject *code)
{
    const uint8_t *table = (const uint8_t *)PyBytes_AS_STRING(code->co_linetable);
    return (Locations){.at = table, .end = table + PyBytes_GET_SIZE(code->co_linetable)};
}

static void bounds(PyCodeObject *code, int32_t *low, int32_t *high)
{
    Locations l = locations(code);
    *low = 0;
    *high = 0;
    while (next_location(&l))
        if (l.has_line) {
            *low = l.line < *low ? l.line : *low;
            *high = l.line > *high ? l.line : *high;
        }
}

int linesets_span(PyCodeObject *code)
{
    int32_t low, high;
    bounds(code, &low, &high);
    return high - low + 1;
}

/* -- accesses: one number each, so that sorting groups them by line, writes first --------------------------------------------- */

typedef struct {
    uint64_t *all;
    size_t count, room;
    int32_t low; /* lowest line */
    int slots;
    int failed;
} Accesses;

enum { WRITE, READ };

static void note(Accesses *a, int32_t line, int kind, int slot)
{
    if (slot >= a->slots)
        return;
    if (a->count == a->room) {
        size_t room = a->room ? a->room * 2 : 64;
        uint64_t *all = realloc(a->all, room * sizeof *all);
        if (!all) {
            a->failed = 1;
            return;
        }
        a->all = all;
        a->room = room;
    }
    a->all[a->count++] = (uint64_t)(line - a->low) << 32 | (uint64_t)kind << 16 | (uint64_t)slot;
}

static void note_instruction(Accesses *a, int32_t line, int opcode, int arg)
{
    switch (opcode) {
    case STORE_FAST:
    case DELETE_FAST:
    case STORE_DEREF:
    case DELETE_DEREF:
    case LOAD_FAST_AND_CLEAR: /* an inlined comprehension borrows the slot */
    case MAKE_CELL:
        note(a, line, WRITE, arg);
        break;
    case LOAD_FAST:
    case LOAD_FAST_CHECK:
    case LOAD_DEREF:
#ifdef LOAD_FAST_BORROW
    case LOAD_FAST_BORROW:
#endif
        note(a, line, READ, arg);
        break;
#ifdef STORE_FAST_STORE_FAST
    case STORE_FAST_STORE_FAST:
        note(a, line, WRITE, arg >> 4);
        note(a, line, WRITE, arg & 15);
        break;
    case STORE_FAST_LOAD_FAST:
        note(a, line, WRITE, arg >> 4);
        note(a, line, READ, arg & 15);
        break;
    case LOAD_FAST_LOAD_FAST:
#ifdef LOAD_FAST_BORROW_LOAD_FAST_BORROW
    case LOAD_FAST_BORROW_LOAD_FAST_BORROW:
#endif
        note(a, line, READ, arg >> 4);
        note(a, line, READ, arg & 15);
        break;
#endif
    default:
        break;
    }
}

/* The code as it was compiled: neither specialised nor instrumented. New reference. The interpreter would keep what it makes for us; it need not. */
static PyObject *original(PyCodeObject *code)
{
    int cached = code->_co_cached && code->_co_cached->_co_code;
    PyObject *bytes = PyCode_GetCode(code);
    if (bytes && !cached && code->_co_cached)
        Py_CLEAR(code->_co_cached->_co_code);
    return bytes;
}

/* The instructions of one code object with their lines; those without one count to the line before them, and are noted as unlined. */
static void walk(Accesses *a, Accesses *unlined, PyCodeObject *code, PyObject *original)
{
    const uint8_t *bytes = (const uint8_t *)PyBytes_AS_STRING(original);
    Py_ssize_t n = PyBytes_GET_SIZE(original);
    Locations l = locations(code);
    int32_t line = 0;
    int left = 0, extended = 0, begun = 0; /* the prologue has no lines, and is over at START */
    for (Py_ssize_t i = 0; i + 1 < n; i += 2) {
        while (left == 0 && next_location(&l)) {
            left = l.units;
            line = l.has_line ? l.line : line;
            begun |= l.has_line;
        }
        left -= left > 0;
        int arg = extended << 8 | bytes[i + 1];
        extended = bytes[i] == EXTENDED_ARG ? arg : 0;
        note_instruction(a, line, bytes[i], arg);
        if (begun && !l.has_line)
            note_instruction(unlined, unlined->low, bytes[i], arg);
    }
}

/* How often the code's instructions rebind the variable in `slot`, a cell or free; a loop makes it twice. */
static int rebinding_sites(PyCodeObject *code, int slot)
{
    PyObject *bytes = original(code);
    const uint8_t *at = bytes ? (const uint8_t *)PyBytes_AS_STRING(bytes) : NULL;
    int found = 0, loops = 0, extended = 0;
    for (Py_ssize_t i = 0; at && i + 1 < PyBytes_GET_SIZE(bytes); i += 2) {
        int arg = extended << 8 | at[i + 1];
        extended = at[i] == EXTENDED_ARG ? arg : 0;
        found += (at[i] == STORE_DEREF || at[i] == DELETE_DEREF) && arg == slot;
        loops |= at[i] == JUMP_BACKWARD || at[i] == JUMP_BACKWARD_NO_INTERRUPT;
    }
    Py_XDECREF(bytes);
    return found && loops ? found + 1 : found;
}

/* The slot of a free variable, -1: the code does not know it. */
static int free_slot(PyCodeObject *code, PyObject *name)
{
    for (int slot = 0; slot < code->co_nlocalsplus; slot++)
        if (PyBytes_AS_STRING(code->co_localspluskinds)[slot] & 0x80 /* CO_FAST_FREE */ &&
            PyUnicode_Compare(PyTuple_GET_ITEM(code->co_localsplusnames, slot), name) == 0)
            return slot;
    return -1;
}

/* Calls `visit` with each function below `code` that shares its variable `name`; the sum of what it returned. */
static int below(PyCodeObject *code, PyObject *name, SharedVisit visit)
{
    int sum = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(code->co_consts); i++) {
        PyCodeObject *inner = (PyCodeObject *)PyTuple_GET_ITEM(code->co_consts, i);
        int slot = PyCode_Check(inner) ? free_slot(inner, name) : -1;
        if (slot >= 0)
            sum += visit(inner, slot) + below(inner, name, visit);
    }
    return sum;
}

void linesets_shared(PyCodeObject *code, SharedVisit visit)
{
    for (int slot = 0; slot < code->co_nlocalsplus; slot++) {
        uint8_t kind = (uint8_t)PyBytes_AS_STRING(code->co_localspluskinds)[slot];
        PyObject *name = PyTuple_GET_ITEM(code->co_localsplusnames, slot);
        if (!(kind & 0x40 /* CO_FAST_CELL */))
            continue;
        int elsewhere = below(code, name, rebinding_sites);
        int given = slot < code->co_argcount + code->co_kwonlyargcount;
        if (elsewhere)
            visit(code, slot);
        if (elsewhere + given + rebinding_sites(code, slot) > 1)
            below(code, name, visit);
    }
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int is_written(const LineSets *sets, const LineSet *line, uint16_t slot)
{
    for (uint16_t i = 0; i < line->writes; i++)
        if (sets->slots[line->at + i] == slot)
            return 1;
    return 0;
}

/* From sorted accesses to one array of slots, from `used` on; returns where it ends. */
static uint32_t pack(LineSets *sets, const Accesses *a, uint32_t used)
{
    for (size_t i = 0; i < a->count; i++) {
        if (i && a->all[i] == a->all[i - 1])
            continue;
        LineSet *line = &sets->lines[a->all[i] >> 32];
        uint16_t slot = (uint16_t)a->all[i];
        if (!line->writes && !line->reads)
            line->at = used;
        if (a->all[i] >> 16 & 1) {
            if (is_written(sets, line, slot))
                continue;
            line->reads++;
        } else
            line->writes++;
        sets->slots[used++] = slot;
    }
    return used;
}

static void sort(Accesses *a)
{
    if (a->count)
        qsort(a->all, a->count, sizeof *a->all, compare);
}

static void pack_unlined(LineSets *sets, const Accesses *a, uint32_t used)
{
    sets->unlined_at = used;
    for (size_t i = 0; i < a->count && !(a->all[i] >> 16 & 1); i++)
        if (!i || a->all[i] != a->all[i - 1])
            sets->slots[used + sets->unlined++] = (uint16_t)a->all[i];
}

int linesets_build(LineSets *sets, PyCodeObject *code, int slots)
{
    int32_t low, high;
    PyObject *bytes = original(code);
    if (!bytes)
        return -1;
    bounds(code, &low, &high);
    Accesses a = {.low = low, .slots = slots}, unlined = a;
    walk(&a, &unlined, code, bytes);
    Py_DECREF(bytes);
    sort(&a);
    sort(&unlined);
    sets->first = low;
    sets->count = high - low + 1;
    sets->lines = calloc((size_t)sets->count, sizeof *sets->lines);
    sets->slots = malloc((a.count + unlined.count + 1) * sizeof *sets->slots);
    int failed = a.failed || unlined.failed || !sets->lines || !sets->slots;
    if (!failed)
        pack_unlined(sets, &unlined, pack(sets, &a, 0));
    free(a.all);
    free(unlined.all);
    if (failed)
        linesets_free(sets);
    return failed ? -1 : 0;
}

int linesets_writes(const LineSets *sets, int slot)
{
    for (int32_t line = 0; line < sets->count; line++)
        if (is_written(sets, &sets->lines[line], (uint16_t)slot))
            return 1;
    return 0;
}

void linesets_free(LineSets *sets)
{
    free(sets->lines);
    free(sets->slots);
    memset(sets, 0, sizeof *sets);
}

/* Classifies each code object once, when it is made (PyCode_AddWatcher) or armed, and keeps what is known of it in its co_extra. */
#include "codes.h"
#include "events.h"
#include "governor.h"
#include "redact.h"
#include "ring.h"
#include "rules.h"
#include "values.h"

#include <stdlib.h>

enum { DEFINE_FILE = 1, DEFINE_CODE = 2, DEFINE_LEVEL = 3 };

#define MAX_COPIES 1000   /* code objects of one place: generated again and again */
#define FEW_COPIES 8
#define PLACES 65536      /* counters of copies, a power of two */
#define MAX_LIBRARY 4096  /* remembered file names that are not user code */
#define MAX_FILES 65536


CodeInfo *codes_cache[CODES_CACHE];
PyCodeObject *codes_without[CODES_CACHE];

static Py_ssize_t extra = -1; /* index into co_extra */
static int watcher = -1;
static CodeInfo all = {.next = &all, .previous = &all}; /* ring of all that is armed */
static CodeInfo *spare; /* infos to be used again, linked by `next` */
static CodeInfo *hand = &all; /* where codes_resume() begins */
static uint32_t codes_made, codes_live, files_made, tags;
static uint64_t full; /* stretch in which it was said that the definitions are full */
static PyObject *user_files;    /* dict: path -> id */
static PyObject *library_files; /* set of paths */
static uint16_t copies[PLACES]; /* by the number that path, qualified name and first line make */
static PyObject *pending_files; /* list of (id, path): what new_files() will say */

static void unlink_info(CodeInfo *info)
{
    if (hand == info)
        hand = info->next;
    info->next->previous = info->previous;
    info->previous->next = info->next;
    codes_live--;
}

/* From the end of its code object, among others. */
static void free_info(void *pointer)
{
    CodeInfo *info = pointer;
    if (!info)
        return;
    if (info->next)
        unlink_info(info);
    linesets_free(&info->sets);
    free(info->flags);
    free(info->shared);
    *info = (CodeInfo){.next = spare};
    spare = info;
}

static CodeInfo *new_info(void)
{
    CodeInfo *info = spare;
    if (!info)
        return calloc(1, sizeof *info);
    spare = info->next;
    info->next = NULL;
    return info;
}

CodeInfo *codes_find(PyCodeObject *code)
{
    size_t place = ((uintptr_t)code >> 5 ^ (uintptr_t)code >> 14) % CODES_CACHE;
    void *info = NULL;
    if (codes_without[place] == code)
        return NULL;
    if (PyUnstable_Code_GetExtra((PyObject *)code, extra, &info) < 0)
        PyErr_Clear();
    if (info)
        codes_cache[place] = info;
    else
        codes_without[place] = code;
    return info;
}

/* -- definitions -------------------------------------------------------------------------------------------------- */

static int define(uint8_t kind, const Out *out, uint8_t *body)
{
    int failed = ring_define(kind, body, (size_t)(out->at - body));
    free(body);
    if (failed && full != at_ring.stretch) {
        full = at_ring.stretch;
        ring_lost(2, "definitions full");
    }
    return failed;
}

static size_t text_room(PyObject *str) { return (size_t)PyUnicode_GET_LENGTH(str) * 4 + 10; }

static int define_file(PyObject *path, uint32_t id)
{
    size_t room = text_room(path) + 10;
    uint8_t *body = malloc(room);
    if (!body)
        return -1;
    Out out = {body, body + room};
    put_varint(&out, id);
    put_pystr(&out, path, room - 20);
    return define(DEFINE_FILE, &out, body);
}

static size_t definition_room(PyCodeObject *code)
{
    size_t room = 128 + text_room(code->co_name) + text_room(code->co_qualname) + (size_t)PyBytes_GET_SIZE(code->co_linetable);
    for (int i = 0; i < code->co_nlocalsplus; i++)
        room += text_room(PyTuple_GET_ITEM(code->co_localsplusnames, i)) + 1;
    return room;
}

static int define_code(const CodeInfo *info)
{
    PyCodeObject *code = info->code;
    size_t room = definition_room(code);
    uint8_t *body = malloc(room);
    if (!body)
        return -1;
    Out out = {body, body + room};
    put_varint(&out, info->id);
    put_varint(&out, info->file);
    put_pystr(&out, code->co_name, text_room(code->co_name));
    put_pystr(&out, code->co_qualname, text_room(code->co_qualname));
    put_varint(&out, (uint64_t)(code->co_firstlineno < 0 ? 0 : code->co_firstlineno));
    put_varint(&out, (uint32_t)code->co_flags);
    put_varint(&out, (uint64_t)code->co_argcount);
    put_varint(&out, (uint64_t)code->co_posonlyargcount);
    put_varint(&out, (uint64_t)code->co_kwonlyargcount);
    put_varint(&out, info->slots);
    for (int i = 0; i < info->slots; i++) {
        PyObject *name = PyTuple_GET_ITEM(code->co_localsplusnames, i);
        put_pystr(&out, name, text_room(name));
        put_u8(&out, info->flags[i] & 31);
    }
    size_t n = (size_t)PyBytes_GET_SIZE(code->co_linetable);
    put_varint(&out, n);
    put_raw(&out, PyBytes_AS_STRING(code->co_linetable), n);
    return define(DEFINE_CODE, &out, body);
}

void codes_define_level(uint32_t id, uint8_t level, enum Cause cause)
{
    uint8_t *body = malloc(32);
    if (!body)
        return;
    Out out = {body, body + 32};
    put_varint(&out, id);
    put_u8(&out, level);
    put_u8(&out, (uint8_t)cause);
    put_u64(&out, ring_ticks());
    define(DEFINE_LEVEL, &out, body);
}

static int define_low_level(const CodeInfo *info)
{
    if (info->own < LEVEL_LINES)
        codes_define_level(info->id, info->own, info->lines ? CAUSE_START : CAUSE_LONG);
    return 0;
}

/* Records of code that is not defined would say nothing. Its events stay off, since it is not among `all` any more. */
static void disarm(CodeInfo *info)
{
    if (PyUnstable_Code_SetExtra((PyObject *)info->code, extra, NULL) < 0) /* frees it */
        PyErr_Clear();
}

void codes_redefine(void)
{
    PyObject *path, *id;
    Py_ssize_t at = 0;
    Py_CLEAR(pending_files);
    pending_files = PyList_New(0);
    while (user_files && PyDict_Next(user_files, &at, &path, &id)) {
        define_file(path, (uint32_t)PyLong_AsUnsignedLong(id));
        PyObject *pair = PyTuple_Pack(2, id, path);
        if (!pair || !pending_files || PyList_Append(pending_files, pair) < 0)
            PyErr_Clear(); /* the source is missing then, nothing else */
        Py_XDECREF(pair);
    }
    for (CodeInfo *info = all.next, *next; info != &all; info = next) {
        next = info->next;
        if (define_code(info) < 0)
            disarm(info);
        else
            define_low_level(info);
    }
}

/* -- classification ------------------------------------------------------------------------------------------------ */

static int remember_library(PyObject *path)
{
    if (PySet_GET_SIZE(library_files) >= MAX_LIBRARY && PySet_Clear(library_files) < 0)
        return -1;
    return PySet_Add(library_files, path);
}

/* A new user file gets its id and its definition. -1 with or without an exception: not to be armed. */
static int remember_user(PyObject *path, uint32_t *id)
{
    if (PyDict_GET_SIZE(user_files) >= MAX_FILES || define_file(path, files_made + 1) < 0)
        return -1;
    PyObject *number = PyLong_FromUnsignedLong(++files_made);
    PyObject *pair = number ? PyTuple_Pack(2, number, path) : NULL;
    int failed = !pair || PyDict_SetItem(user_files, path, number) < 0 || !pending_files || PyList_Append(pending_files, pair) < 0;
    Py_XDECREF(number);
    Py_XDECREF(pair);
    *id = files_made;
    return failed ? -1 : 0;
}

/* 1: user code of file `id`; 0: not; -1: an exception, or no room. Only exact str: nothing of the program's may run. */
static int classify(PyObject *path, uint32_t *id)
{
    char why[512];
    if (!PyUnicode_CheckExact(path))
        return 0;
    PyObject *known = PyDict_GetItemWithError(user_files, path);
    if (known) {
        *id = (uint32_t)PyLong_AsUnsignedLong(known);
        return 1;
    }
    int library = PyErr_Occurred() ? -1 : PySet_Contains(library_files, path);
    if (library)
        return library < 0 ? -1 : 0;
    const char *text = PyUnicode_AsUTF8(path);
    if (!text)
        PyErr_Clear(); /* lone surrogates: no rule can name it */
    if (!text || !rules_user(text, why, sizeof why))
        return remember_library(path);
    return remember_user(path, id) < 0 ? -1 : 1;
}

/* How many code objects there have been at this place, or at one whose number is the same; the count stops beyond the limit. */
static int count_copy(PyCodeObject *code)
{
    uint64_t h = (uint64_t)PyObject_Hash(code->co_filename) * 31 + (uint64_t)PyObject_Hash(code->co_qualname); /* exact str */
    h = (h * 31 + (uint32_t)code->co_firstlineno) * UINT64_C(0x9E3779B97F4A7C15);
    uint16_t *count = &copies[h >> 32 & (PLACES - 1)];
    *count += *count <= MAX_COPIES + 1;
    return *count;
}

static int first_is_self(PyCodeObject *code)
{
    if (!code->co_argcount)
        return 0;
    PyObject *name = PyTuple_GET_ITEM(code->co_localsplusnames, 0);
    return PyUnicode_CompareWithASCIIString(name, "self") == 0 || PyUnicode_CompareWithASCIIString(name, "cls") == 0;
}

static int fill_flags(CodeInfo *info, PyCodeObject *code)
{
    info->flags = calloc((size_t)info->slots + 1, 1);
    if (!info->flags)
        return -1;
    for (int i = 0; i < info->slots; i++) {
        uint8_t kind = (uint8_t)PyBytes_AS_STRING(code->co_localspluskinds)[i];
        info->flags[i] = (uint8_t)((kind & 0x20 ? SLOT_LOCAL : 0) | (kind & 0x40 ? SLOT_CELL : 0) | (kind & 0x80 ? SLOT_FREE : 0) |
                                   (i < info->arguments ? SLOT_ARGUMENT : 0));
        PyObject *name = PyTuple_GET_ITEM(code->co_localsplusnames, i);
        if (redact_name(name))
            info->flags[i] |= SLOT_REDACTED;
        if (PyUnicode_CompareWithASCIIString(name, "__classdict__") == 0 || PyUnicode_CompareWithASCIIString(name, "__conditional_annotations__") == 0)
            info->flags[i] |= SLOT_OWN;
    }
    if (first_is_self(code))
        info->flags[0] |= SLOT_SELF;
    info->secret = (uint8_t)redact_name(code->co_name);
    return 0;
}

/* Arguments that no line writes. Cells may be written by others. */
static void find_fixed(CodeInfo *info)
{
    for (int i = 0; i < info->arguments; i++)
        if (!(info->flags[i] & SLOT_CELL) && !linesets_writes(&info->sets, i))
            info->flags[i] |= SLOT_FIXED;
    while (info->fixed < info->arguments && info->flags[info->fixed] & SLOT_FIXED)
        info->fixed++;
}

static CodeInfo *make_info(PyCodeObject *code, uint32_t file)
{
    CodeInfo *info = new_info();
    if (!info)
        return NULL;
    info->code = code;
    info->file = file;
    info->first_line = code->co_firstlineno;
    info->slots = (uint16_t)(code->co_nlocalsplus < MAX_SLOTS ? code->co_nlocalsplus : MAX_SLOTS);
    int arguments = code->co_argcount + code->co_kwonlyargcount + !!(code->co_flags & CO_VARARGS) + !!(code->co_flags & CO_VARKEYWORDS);
    info->arguments = (uint16_t)(arguments < info->slots ? arguments : info->slots);
    info->suspends = (code->co_flags & (CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR)) != 0;
    info->lines = linesets_span(code) <= MAX_LINES;
    info->own = info->level = governor_first_level(info);
    info->id = codes_made + 1;
    info->tag = ++tags;
    if (fill_flags(info, code) < 0 || (info->lines && linesets_build(&info->sets, code, info->slots) < 0) || define_code(info) < 0) {
        free_info(info);
        return NULL;
    }
    if (info->lines)
        find_fixed(info);
    codes_made++;
    return info;
}

static int share(PyCodeObject *code, int slot)
{
    CodeInfo *info = code_info(code);
    if (!info || slot >= info->slots)
        return 0;
    for (int i = 0; i < info->shared_count; i++)
        if (info->shared[i] == slot)
            return 0;
    uint16_t *shared = realloc(info->shared, (info->shared_count + 1u) * sizeof *shared);
    if (shared) {
        info->shared = shared;
        shared[info->shared_count++] = (uint16_t)slot;
    }
    return 0;
}

static void link_info(CodeInfo *info)
{
    info->previous = all.previous;
    info->next = &all;
    all.previous->next = info;
    all.previous = info;
    codes_live++;
}

static int attach(PyCodeObject *code, uint32_t file);

/* Functions that share variables with it: what they rebind must be known before it runs. */
static void attach_inner(PyCodeObject *code, uint32_t file)
{
    for (Py_ssize_t i = 0; (code->co_ncellvars || code->co_nfreevars) && i < PyTuple_GET_SIZE(code->co_consts); i++) {
        PyCodeObject *inner = (PyCodeObject *)PyTuple_GET_ITEM(code->co_consts, i);
        if (PyCode_Check(inner) && inner->co_nfreevars && !code_info(inner) && attach(inner, file) < 0)
            PyErr_Clear();
    }
}

static int attach(PyCodeObject *code, uint32_t file)
{
    CodeInfo *info = make_info(code, file);
    if (!info)
        return -1;
    memset(codes_without, 0, sizeof codes_without);
    if (PyUnstable_Code_SetExtra((PyObject *)code, extra, info) < 0) {
        free_info(info);
        return -1;
    }
    link_info(info);
    attach_inner(code, file);
    linesets_shared(code, share);
    define_low_level(info);
    if (!info->lines)
        ring_gap(3, "more than 2000 lines: calls only");
    if (code->co_nlocalsplus > MAX_SLOTS)
        ring_gap(3, "more than 1000 variables: the others are missing");
    return monitoring_local(info);
}

static int may_attach(PyCodeObject *code, uint32_t *file)
{
    int user = classify(code->co_filename, file);
    return user > 0 && !(PyUnicode_CheckExact(code->co_qualname) && PyUnicode_CheckExact(code->co_name)) ? 0 : user;
}

/* 1: user code, that `act` was done to, or too much of it; 0: not; -1 with or without an exception. */
static int consider(PyCodeObject *code, int (*act)(PyCodeObject *code, uint32_t file))
{
    uint32_t file = 0;
    int user = may_attach(code, &file);
    if (user <= 0)
        return user;
    int copy = count_copy(code);
    if (copy > FEW_COPIES && !governor_may_arm())
        return 1; /* generated again and again, which has used up the budget */
    if (copy <= MAX_COPIES)
        return act(code, file) < 0 ? -1 : 1;
    if (copy == MAX_COPIES + 1)
        ring_gap(3, "more than 1000 code objects of one place");
    return 1;
}

static int ask_first(PyCodeObject *code, uint32_t file) { return monitoring_first(code); }

CodeInfo *codes_first_call(PyCodeObject *code)
{
    uint32_t file = 0;
    if (!governor_may_arm()) {
        at_governor.library += COST_LIBRARY;
        return NULL;
    }
    uint64_t from = ring_ticks();
    PyObject *pending = PyErr_GetRaisedException();
    int armed = may_attach(code, &file) > 0 && attach(code, file) == 0;
    if (!armed) {
        PyErr_Clear();
        if (monitoring_none(code) < 0)
            PyErr_Clear();
    }
    PyErr_SetRaisedException(pending);
    governor_arming(ring_ticks() - from);
    return armed ? code_info(code) : NULL;
}

/* Called while a code object is being made: whatever fails here must not be seen by the program. */
static int on_code(PyCodeEvent event, PyCodeObject *code)
{
    if (event != PY_CODE_EVENT_CREATE || !at_ring.stretch)
        return 0;
    uint64_t from = ring_ticks();
    PyObject *pending = PyErr_GetRaisedException();
    if (consider(code, ask_first) < 0)
        PyErr_Clear();
    PyErr_SetRaisedException(pending);
    governor_arming(ring_ticks() - from);
    return 0;
}

int codes_arm(PyCodeObject *code)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(code->co_consts); i++) {
        PyObject *constant = PyTuple_GET_ITEM(code->co_consts, i);
        if (PyCode_Check(constant) && codes_arm((PyCodeObject *)constant) < 0)
            return -1;
    }
    if (code_info(code))
        return 1;
    int user = consider(code, attach);
    return user < 0 && !PyErr_Occurred() ? 0 : user;
}

int codes_set_events(void)
{
    for (CodeInfo *info = all.next; info != &all; info = info->next)
        if (monitoring_local(info) < 0)
            return -1;
    return 0;
}

void codes_set_level(CodeInfo *info, uint8_t level, enum Cause cause)
{
    uint64_t from = ring_ticks();
    PyObject *pending = PyErr_GetRaisedException();
    info->own = level;
    if (level == LEVEL_SPANS)
        info->tag = ++tags;
    if (monitoring_local(info) < 0)
        PyErr_Clear();
    at_ring.roll++; /* what was captured of its frames does not hold for the new level */
    codes_define_level(info->id, level, cause);
    PyErr_SetRaisedException(pending);
    governor_arming(ring_ticks() - from);
}

static CodeInfo *none_if_end(CodeInfo *info) { return info == &all ? NULL : info; }
CodeInfo *codes_first(void) { return none_if_end(all.next); }
CodeInfo *codes_next(const CodeInfo *info) { return none_if_end(info->next); }
CodeInfo *codes_resume(void) { return hand == &all ? codes_first() : hand; }
void codes_pause_at(CodeInfo *info) { hand = info ? info : &all; }

PyObject *codes_new_files(void)
{
    PyObject *fresh = PyList_New(0), *files = pending_files;
    if (!fresh || !files)
        return fresh; /* NULL: no memory, and nothing is lost */
    pending_files = fresh;
    return files;
}

uint32_t codes_armed(void) { return codes_live; }

static int ready(PyObject **object, PyObject *made)
{
    if (*object)
        Py_XDECREF(made);
    else
        *object = made;
    return *object ? 0 : -1;
}

int codes_start(void)
{
    if (ready(&user_files, PyDict_New()) < 0 || ready(&library_files, PySet_New(NULL)) < 0 ||
        ready(&pending_files, PyList_New(0)) < 0)
        return -1;
    if (extra < 0 && (extra = PyUnstable_Eval_RequestCodeExtraIndex(free_info)) < 0)
        return -1;
    if (watcher < 0)
        watcher = PyCode_AddWatcher(on_code);
    return watcher < 0 ? -1 : 0;
}

void codes_stop(void)
{
    if (watcher >= 0 && PyCode_ClearWatcher(watcher) < 0)
        PyErr_Clear();
    watcher = -1;
}

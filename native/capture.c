/* Copies slots of live frames into records. The entry remembers fingerprints of the mutables it saw, so that a change in place shows. */
#include "capture.h"
#include "governor.h"
#include "redact.h"
#include "told.h"

#include <stdlib.h>

enum { TAG_UNBOUND = 0x00, TAG_REDACTED = 0x16, TAG_MISSING = 0x17, REASON_REDACTED_NAME = 5, REASON_SIZE = 8, REASON_LEVEL = 10 };

#define SLOT_MIN 6          /* number, MISSING, reason, no type: what any slot takes at least */
#define KEYFRAME_FRAMES 32
#define SLOT_OTHERS 0xffff  /* all but the arguments */

const Caps CAPS_VALUE = {.depth = 3, .items = 32, .fields = 24, .text = 256, .objects = 4, .refers = 1};
const Caps CAPS_LOCAL = {.depth = 2, .items = 16, .fields = 16, .text = 256, .objects = 4, .refers = 1};
const Caps CAPS_BRIEF = {.depth = 2, .items = 8, .fields = 0, .text = 128};

static inline int is_mutable(PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    return type == &PyList_Type || type == &PyDict_Type || type == &PySet_Type || type == &PyByteArray_Type;
}

static inline int is_cell(const CodeInfo *info, int slot) { return info->flags[slot] & (SLOT_CELL | SLOT_FREE); }

static inline PyObject *slot_value(const CodeInfo *info, Frame frame, int slot)
{
    return info->flags[slot] & SLOT_OWN ? NULL : frame_slot(frame, info->code, slot, is_cell(info, slot));
}

static inline int is_object(PyObject *o) { return (Py_TYPE(o)->tp_flags & Py_TPFLAGS_HEAPTYPE) != 0; }

/* Where the fingerprint of a slot is kept; -1: nowhere. */
static inline int seen_at(const Entry *entry, int slot)
{
    int n = entry->seen < FINGERPRINTS ? entry->seen : FINGERPRINTS;
    for (int i = 0; i < n; i++)
        if (entry->seen_slots[i] == slot)
            return i;
    return -1;
}

/* Of this very object, as it is now. `told`: it has just been written. */
static uint32_t fingerprint(PyObject *value, int told)
{
    uint32_t content = told && is_object(value) ? told_as(value) : 0;
    if (!content)
        content = is_object(value) ? value_object_fingerprint(value) : value_fingerprint(value);
    uint32_t whole = content ^ (uint32_t)((uintptr_t)value >> 4);
    return content ? whole ? whole : 1 : 0;
}

/* In the oldest's place when there is no other. 0: nothing can be said of it later. */
static void remember(Entry *entry, int slot, uint32_t fingerprint)
{
    int i = seen_at(entry, slot);
    if (i < 0 && !fingerprint)
        return;
    if (i < 0) {
        i = entry->seen % FINGERPRINTS;
        entry->seen = entry->seen + 1 < 2 * FINGERPRINTS ? entry->seen + 1 : FINGERPRINTS;
    }
    entry->seen_slots[i] = fingerprint ? (uint16_t)slot : SLOT_NONE;
    entry->seen_as[i] = fingerprint;
}

static int changed(const Entry *entry, int slot, PyObject *value)
{
    int i = seen_at(entry, slot);
    return i < 0 || entry->seen_as[i] != fingerprint(value, 0);
}

/* What is not written quickly; `left` slots, this one included, are still to be written. */
static __attribute__((noinline)) void put_value(Out *out, Entry *entry, int slot, PyObject *value, const Caps *caps, size_t left)
{
    if (!value)
        put_u8(out, TAG_UNBOUND);
    else if (entry->info->flags[slot] & SLOT_REDACTED && !redact_is_empty(value)) {
        put_u8(out, TAG_REDACTED);
        put_u8(out, REASON_REDACTED_NAME);
    } else if (out_left(out) < VALUE_MIN + SLOT_MIN * left) {
        put_u8(out, TAG_MISSING);
        put_u8(out, REASON_SIZE);
        put_u8(out, 0);
    } else {
        size_t room = value_share(out, left), most = out_left(out) - SLOT_MIN * (left - 1);
        value_write(out, value, caps, room < most ? room : most);
        if (!entry->ending && (is_mutable(value) || (is_object(value) && slot < entry->info->arguments)))
            remember(entry, slot, is_object(value) && !caps->fields ? 0 : fingerprint(value, 1)); /* known with its attributes only */
    }
}

/* One slot; `left` slots at most, this one included, are still to be written. 1: by value_quick(). */
static inline int put_slot(Out *out, Entry *entry, Frame frame, int slot, const Caps *caps, size_t left)
{
    const CodeInfo *info = entry->info;
    uint8_t flags = info->flags[slot];
    put_varint(out, (uint64_t)slot);
    PyObject *value = flags & SLOT_OWN ? NULL : frame_slot(frame, info->code, slot, flags & (SLOT_CELL | SLOT_FREE));
    int quick = value && !(flags & SLOT_REDACTED) && out_left(out) >= VALUE_MIN + SLOT_MIN * left && value_quick(out, value);
    if (!quick)
        put_value(out, entry, slot, value, caps, left);
    frame_slot_done(value);
    return quick;
}

size_t capture_room(const CodeInfo *info) { return VALUE_MIN + SLOT_MIN * (size_t)info->slots; }

/* The count of slots, which is known only when they are written: `most` at most. */
typedef struct {
    uint8_t *at;
    size_t count, most;
} Slots;

static inline Slots open_slots(Out *out, size_t most)
{
    Slots slots = {out->at, 0, most};
    out->at += most < 0x80 ? 1 : 2;
    return slots;
}

static inline void put_next(Slots *slots, Out *out, Entry *entry, Frame frame, int slot, const Caps *caps)
{
    put_slot(out, entry, frame, slot, caps, slots->most - slots->count++);
}

static inline void close_slots(const Slots *slots)
{
    if (slots->most < 0x80)
        slots->at[0] = (uint8_t)slots->count;
    else {
        slots->at[0] = (uint8_t)(slots->count | 0x80);
        slots->at[1] = (uint8_t)(slots->count >> 7);
    }
}

static inline int is_written(const CodeInfo *info, const LineSet *line, int slot)
{
    for (int i = 0; line && i < line->writes; i++)
        if (info->sets.slots[line->at + i] == slot)
            return 1;
    return 0;
}

/* A mutable that is not as it was captured. */
static inline int is_changed(const Entry *entry, Frame frame, int slot)
{
    PyObject *value = slot_value(entry->info, frame, slot);
    int is = value && is_mutable(value) && changed(entry, slot, value);
    frame_slot_done(value);
    return is;
}

static inline int is_shared(const CodeInfo *info, int slot)
{
    for (int i = 0; i < info->shared_count; i++)
        if (info->shared[i] == slot)
            return 1;
    return 0;
}

/* Instructions without a line of their own write only where a handler ends. */
static void put_unlined(Slots *slots, Out *out, Entry *entry, Frame frame, const LineSet *line)
{
    const LineSets *sets = &entry->info->sets;
    for (int i = 0; i < sets->unlined; i++) {
        int slot = sets->slots[sets->unlined_at + i];
        if (!is_written(entry->info, line, slot) && !is_shared(entry->info, slot))
            put_next(slots, out, entry, frame, slot, &CAPS_LOCAL);
    }
}

static inline void put_line(Slots *slots, Out *out, Entry *entry, Frame frame, const LineSet *line)
{
    const CodeInfo *info = entry->info;
    const uint16_t *of = line ? info->sets.slots + line->at : NULL;
    for (int i = 0; line && i < line->writes; i++)
        put_next(slots, out, entry, frame, of[i], &CAPS_LOCAL);
    for (int i = 0; i < info->shared_count; i++)
        if (!is_written(info, line, info->shared[i]))
            put_next(slots, out, entry, frame, info->shared[i], &CAPS_LOCAL);
    if (entry->handled)
        put_unlined(slots, out, entry, frame, line);
    for (int i = line ? line->writes : 0; line && i < line->writes + line->reads; i++)
        if (is_changed(entry, frame, of[i]) && !is_shared(info, of[i]))
            put_next(slots, out, entry, frame, of[i], &CAPS_LOCAL);
}

/* At most so many: no slot twice. */
static inline size_t most_of(const CodeInfo *info, const LineSet *line, size_t more)
{
    size_t most = (line ? (size_t)line->writes + line->reads : 0) + info->shared_count + info->sets.unlined + more;
    return most < info->slots ? most : info->slots;
}

void capture_line(Out *out, Entry *entry, Frame frame)
{
    const LineSet *line = code_line(entry->info, entry->line);
    Slots slots = open_slots(out, most_of(entry->info, line, 0));
    put_line(&slots, out, entry, frame, line);
    close_slots(&slots);
}

/* An argument whose content is another now, or was not captured yet. */
static int has_attributes(const Entry *entry, Frame frame, int slot)
{
    PyObject *value = slot_value(entry->info, frame, slot);
    int has = value && (is_mutable(value) || is_object(value)) && changed(entry, slot, value);
    frame_slot_done(value);
    return has;
}

void capture_exit(Out *out, Entry *entry, Frame frame)
{
    const CodeInfo *info = entry->info;
    const LineSet *line = code_line(info, entry->line);
    int arguments = entry->ending ? info->arguments : 0;
    Slots slots = open_slots(out, most_of(info, line, (size_t)arguments));
    put_line(&slots, out, entry, frame, line);
    for (int i = 0; i < arguments; i++)
        if (has_attributes(entry, frame, i) && !is_written(info, line, i) && !is_shared(info, i))
            put_next(&slots, out, entry, frame, i, &CAPS_LOCAL);
    close_slots(&slots);
}

void capture_start(Out *out, Entry *entry, Frame frame, int level)
{
    const CodeInfo *info = entry->info;
    int last = info->slots - 1, n = info->arguments, frees = 0;
    if (level >= LEVEL_LINES)
        while (last - frees >= n && info->flags[last - frees] & SLOT_FREE)
            frees++;
    size_t left = (size_t)(n + frees);
    int plain = 1;
    put_varint(out, left);
    for (int i = 0; i < n; i++, left--) {
        const Caps *caps = level >= LEVEL_LINES && !(info->flags[i] & SLOT_SELF) ? &CAPS_LOCAL : &CAPS_BRIEF;
        plain &= put_slot(out, entry, frame, i, caps, left) | (i >= info->fixed);
    }
    entry->plain = (uint8_t)plain;
    for (int i = info->slots - frees; i < info->slots; i++, left--)
        put_slot(out, entry, frame, i, &CAPS_BRIEF, left);
}

/* What a slot holds is as it was captured, content included. */
static inline int is_known(const Entry *entry, int slot, PyObject *value)
{
    return (is_mutable(value) || is_object(value)) && !changed(entry, slot, value);
}

/* An argument that is what it was at START: never written, and of a type that cannot change. */
static inline int is_as_before(const CodeInfo *info, int slot, PyObject *value)
{
    PyTypeObject *type = Py_TYPE(value);
    return info->flags[slot] & SLOT_FIXED && (type == &PyLong_Type || type == &PyUnicode_Type || value == Py_None || type == &PyBool_Type
                                              || type == &PyFloat_Type || type == &PyBytes_Type);
}

void capture_nothing(Out *out, Entry *entry)
{
    entry->seen = 0;
    put_varint(out, 1);
    put_varint(out, SLOT_OTHERS);
    put_u8(out, TAG_MISSING);
    put_u8(out, REASON_LEVEL);
    put_u8(out, 0);
}

#define WORDS (MAX_SLOTS / 64 + 1)

static void put_unbound(Out *out, const uint64_t *unbound, int from, int to)
{
    for (int i = from; i < to; i++)
        if (unbound[i / 64] >> (i % 64) & 1) {
            put_varint(out, (uint64_t)i);
            put_u8(out, TAG_UNBOUND);
        }
}

void capture_all(Out *out, Entry *entry, Frame frame, const Caps *caps, int changed)
{
    const CodeInfo *info = entry->info;
    int from = changed && entry->plain ? info->fixed : 0;
    size_t left = 0, empty = 0;
    uint64_t bound[WORDS], unbound[WORDS];
    bound[from / 64] = unbound[from / 64] = 0;
    for (int i = from; i < info->slots; i++) {
        if (i % 64 == 0)
            bound[i / 64] = unbound[i / 64] = 0;
        PyObject *value = slot_value(info, frame, i);
        if (!value) {
            unbound[i / 64] |= UINT64_C(1) << (i % 64);
            empty++;
        } else if (!(changed && (is_as_before(info, i, value) || is_known(entry, i, value)))) {
            bound[i / 64] |= UINT64_C(1) << (i % 64);
            left++;
        }
        frame_slot_done(value);
    }
    put_varint(out, left + empty);
    if (empty)
        put_unbound(out, unbound, from, info->slots);
    for (int word = from / 64; left; word++)
        for (uint64_t bits = bound[word]; bits; bits &= bits - 1)
            put_slot(out, entry, frame, word * 64 + __builtin_ctzll(bits), caps, left--);
}

static void put_frame(Out *out, Entry *entry, Frame frame)
{
    int lasti = frame_lasti(frame);
    put_varint(out, entry->activation);
    put_varint(out, entry->info->id);
    put_varint(out, entry->parent);
    put_varint(out, (uint64_t)(lasti < 0 ? 0 : lasti));
    capture_all(out, entry, frame, &CAPS_BRIEF, 0);
    entry->roll = at_ring.roll;
}

void capture_frame(Entry *entry, Frame frame)
{
    Out out;
    if (entry->roll == at_ring.roll || !ring_begin(&out, REC_FRAME) || entry->roll == at_ring.roll)
        return; /* the second time: opening the record rolled, and the keyframe has it */
    put_frame(&out, entry, frame);
    ring_commit(&out);
    governor_call(entry->info, COST_FRAME);
}

void capture_callers(Thread *thread)
{
    Entry *entries[KEYFRAME_FRAMES];
    Frame frames[KEYFRAME_FRAMES];
    for (int i = activation_live(thread, entries, frames, KEYFRAME_FRAMES) - 1; i >= 0; i--)
        capture_frame(entries[i], frames[i]);
}

/* The inner, the more room: 8 × 2 KiB, then 8 × 1 KiB, then what is left in equal parts. */
static size_t keyframe_room(int inner)
{
    return inner < 8 ? 2048 : inner < 16 ? 1024 : (KEYFRAME_MAX - 8 * 2048 - 8 * 1024) / (KEYFRAME_FRAMES - 16);
}

/* Frames with so many slots that not even their numbers fit are left to their next event. */
static int fits(const CodeInfo *info, size_t room) { return capture_room(info) + 64 <= room; }

void capture_keyframe(void)
{
    Entry *entries[KEYFRAME_FRAMES];
    Frame frames[KEYFRAME_FRAMES];
    Thread *thread = at_thread;
    for (int i = activation_live(thread, entries, frames, KEYFRAME_FRAMES) - 1; i >= 0; i--) {
        Out out;
        size_t room = keyframe_room(i);
        if (!fits(entries[i]->info, room))
            continue;
        ring_keyframe_begin(&out, room);
        put_frame(&out, entries[i], frames[i]);
        ring_commit(&out);
        governor_call(entries[i]->info, COST_FRAME);
    }
}

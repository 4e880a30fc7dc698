/* Copies slots of live frames into records. The entry remembers fingerprints of the mutables it saw, so that a change in place shows. */
#include "capture.h"

#include <stdlib.h>

enum { TAG_UNBOUND = 0x00, TAG_REDACTED = 0x16, TAG_MISSING = 0x17, REASON_REDACTED_NAME = 5, REASON_SIZE = 8 };

#define SLOT_MIN 6          /* number, MISSING, reason, no type: what any slot takes at least */
#define KEYFRAME_FRAMES 32

const Caps CAPS_VALUE = {.depth = 3, .items = 32, .fields = 24, .text = 256};
const Caps CAPS_LOCAL = {.depth = 2, .items = 16, .fields = 16, .text = 256};
const Caps CAPS_BRIEF = {.depth = 2, .items = 8, .fields = 0, .text = 128};

static inline int is_mutable(PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    return type == &PyList_Type || type == &PyDict_Type || type == &PySet_Type || type == &PyByteArray_Type;
}

static inline int is_cell(const CodeInfo *info, int slot) { return info->flags[slot] & (SLOT_CELL | SLOT_FREE); }

static inline PyObject *slot_value(const CodeInfo *info, Frame frame, int slot)
{
    return frame_slot(frame, info->code, slot, is_cell(info, slot));
}

static void remember(Entry *entry, int slot, PyObject *value)
{
    int i = slot % FINGERPRINTS;
    entry->seen[i].slot = (uint16_t)(slot + 1);
    entry->seen[i].fingerprint = value_fingerprint(value);
}

static int changed(const Entry *entry, int slot, PyObject *value)
{
    int i = slot % FINGERPRINTS;
    return entry->seen[i].slot != slot + 1 || entry->seen[i].fingerprint != value_fingerprint(value);
}

/* One slot; `left` slots, this one included, are still to be written. */
static void put_slot(Out *out, Entry *entry, Frame frame, int slot, const Caps *caps, size_t left)
{
    const CodeInfo *info = entry->info;
    put_varint(out, (uint64_t)slot);
    PyObject *value = slot_value(info, frame, slot);
    if (!value)
        put_u8(out, TAG_UNBOUND);
    else if (info->flags[slot] & SLOT_REDACTED) {
        put_u8(out, TAG_REDACTED);
        put_u8(out, REASON_REDACTED_NAME);
    } else if (out_left(out) < VALUE_MIN + SLOT_MIN * left) {
        put_u8(out, TAG_MISSING);
        put_u8(out, REASON_SIZE);
        put_u8(out, 0);
    } else {
        size_t room = value_share(out, left), most = out_left(out) - SLOT_MIN * (left - 1);
        value_write(out, value, caps, room < most ? room : most);
        if (is_mutable(value))
            remember(entry, slot, value);
    }
    frame_slot_done(value);
}

static inline int is_chosen(const Chosen *chosen, int slot)
{
    for (int i = 0; i < chosen->count; i++)
        if (chosen->slots[i] == slot)
            return 1;
    return 0;
}

static inline void choose(Chosen *chosen, int slot)
{
    if (chosen->count < CHOSEN_MAX)
        chosen->slots[chosen->count++] = (uint16_t)slot;
}

void choose_line(Chosen *chosen, const Entry *entry, Frame frame)
{
    const CodeInfo *info = entry->info;
    const LineSet *line = code_line(info, entry->line);
    chosen->count = 0;
    if (!line)
        return;
    const uint16_t *slots = info->sets.slots + line->at;
    for (int i = 0; i < line->writes; i++)
        if (slots[i] < info->slots)
            choose(chosen, slots[i]);
    for (int i = line->writes; i < line->writes + line->reads; i++) {
        if (slots[i] >= info->slots)
            continue;
        PyObject *value = slot_value(info, frame, slots[i]);
        if (value && is_mutable(value) && changed(entry, slots[i], value))
            choose(chosen, slots[i]);
        frame_slot_done(value);
    }
}

void choose_exit(Chosen *chosen, const Entry *entry, Frame frame)
{
    const CodeInfo *info = entry->info;
    choose_line(chosen, entry, frame);
    for (int i = 0; i < info->arguments; i++) {
        PyObject *value = slot_value(info, frame, i);
        if (value && !is_chosen(chosen, i) &&
            (is_mutable(value) ? changed(entry, i, value) : (Py_TYPE(value)->tp_flags & Py_TPFLAGS_HEAPTYPE) != 0))
            choose(chosen, i);
        frame_slot_done(value);
    }
}

void capture_chosen(Out *out, Entry *entry, Frame frame, const Chosen *chosen, const Caps *caps)
{
    put_varint(out, (uint64_t)chosen->count);
    for (int i = 0; i < chosen->count; i++)
        put_slot(out, entry, frame, chosen->slots[i], caps, (size_t)(chosen->count - i));
}

void capture_start(Out *out, Entry *entry, Frame frame, int level)
{
    const CodeInfo *info = entry->info;
    int last = info->slots - 1, n = info->arguments, frees = 0;
    if (level >= LEVEL_LINES)
        while (last - frees >= n && info->flags[last - frees] & SLOT_FREE)
            frees++;
    size_t left = (size_t)(n + frees);
    put_varint(out, left);
    for (int i = 0; i < n; i++, left--)
        put_slot(out, entry, frame, i, level >= LEVEL_LINES && !(info->flags[i] & SLOT_SELF) ? &CAPS_LOCAL : &CAPS_BRIEF, left);
    for (int i = info->slots - frees; i < info->slots; i++, left--)
        put_slot(out, entry, frame, i, &CAPS_BRIEF, left);
}

void capture_bound(Out *out, Entry *entry, Frame frame, const Caps *caps)
{
    const CodeInfo *info = entry->info;
    size_t left = 0;
    uint64_t bound[16] = {0}; /* MAX_SLOTS bits */
    for (int i = 0; i < info->slots; i++) {
        PyObject *value = slot_value(info, frame, i);
        if (value) {
            bound[i / 64] |= UINT64_C(1) << (i % 64);
            left++;
        }
        frame_slot_done(value);
    }
    put_varint(out, left);
    for (int i = 0; left; i++)
        if (bound[i / 64] >> (i % 64) & 1)
            put_slot(out, entry, frame, i, caps, left--);
}

static void put_frame(Out *out, Entry *entry, Frame frame)
{
    int lasti = frame_lasti(frame);
    put_varint(out, entry->activation);
    put_varint(out, entry->info->id);
    put_varint(out, entry->parent);
    put_varint(out, (uint64_t)(lasti < 0 ? 0 : lasti));
    capture_bound(out, entry, frame, &CAPS_BRIEF);
    entry->roll = at_ring.roll;
}

void capture_frame(Entry *entry, Frame frame)
{
    Out out;
    if (entry->roll == at_ring.roll || !ring_begin(&out, REC_FRAME) || entry->roll == at_ring.roll)
        return; /* the second time: opening the record rolled, and the keyframe has it */
    put_frame(&out, entry, frame);
    ring_commit(&out);
}

/* The inner, the more room: 8 × 2 KiB, then 8 × 1 KiB, then what is left in equal parts. */
static size_t keyframe_room(int inner)
{
    return inner < 8 ? 2048 : inner < 16 ? 1024 : (KEYFRAME_MAX - 8 * 2048 - 8 * 1024) / (KEYFRAME_FRAMES - 16);
}

/* Frames with so many slots that not even their numbers fit are left to their next event. */
static int fits(const CodeInfo *info, size_t room) { return (size_t)info->slots * SLOT_MIN + VALUE_MIN + 64 <= room; }

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
    }
}

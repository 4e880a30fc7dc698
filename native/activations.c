/* Every event compares the running frame with the top of the shadow stack. On a mismatch (a lost unwind, a greenlet switch, an eager
 * task, code armed in mid-run) the interpreter's chain of frames is the truth. */
#include "activations.h"

#define WALK_MAX 4096 /* frames; beyond it the top is taken for the caller */

static uint64_t activations;

uint64_t activation_next(void) { return ++activations; }
uint64_t activation_count(void) { return activations; }

static int is(const Entry *entry, Frame frame, const CodeInfo *info) { return entry->frame == frame && entry->info == info; }

/* Index of the entry of a live frame, from `below` downwards; -1: none. */
static int64_t index_of(const Shadow *shadow, int64_t below, Frame frame, const CodeInfo *info)
{
    for (int64_t i = below; i >= 0; i--)
        if (is(&shadow->entries[i], frame, info))
            return i;
    return -1;
}

/* What is above is not finished for certain: another greenlet's frames may come back. */
static void park_above(Shadow *shadow, int64_t index)
{
    while ((int64_t)shadow->depth - 1 > index)
        parked_put(&shadow->entries[--shadow->depth]);
}

/* The index of the nearest entry in the chain of callers, -1: none. */
static int64_t nearest(const Shadow *shadow, Frame frame)
{
    Frame f = frame_previous(frame);
    for (int i = 0; f && i < WALK_MAX; i++, f = frame_previous(f)) {
        CodeInfo *info = code_info(frame_code(f));
        int64_t index = info ? index_of(shadow, (int64_t)shadow->depth - 1, f, info) : -1;
        if (index >= 0)
            return index;
    }
    return f ? (int64_t)shadow->depth - 1 : -1;
}

uint64_t activation_settle(Thread *thread, Frame frame)
{
    Shadow *shadow = &thread->shadow;
    const Entry *top = shadow_top(shadow);
    if (!top)
        return 0;
    int64_t index = (int64_t)shadow->depth - 1;
    Frame f = frame_previous(frame);
    for (int i = 0; f && f != top->frame && i < WALK_MAX; i++)
        f = frame_previous(f);
    if (f != top->frame || code_info(frame_code(f)) != top->info) {
        index = nearest(shadow, frame);
        park_above(shadow, index);
    }
    return index < 0 ? 0 : shadow->entries[index].activation;
}

Entry *activation_begin(Thread *thread, Frame frame, CodeInfo *info, uint64_t activation, uint64_t parent)
{
    Entry *entry = shadow_push(&thread->shadow);
    if (!entry)
        return NULL;
    memset(entry, 0, sizeof *entry);
    entry->frame = frame;
    entry->info = info;
    entry->activation = activation;
    entry->parent = parent;
    entry->serial = thread->context.serial;
    entry->line = LINE_UNKNOWN;
    return entry;
}

Entry *activation_find(Thread *thread, Frame frame, CodeInfo *info)
{
    Shadow *shadow = &thread->shadow;
    int64_t index = index_of(shadow, (int64_t)shadow->depth - 1, frame, info);
    if (index >= 0) {
        park_above(shadow, index);
        return shadow_top(shadow);
    }
    Entry parked;
    int known = parked_take(frame, &parked) && parked.info == info;
    uint64_t parent = activation_settle(thread, frame);
    if (!known)
        return activation_begin(thread, frame, info, activation_next(), parent);
    Entry *entry = shadow_push(shadow);
    if (!entry)
        return NULL;
    *entry = parked;
    entry->parent = parent;
    return entry;
}

int activation_live(Thread *thread, Entry **entries, Frame *frames, int max)
{
    const Shadow *shadow = &thread->shadow;
    int64_t left = (int64_t)shadow->depth - 1;
    int n = 0;
    Frame f = left < 0 ? NULL : frame_current();
    for (int i = 0; f && left >= 0 && n < max && i < WALK_MAX; i++, f = frame_previous(f)) {
        CodeInfo *info = code_info(frame_code(f));
        int64_t index = info ? index_of(shadow, left, f, info) : -1;
        if (index < 0)
            continue;
        entries[n] = &shadow->entries[index];
        frames[n++] = f;
        left = index - 1;
    }
    return n;
}

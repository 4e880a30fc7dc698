/* Every event compares the running frame with the top of the shadow stack. On a mismatch (a lost unwind, a greenlet switch, an eager
 * task, code armed in mid-run) the interpreter's chain of frames is the truth. */
#include "capture.h"
#include "spans.h"

#define WALK_MAX 65536 /* comparisons; beyond them nothing is said of the caller */
#define REVIVE_MAX 256
#define CALLERS_MAX 32

static uint64_t activations;
static uint64_t parked_stretch; /* in which the suspended ones were parked */

uint64_t activation_next(void) { return ++activations; }
uint64_t activation_count(void) { return activations; }


/* Index of the entry of a live frame, from `below` downwards; -1: none. */
static int64_t index_of(const Shadow *shadow, int64_t below, Frame frame, const PyCodeObject *code)
{
    for (int64_t i = below; i >= 0; i--)
        if (entry_is(&shadow->entries[i], frame, code))
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
    int64_t top = (int64_t)shadow->depth - 1, compared = 0;
    for (Frame f = frame_previous(frame); f && compared < WALK_MAX; f = frame_previous(f)) {
        int64_t index = index_of(shadow, top, f, frame_code(f));
        if (index >= 0)
            return index;
        compared += top + 1;
    }
    return -1;
}

/* Whether the top of the stack is the nearest: the chain comes to it, and past no frame that was parked. */
static int top_is_nearest(const Entry *top, Frame frame)
{
    Frame f = frame_previous(frame);
    for (int i = 0; f && f != top->frame && !parked_holds(f) && i < WALK_MAX; i++)
        f = frame_previous(f);
    return f == top->frame && entry_is(top, f, frame_code(f));
}

/* Callers of `frame` that were parked, but run: of a greenlet that came back, or generators through which an exception is thrown. */
static void revive(Shadow *shadow, Frame frame)
{
    Frame found[REVIVE_MAX];
    int n = 0;
    const Entry *top = shadow_top(shadow);
    for (Frame f = frame_previous(frame); f && n < REVIVE_MAX && !(top && f == top->frame); f = frame_previous(f))
        if (parked_holds(f))
            found[n++] = f;
    while (n--) {
        Entry parked, *entry;
        if (parked_take(found[n], &parked) && entry_is(&parked, found[n], frame_code(found[n])) && (entry = shadow_push(shadow)))
            *entry = parked;
    }
}

const Entry *activation_settle(Thread *thread, Frame frame)
{
    Shadow *shadow = &thread->shadow;
    const Entry *top = shadow_top(shadow);
    if (!top && !parked_count())
        return NULL;
    if (!top || !top_is_nearest(top, frame)) {
        park_above(shadow, nearest(shadow, frame));
        revive(shadow, frame);
    }
    return shadow_top(shadow);
}

Entry *activation_begin(Thread *thread, Frame frame, CodeInfo *info, uint64_t activation, uint64_t parent)
{
    Entry *entry = shadow_push(&thread->shadow);
    if (!entry)
        return NULL;
    entry->frame = frame;
    entry->info = info;
    entry->activation = activation;
    entry->parent = parent;
    entry->roll = entry->trace = 0;
    activation_adopt(entry, thread);
    entry->code = info->tag;
    entry->line = LINE_UNKNOWN;
    entry->plain = 0;
    entry->handled = entry->ending = 0;
    entry->seen = 0;
    return entry;
}

Entry *activation_find(Thread *thread, Frame frame, CodeInfo *info)
{
    Shadow *shadow = &thread->shadow;
    int64_t index = index_of(shadow, (int64_t)shadow->depth - 1, frame, info->code);
    if (index >= 0) {
        park_above(shadow, index);
        return shadow_top(shadow);
    }
    Entry parked;
    int known = parked_take(frame, &parked) && entry_is(&parked, frame, info->code);
    const Entry *caller = activation_settle(thread, frame);
    uint64_t parent = caller ? caller->activation : 0;
    Entry *entry = known ? shadow_push(shadow) : activation_begin(thread, frame, info, activation_next(), parent);
    if (!entry)
        return NULL;
    if (known) {
        *entry = parked;
        entry->parent = parent;
    } else
        entry->handled = 1;
    return entry;
}

/* The callers of the running frame: activations that were not seen to begin. In whose context each runs is read when it goes on. */
static void find_callers(Thread *thread)
{
    Frame found[CALLERS_MAX], f = frame_current();
    CodeInfo *infos[CALLERS_MAX];
    int n = 0;
    for (int i = 0; f && n < CALLERS_MAX && i < WALK_MAX && (f = frame_previous(f)); i++)
        if ((infos[n] = code_info(frame_code(f))) && infos[n]->level)
            found[n++] = f;
    for (uint64_t parent = 0; n--;) {
        Entry *entry = activation_begin(thread, found[n], infos[n], activation_next(), parent);
        if (!entry)
            return;
        entry->handled = 1;
        entry->serial = UINT64_MAX;
        parent = entry->activation;
    }
}

void activation_renew(Thread *thread)
{
    thread->shadow.depth = 0;
    thread->shadow.stretch = at_ring.stretch;
    if (parked_stretch != at_ring.stretch) {
        parked_forget();
        parked_stretch = at_ring.stretch;
    }
    segment_set(spans_current());
    find_callers(thread);
    capture_callers(thread);
}

int activation_live(Thread *thread, Entry **entries, Frame *frames, int max)
{
    const Shadow *shadow = &thread->shadow;
    int64_t left = (int64_t)shadow->depth - 1, compared = 0;
    int n = 0;
    if (left < 0 || shadow->stretch != at_ring.stretch)
        return 0;
    for (Frame f = frame_current(); f && left >= 0 && n < max && compared < WALK_MAX; f = frame_previous(f)) {
        int64_t index = index_of(shadow, left, f, frame_code(f));
        compared += left - (index < 0 ? 0 : index) + 1;
        if (index < 0)
            continue;
        entries[n] = &shadow->entries[index];
        frames[n++] = f;
        left = index - 1;
    }
    return n;
}

/* Ties the shadow stack to the interpreter's: which activation does this frame belong to, and who called it. */
#ifndef AFTERTRACE_ACTIVATIONS_H
#define AFTERTRACE_ACTIVATIONS_H

#include "codes.h"
#include "frames.h"
#include "thread.h"

/* Whether an entry is that of a frame that lives and runs `code`. An address alone says nothing: both are used again. */
static inline int entry_is(const Entry *entry, Frame frame, const PyCodeObject *code)
{
    return entry->frame == frame && entry->info->code == code && entry->info->tag == entry->code;
}

/* Which trace a thread is in, as a number; 0: none. Ids that came as 64 bits begin with zeros. */
static inline uint64_t activation_trace(const Thread *thread)
{
    uint64_t halves[2];
    if (!thread->context.serial)
        return 0;
    memcpy(halves, thread->context.trace_id, sizeof halves);
    uint64_t trace = halves[0] * UINT64_C(0x9E3779B97F4A7C15) ^ halves[1];
    return trace ? trace : 1;
}

/* The frame runs in the thread's context from now on. What was captured of it for another trace says nothing in this one. */
static inline void activation_adopt(Entry *entry, const Thread *thread)
{
    uint64_t trace = activation_trace(thread);
    entry->serial = thread->context.serial;
    if (trace && trace != entry->trace)
        entry->roll = 0;
    entry->trace = trace;
}

/* Leaves on the shadow stack only what `frame` stands on; the rest is parked. Returns the nearest, which lives; NULL: none. */
const Entry *activation_settle(Thread *thread, Frame frame);

/* The same, when the nearest is on top and has called `frame` with nothing of C between them: else NULL, and nothing is done. */
static inline const Entry *activation_direct(const Thread *thread, Frame frame)
{
    const Entry *top = shadow_top(&thread->shadow);
    return top && frame_called_by(frame, top->frame) && entry_is(top, top->frame, frame_code(top->frame)) ? top : NULL;
}

/* A frame that begins: to be called after its START has been written. NULL: no memory. */
Entry *activation_begin(Thread *thread, Frame frame, CodeInfo *info, uint64_t activation, uint64_t parent);

uint64_t activation_next(void); /* a number never used before */
uint64_t activation_count(void);

/* The entry of the running frame when it is not on top: found again if the stacks went apart, or a new one when it was armed in
 * mid-run. It is the top of the shadow stack then. NULL: no memory. */
Entry *activation_find(Thread *thread, Frame frame, CodeInfo *info);

/* A stretch has begun in which nothing is known of the thread's frames. Told here: those that the running one stands on. */
void activation_renew(Thread *thread);

/* The entries of the frames that run on this thread, innermost first, at most `max`, with their frames. Only what lives. */
int activation_live(Thread *thread, Entry **entries, Frame *frames, int max);

#endif

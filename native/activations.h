/* Ties the shadow stack to the interpreter's: which activation does this frame belong to, and who called it. */
#ifndef AFTERTRACE_ACTIVATIONS_H
#define AFTERTRACE_ACTIVATIONS_H

#include "codes.h"
#include "frames.h"
#include "thread.h"

/* Leaves on the shadow stack only what `frame` stands on; the rest is parked. Returns the activation of the nearest, 0: none. */
uint64_t activation_settle(Thread *thread, Frame frame);

/* A frame that begins: to be called after its START has been written. NULL: no memory. */
Entry *activation_begin(Thread *thread, Frame frame, CodeInfo *info, uint64_t activation, uint64_t parent);

uint64_t activation_next(void); /* a number never used before */
uint64_t activation_count(void);

/* The slow half of activation_of(). */
Entry *activation_find(Thread *thread, Frame frame, CodeInfo *info);

/* The entry of the running frame: its own, found again if the stacks went apart, or a new one when it was armed in mid-run. It is
 * the top of the shadow stack then. NULL: no memory. */
static inline Entry *activation_of(Thread *thread, Frame frame, CodeInfo *info)
{
    Entry *top = shadow_top(&thread->shadow);
    return top && top->frame == frame && top->info == info ? top : activation_find(thread, frame, info);
}

/* The entries of the frames that run on this thread, innermost first, at most `max`, with their frames. Only what lives. */
int activation_live(Thread *thread, Entry **entries, Frame *frames, int max);

#endif

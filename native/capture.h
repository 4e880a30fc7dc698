/* Slots of a frame as records hold them (`slots` of docs/format.md), and FRAME records. */
#ifndef AFTERTRACE_CAPTURE_H
#define AFTERTRACE_CAPTURE_H

#include "activations.h"
#include "values.h"

#define CHOSEN_MAX 64

extern const Caps CAPS_VALUE;  /* returned, yielded, at an unwind */
extern const Caps CAPS_LOCAL;  /* written by a line, bound at a return, arguments */
extern const Caps CAPS_BRIEF;  /* without attributes: the receiver at START, and all arguments at calls */

/* A choice of slots, in the order in which they are written. */
typedef struct {
    uint16_t slots[CHOSEN_MAX];
    int count;
} Chosen;

/* What the line that has just run wrote, and the mutables it read that changed since they were last captured. */
void choose_line(Chosen *chosen, const Entry *entry, Frame frame);

/* The same, and the arguments that have attributes: what a return adds. */
void choose_exit(Chosen *chosen, const Entry *entry, Frame frame);

void capture_chosen(Out *out, Entry *entry, Frame frame, const Chosen *chosen, const Caps *caps);

/* Arguments and free variables at START. `entry` may lack its place on the stack. */
void capture_start(Out *out, Entry *entry, Frame frame, int level);

/* All that are bound. */
void capture_bound(Out *out, Entry *entry, Frame frame, const Caps *caps);

/* A FRAME record of its own, unless this sub-buffer knows the frame's values. */
void capture_frame(Entry *entry, Frame frame);

/* The keyframe: FRAMEs of the calling thread's live frames (ring_set_keyframe). */
void capture_keyframe(void);

#endif

/* Slots of a frame as records hold them (`slots` of docs/format.md), and FRAME records. */
#ifndef AFTERTRACE_CAPTURE_H
#define AFTERTRACE_CAPTURE_H

#include "activations.h"
#include "values.h"

extern const Caps CAPS_VALUE;  /* returned, yielded, at an unwind */
extern const Caps CAPS_LOCAL;  /* written by a line, bound at a return, arguments */
extern const Caps CAPS_BRIEF;  /* without attributes: the receiver at START, and all arguments at calls */

/* Room that the slots of any record of this code may need: what stands before them must leave it. */
size_t capture_room(const CodeInfo *info);

/* What the line that has just run wrote, and the mutables it read that changed since they were last captured. */
void capture_line(Out *out, Entry *entry, Frame frame);

/* The same, and when the frame ends the arguments whose content is another now. */
void capture_exit(Out *out, Entry *entry, Frame frame);

/* Arguments and free variables at START. `entry` may lack its place on the stack. */
void capture_start(Out *out, Entry *entry, Frame frame, int level);

/* All, UNBOUND where they are; `changed`: but for arguments that are as they were at START for certain. */
void capture_all(Out *out, Entry *entry, Frame frame, const Caps *caps, int changed);

/* No value at all: what is known of other variables than the arguments may be wrong from here on. */
void capture_nothing(Out *out, Entry *entry);

/* A FRAME record of its own, unless this sub-buffer knows the frame's values. */
void capture_frame(Entry *entry, Frame frame);

/* The same for the thread's live frames, outermost first. */
void capture_callers(Thread *thread);

/* The keyframe: FRAMEs of the calling thread's live frames (ring_set_keyframe). */
void capture_keyframe(void);

#endif

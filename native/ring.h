/* The ring of one process: header, definitions, sub-buffers (docs/format.md). One writer at a time: the GIL's holder.
 * Nothing here makes Python objects or raises. A ring that cannot be had leaves `at_ring.stretch` 0 and every call a no-op. */
#ifndef AFTERTRACE_RING_H
#define AFTERTRACE_RING_H

#include <Python.h>
#include "buffer.h"

enum RecordKind {
    REC_PAD, REC_SEGMENT, REC_FRAME, REC_START, REC_LINE, REC_RETURN, REC_YIELD, REC_RESUME, REC_THROW, REC_RAISE,
    REC_RERAISE, REC_HANDLED, REC_UNWIND, REC_SPAN_START, REC_SPAN_ATTR, REC_SPAN_EVENT, REC_SPAN_LINK,
    REC_SPAN_STATUS, REC_SPAN_NAME, REC_SPAN_END, REC_LOG, REC_KEEP, REC_GAP
};

enum Level { LEVEL_SPANS = 0, LEVEL_CALLS = 1, LEVEL_LINES = 2, LEVEL_AUTO = 3 /* in the header only: lines within a budget */ };

#define RECORD_MAX 8192    /* room that ring_begin() always gives: kind and length included */
#define SUBBUFFER_SIZE 65536

/* Identity of the span that is current: what a SEGMENT says. serial 0: no trace. */
typedef struct {
    uint64_t serial; /* unique per span object in this process, never reused */
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t flags; /* W3C trace flags */
} SpanContext;

/* The one ring of this process. Private to ring.c, but for what the hot path reads. */
typedef struct {
    uint64_t stretch;        /* 0: no records may be written; else the number of this stretch without an event missed: never repeats */
    uint64_t roll;           /* counts up when values that were captured before do not count any more: never repeats, 0 is none */
    uint8_t *at, *end;       /* next byte, end of the current sub-buffer */
    uint8_t *limit;          /* from here on there is no room for another record */
    uint8_t *record;         /* where the open record begins */
    uint64_t end_position;   /* of `end` */
    _Atomic uint64_t *head;  /* in the header */
    int tsc;                 /* ticks are the CPU's counter */
    uint64_t last_ticks;     /* of the last stamped record */
    uint64_t segment_thread; /* serial of the thread that the last SEGMENT named */
    uint64_t segment_serial; /* and of its span */
    uint64_t records, lost;
    uint8_t *map; /* the whole of it */
    size_t bytes;
    uint32_t count; /* sub-buffers */
    size_t defs_bytes;
    int fd;
    const char *memory; /* "memfd" or "file" */
    uint8_t uid[16];
    uint64_t stretches;      /* so far */
    uint32_t opened;         /* rings so far: the number of this one, the parents' of a forked process counted */
} Ring;

extern Ring at_ring;

/* Makes a ring: `ring_bytes` of sub-buffers (two at least), `defs_bytes` of definitions. 0, or -1 with errno set. */
int ring_open(size_t ring_bytes, size_t defs_bytes, int level);

/* Unmaps it and closes its descriptor. */
void ring_close(void);

void ring_set_level(int level); /* what the header says */
void ring_mark_ended(void);     /* offset 208 */

/* In a forked child, from pthread_atfork: lets go of the parent's ring without writing a byte to it. */
void ring_forget(void);

/* Begins a stretch: events were missed, so nobody knows any more which frames run. Not while the ring is closed. */
void ring_begin_stretch(void);
void ring_end_stretch(void);

/* Appends one definition: 0, or -1 when the region is full. */
int ring_define(uint8_t kind, const uint8_t *body, size_t n);

uint64_t ring_ticks(void); /* now */
uint64_t ring_rate(void);  /* ticks per second */

/* Opens a record for the calling thread and its current context. Writes a SEGMENT first when thread or span changed, and rolls
 * to the next sub-buffer (keyframe) when less than RECORD_MAX is left. Returns 0 when nothing can be written.
 * The hot path does the same inline: record.h. */
int ring_begin(Out *out, enum RecordKind kind);

/* What a rolled sub-buffer begins with after its SEGMENT: events.c writes the FRAMEs of the running thread's live user
 * frames with ring_keyframe_begin(), at most KEYFRAME_MAX bytes in all. */
#define KEYFRAME_MAX (SUBBUFFER_SIZE / 2)
void ring_set_keyframe(void (*write)(void));
void ring_keyframe_begin(Out *out, size_t room);

/* Closes it: fills in the length and publishes head. `out` is the one that ring_begin() filled. */
void ring_commit(Out *out);

/* Ticks since the last stamped record, and makes now the last: the `dt` of the format. Call between begin and commit. */
uint64_t ring_dt(void);

/* Leaves a GAP. ring_lost() counts a record that could not be written besides. */
void ring_gap(uint8_t reason, const char *detail);
void ring_lost(uint8_t reason, const char *detail);

/* The span that is current on the calling thread, copied (segment.c). Set by spans.c on attach and detach, and by events.c after reading
 * the context variable at START, RESUME and THROW. NULL: outside any trace. */
void segment_set(const SpanContext *context);

#endif

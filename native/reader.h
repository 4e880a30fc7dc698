/* Reading another process's ring (docs/format.md): the core, without Python objects. A ring is hostile input: every number in it is
 * checked, bytes are copied out with pread (a file cut short gives less, never a SIGBUS), and parsed in the copy only. */
#ifndef AFTERTRACE_READER_H
#define AFTERTRACE_READER_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

#define RING_PAGE 4096
#define CONTINUED 4 /* SEGMENT flag: made by the reader, continues the slice before it */

typedef struct {
    uint64_t ticks;
    uint8_t flags, in_trace;
    uint64_t thread;
    uint8_t trace_id[16], span_id[8];
} Segment;

typedef struct {
    int fd; /* owned */
    uint32_t size, count, definitions_size;
    uint32_t pid, python_hex;
    uint8_t uid[16];
    uint64_t position;    /* of the next byte to be copied */
    uint64_t definitions; /* bytes of definitions read */
    uint64_t lost;        /* bytes overwritten before they were read */
    uint8_t *buffer;      /* SCRATCH bytes, then a sub-buffer's copy; owned */
    uint64_t base;        /* position of the copy's first byte */
    uint32_t at, limit;   /* unparsed part of the copy */
    int open;             /* `segment` is what the bytes at `at` belong to */
    Segment segment;      /* ticks: of the last stamped record */
} RingReader;

enum StepKind { STEP_NONE, STEP_SLICE, STEP_CLOCK, STEP_LOSS };

typedef struct {
    enum StepKind kind;
    uint64_t position;             /* SLICE: of its first byte in the ring; LOSS: from */
    uint64_t to;                   /* LOSS */
    const uint8_t *records;        /* SLICE: borrowed until the next step */
    size_t length;
    int in_trace;
    uint8_t trace_id[16];
    uint64_t thread;
    uint64_t clock[5];             /* CLOCK: sequence, ticks, monotonic ns, realtime ns, ticks per second */
} Step;

/* Takes the ring of `fd` (dup'ed). 0, or -1 with a sentence in `*why` (errno 0) or errno set (`*why` NULL). */
int reader_open(RingReader *reader, int fd, const char **why);
void reader_close(RingReader *reader);

/* What comes next: a slice, a clock, a loss, or nothing new. -1: no memory. */
void reader_step(RingReader *reader, Step *step);

/* Whole definitions since the last call into `to` (room: definitions_size); returns bytes. */
size_t reader_definitions(RingReader *reader, uint8_t *to);

uint32_t reader_u32(const RingReader *reader, uint64_t offset); /* a field of the header page, now; 0 when it cannot be read */

/* One record at `at` of `length` bytes: body and kind. Returns the offset behind it; 0: broken, or the rest is padding (kind 0). */
size_t record_at(const uint8_t *records, size_t length, size_t at, uint8_t *kind, size_t *body);

/* Makes the absolute ticks those of a record: a SEGMENT says them, a stamp is added. False: the stamp is broken. */
bool record_stamp(const uint8_t *bytes, uint8_t kind, size_t body, size_t next, uint64_t *ticks);


#endif

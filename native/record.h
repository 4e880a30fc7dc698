/* Opening, stamping and closing records: the hot half of ring.c. */
#ifndef AFTERTRACE_RECORD_H
#define AFTERTRACE_RECORD_H

#include <stdatomic.h>

#include "thread.h"

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

/* Writes what must stand before the next record of this thread: SEGMENT, next sub-buffer, keyframe. */
void ring_prepare(const Thread *thread);

uint64_t ring_clock(void); /* ticks where they are no CPU's counter */

static inline uint64_t record_ticks(void)
{
#if defined(__x86_64__)
    if (at_ring.tsc)
        return __rdtsc();
#endif
    return ring_clock();
}

static inline void record_open(Out *out, enum RecordKind kind, size_t room)
{
    uint8_t *at = at_ring.at;
    at[0] = (uint8_t)kind;
    at_ring.record = at;
    out->at = at + 3;
    out->end = at + room;
}

/* Nothing has to be written before the next record of this thread. */
static inline int record_is_ready(const Thread *thread)
{
    return at_ring.at <= at_ring.limit && at_ring.segment_thread == thread->serial && at_ring.segment_serial == thread->context.serial;
}

static inline void record_prepare(const Thread *thread)
{
    if (!record_is_ready(thread))
        ring_prepare(thread);
}

/* The same as ring_begin(), for those who know that the ring is open, and their thread. */
static inline void record_begin(const Thread *thread, Out *out, enum RecordKind kind)
{
    record_prepare(thread);
    record_open(out, kind, RECORD_MAX);
}

static inline void record_close(const Out *out)
{
    uint8_t *record = at_ring.record, *at = out->at;
    uint16_t n = (uint16_t)(at - record - 3);
    memcpy(record + 1, &n, 2);
    at_ring.at = at;
    at_ring.records++;
}

static inline void record_commit(const Out *out)
{
    record_close(out);
    atomic_store_explicit(at_ring.head, at_ring.end_position - (uint64_t)(at_ring.end - out->at), memory_order_release);
}

static inline uint64_t record_dt(void)
{
    uint64_t now = record_ticks(), last = at_ring.last_ticks;
    if (now <= last) /* another core's counter may be a few ticks behind */
        return 0;
    at_ring.last_ticks = now;
    return now - last;
}

#endif

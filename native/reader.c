/* The core of the ring's reader: copy, check that it was not overtaken, split at segments. */
#define _GNU_SOURCE 1
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SCRATCH 64 /* room for a SEGMENT that the reader makes, before the copy */
#define SUBBUFFER_HEADER 48
#define SUBBUFFER_MAGIC 0x42535441u
#define REC_SEGMENT 1
#define IN_TRACE 1
#define KEYFRAME 2
enum { AT_SIZE = 16, AT_COUNT = 20, AT_DEFINITIONS = 24, AT_PID = 28, AT_UID = 32, AT_PYTHON = 48, AT_HEAD = 64, AT_TAIL = 128,
       AT_DEFINITIONS_HEAD = 192 };

/* Kinds whose body begins with `dt`. */
#define STAMPED \
    (1u << 3 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 8 | 1u << 9 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 15 | 1u << 19 \
     | 1u << 20 | 1u << 21 | 1u << 22)

/* -- bytes -- */

static uint32_t u32_at(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static uint64_t u64_at(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static int copy(const RingReader *r, uint64_t offset, void *to, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t got = pread(r->fd, (uint8_t *)to + done, n - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return 0;
        }
        done += (size_t)got;
    }
    atomic_thread_fence(memory_order_acquire);
    return 1;
}

static int position_at(const RingReader *r, uint64_t offset, uint64_t *value) { return copy(r, offset, value, 8); }

uint32_t reader_u32(const RingReader *r, uint64_t offset)
{
    uint32_t v;
    return copy(r, offset, &v, 4) ? v : 0;
}

static size_t varint_at(const uint8_t *p, const uint8_t *end, uint64_t *value)
{
    uint64_t v = 0;
    for (size_t i = 0; i < 10 && p + i < end; i++) {
        v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
        if (!(p[i] & 0x80)) {
            *value = v;
            return i + 1;
        }
    }
    return 0;
}

static size_t put_varint_at(uint8_t *p, uint64_t v)
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7) {
        p[n++] = (uint8_t)(v | 0x80);
    }
    p[n++] = (uint8_t)v;
    return n;
}

size_t record_at(const uint8_t *records, size_t length, size_t at, uint8_t *kind, size_t *body)
{
    if (length - at < 3 || !records[at]) {
        return 0;
    }
    size_t n = (size_t)records[at + 1] | (size_t)records[at + 2] << 8;
    if (n > length - at - 3) {
        return 0;
    }
    *kind = records[at];
    *body = at + 3;
    return at + 3 + n;
}

/* -- opening -- */

static const char *check_header(RingReader *r, const uint8_t *page, off_t file_size)
{
    if (memcmp(page, "ATRING01", 8)) {
        return "not a ring of aftertrace";
    }
    if (u32_at(page + 8) != 1) {
        return "a ring of another format version";
    }
    r->size = u32_at(page + AT_SIZE);
    r->count = u32_at(page + AT_COUNT);
    r->definitions_size = u32_at(page + AT_DEFINITIONS);
    if (u32_at(page + 12) != RING_PAGE || r->size < RING_PAGE || r->size > (1u << 24) || (r->size & (r->size - 1)) || r->count < 2
        || r->count > (1u << 20) || r->definitions_size > (1u << 30)) {
        return "a ring with impossible sizes";
    }
    if ((uint64_t)file_size < RING_PAGE + (uint64_t)r->definitions_size + (uint64_t)r->size * r->count) {
        return "a ring that was cut short";
    }
    r->pid = u32_at(page + AT_PID);
    r->python_hex = u32_at(page + AT_PYTHON);
    memcpy(r->uid, page + AT_UID, 16);
    return NULL;
}

static uint64_t align_up(const RingReader *r, uint64_t position) { return (position + r->size - 1) & ~(uint64_t)(r->size - 1); }

int reader_open(RingReader *r, int fd, const char **why)
{
    uint8_t page[512];
    uint64_t tail;
    memset(r, 0, sizeof *r);
    *why = NULL;
    r->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (r->fd < 0) {
        return -1;
    }
    off_t file_size = lseek(r->fd, 0, SEEK_END);
    *why = !copy(r, 0, page, sizeof page) ? "not a ring of aftertrace" : check_header(r, page, file_size);
    if (!*why) {
        r->buffer = malloc(SCRATCH + (size_t)r->size);
        tail = u64_at(page + AT_TAIL);
        r->position = tail > INT64_MAX ? 0 : align_up(r, tail);
    }
    if (*why || !r->buffer) {
        reader_close(r);
        errno = *why ? 0 : ENOMEM;
        return -1;
    }
    return 0;
}

void reader_close(RingReader *r)
{
    if (r->fd >= 0) {
        close(r->fd);
    }
    free(r->buffer);
    r->buffer = NULL;
    r->fd = -1;
}

/* -- copying -- */

static void lose(RingReader *r, uint64_t to, Step *step)
{
    *step = (Step){.kind = STEP_LOSS, .position = r->position, .to = to};
    r->lost += to - r->position;
    r->position = to;
    r->at = r->limit = 0;
    r->open = 0;
}

/* Leaves the sub-buffer at the offset `at` of the copy, where something is broken. */
static void give_up(RingReader *r, uint32_t at, Step *step)
{
    r->position = r->base + at;
    lose(r, r->base + r->size, step);
}

static uint64_t file_offset(const RingReader *r, uint64_t position)
{
    return RING_PAGE + (uint64_t)r->definitions_size + (position / r->size % r->count) * r->size + position % r->size;
}

/* Copies what is new in the sub-buffer at `position`. 1: something was copied; 0: nothing new; -1: `step` tells of a loss. */
static int load(RingReader *r, Step *step)
{
    uint64_t head, tail;
    if (!position_at(r, AT_TAIL, &tail) || !position_at(r, AT_HEAD, &head) || head > INT64_MAX || tail > head) {
        return 0;
    }
    if (tail > r->position) {
        lose(r, align_up(r, tail), step);
        return -1;
    }
    if (head <= r->position || head - tail > (uint64_t)r->size * r->count) {
        return 0;
    }
    uint32_t from = (uint32_t)(r->position % r->size);
    uint64_t base = r->position - from;
    uint32_t limit = head - base < r->size ? (uint32_t)(head - base) : r->size;
    if (!copy(r, file_offset(r, r->position), r->buffer + SCRATCH + from, limit - from) || !position_at(r, AT_TAIL, &tail)) {
        return 0;
    }
    if (tail > base) { /* overtaken while we copied */
        uint64_t to = tail > INT64_MAX ? base + r->size : align_up(r, tail);
        lose(r, to, step);
        return -1;
    }
    r->base = base;
    r->at = from;
    r->limit = limit;
    return 1;
}

/* The header of a sub-buffer, at its beginning. */
static void read_subbuffer_header(RingReader *r, Step *step)
{
    const uint8_t *header = r->buffer + SCRATCH;
    uint64_t sequence = r->base / r->size;
    if (r->limit < SUBBUFFER_HEADER || u32_at(header) != SUBBUFFER_MAGIC || u64_at(header + 8) != sequence) {
        give_up(r, 0, step);
        return;
    }
    *step = (Step){.kind = STEP_CLOCK};
    step->clock[0] = sequence;
    for (int i = 1; i < 5; i++) {
        step->clock[i] = u64_at(header + 8 + 8 * i);
    }
    r->at = SUBBUFFER_HEADER;
    r->position = r->base + SUBBUFFER_HEADER;
    r->open = 0;
}

/* -- slices -- */

static int read_segment(const uint8_t *body, size_t length, Segment *segment)
{
    if (length < 10 || (body[8] & CONTINUED)) { /* only a reader may claim that */
        return 0;
    }
    segment->ticks = u64_at(body);
    segment->flags = body[8];
    segment->in_trace = (body[8] & IN_TRACE) != 0;
    size_t n = varint_at(body + 9, body + length, &segment->thread);
    if (!n) {
        return 0;
    }
    if (segment->in_trace) {
        if (length - 9 - n < 24) {
            return 0;
        }
        memcpy(segment->trace_id, body + 9 + n, 16);
        memcpy(segment->span_id, body + 9 + n + 16, 8);
    }
    return 1;
}

/* Puts a SEGMENT before the byte at `at` of the copy, for records that continue a slice; returns its length. */
static size_t put_segment_before(RingReader *r, uint32_t at)
{
    uint8_t record[SCRATCH];
    Segment *s = &r->segment;
    size_t n = 3;
    memcpy(record + n, &s->ticks, 8);
    n += 8;
    record[n++] = (uint8_t)((s->flags & ~KEYFRAME) | CONTINUED);
    n += put_varint_at(record + n, s->thread);
    if (s->in_trace) {
        memcpy(record + n, s->trace_id, 16);
        memcpy(record + n + 16, s->span_id, 8);
        n += 24;
    }
    record[0] = REC_SEGMENT;
    record[1] = (uint8_t)(n - 3);
    record[2] = 0;
    memcpy(r->buffer + SCRATCH + at - n, record, n);
    return n;
}

bool record_stamp(const uint8_t *bytes, uint8_t kind, size_t body, size_t next, uint64_t *ticks)
{
    uint64_t dt = 0;
    if (kind == REC_SEGMENT && next - body >= 8) {
        *ticks = u64_at(bytes + body);
    } else if (kind < 32 && (STAMPED >> kind & 1)) {
        if (!varint_at(bytes + body, bytes + next, &dt)) {
            return false;
        }
        *ticks += dt;
    }
    return true;
}

/* The end of the run of whole records from `at`, before the next SEGMENT. Keeps the last stamp. */
static uint32_t run_end(RingReader *r, uint32_t at)
{
    const uint8_t *bytes = r->buffer + SCRATCH;
    uint8_t kind;
    size_t body, next;
    while (at < r->limit && bytes[at] != REC_SEGMENT && (next = record_at(bytes, r->limit, at, &kind, &body))) {
        if (!record_stamp(bytes, kind, body, next, &r->segment.ticks)) {
            break;
        }
        at = (uint32_t)next;
    }
    return at;
}

/* What stands at `at` is no record: padding to the next sub-buffer, or broken. */
static void leave_subbuffer(RingReader *r, Step *step)
{
    if (r->limit == r->size && !r->buffer[SCRATCH + r->at]) {
        r->position = r->base + r->size;
        r->at = r->limit = 0;
        r->open = 0;
        step->kind = STEP_NONE;
    } else {
        give_up(r, r->at, step);
    }
}

static void next_slice(RingReader *r, Step *step)
{
    const uint8_t *bytes = r->buffer + SCRATCH;
    uint32_t start = r->at, at = start;
    size_t made = 0, body, next;
    uint8_t kind;
    if (bytes[start] == REC_SEGMENT) {
        next = record_at(bytes, r->limit, start, &kind, &body);
        if (!next || !read_segment(bytes + body, next - body, &r->segment)) {
            give_up(r, start, step);
            return;
        }
        r->open = 1;
        at = (uint32_t)next;
    } else if (!r->open || !record_at(bytes, r->limit, start, &kind, &body)) {
        leave_subbuffer(r, step);
        return;
    } else {
        made = put_segment_before(r, start);
    }
    uint32_t end = run_end(r, at);
    if (made && end == start) {
        give_up(r, start, step);
        return;
    }
    *step = (Step){.kind = STEP_SLICE, .position = r->base + start, .records = bytes + start - made, .length = end - start + made};
    step->in_trace = r->segment.in_trace;
    step->thread = r->segment.thread;
    memcpy(step->trace_id, r->segment.trace_id, 16);
    r->at = end;
    r->position = r->base + end;
}

void reader_step(RingReader *r, Step *step)
{
    for (;;) {
        step->kind = STEP_NONE;
        if (r->at == r->limit) {
            int loaded = load(r, step);
            if (loaded <= 0) {
                return;
            }
        }
        if (r->at == 0) {
            read_subbuffer_header(r, step);
        } else {
            next_slice(r, step);
        }
        if (step->kind != STEP_NONE) {
            return;
        }
    }
}

/* -- definitions -- */

size_t reader_definitions(RingReader *r, uint8_t *to)
{
    uint64_t head;
    if (!position_at(r, AT_DEFINITIONS_HEAD, &head)) {
        return 0;
    }
    if (head > r->definitions_size) {
        head = r->definitions_size;
    }
    if (head <= r->definitions || !copy(r, RING_PAGE + r->definitions, to, head - r->definitions)) {
        return 0;
    }
    size_t have = (size_t)(head - r->definitions), at = 0;
    while (have - at >= 5 && to[at] && u32_at(to + at + 1) <= have - at - 5) {
        at += 5 + u32_at(to + at + 1);
    }
    r->definitions += at;
    return at;
}

/* The ring of this process: memory, sub-buffers, records, definitions. Layout: docs/format.md; why: ARCHITECTURE.md, D2. */
#define _GNU_SOURCE
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define HEADER_SIZE 4096
#define SUB_HEADER 48
#define SUB_MAGIC 0x42535441u
#define DEFS_STEP 65536

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

enum { /* offsets in the header */
    AT_VERSION = 8, AT_HEADER = 12, AT_SUB_SIZE = 16, AT_COUNT = 20, AT_DEFS = 24, AT_PID = 28, AT_UID = 32,
    AT_HEX = 48, AT_LEVEL = 52, AT_WALL = 56, AT_HEAD = 64, AT_TAIL = 128, AT_DEFS_HEAD = 192, AT_LOST = 200, AT_ENDED = 208
};

Ring at_ring = {.fd = -1};

static struct {
    uint64_t ticks, mono; /* at the start: the base from which the rate is refined */
    uint64_t rate;        /* ticks per second */
} clocks;

static uint64_t sequence; /* of the current sub-buffer */
static struct { dev_t dev; ino_t ino; } identity; /* of the descriptor: numbers are reused behind our back */
static void (*keyframe)(void);
static int whole;         /* all memory was had at the start, not step by step */
static size_t defs_ready; /* bytes of header and definitions that were had so far */
static uint8_t nowhere[SUBBUFFER_SIZE]; /* what is written when the next step's memory cannot be had */
static _Atomic uint64_t nowhere_head;

static uint64_t nanoseconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t ring_clock(void) { return nanoseconds(CLOCK_MONOTONIC); }
uint64_t ring_ticks(void) { return record_ticks(); }
uint64_t ring_rate(void) { return clocks.rate ? clocks.rate : 1000000000u; }

/* CPUID 0x80000007, EDX bit 8: the counter runs at one rate in every power state. */
static int tsc_is_invariant(void)
{
#if defined(__x86_64__)
    unsigned a, b, c, d;
    return __get_cpuid(0x80000007u, &a, &b, &c, &d) && (d & (1u << 8));
#else
    return 0;
#endif
}

/* The rate over the time since calibrate(): the longer, the better. Below 1 ms nothing is said anew. */
static void refine(uint64_t ticks, uint64_t mono)
{
    uint64_t passed = mono - clocks.mono;
    if (at_ring.tsc && passed >= 1000000u && ticks > clocks.ticks)
        clocks.rate = (uint64_t)((double)(ticks - clocks.ticks) * 1e9 / (double)passed);
}

/* Once in a life: a forked child goes on with its parent's base. */
static void calibrate(void)
{
    if (clocks.rate)
        return;
    at_ring.tsc = tsc_is_invariant();
    clocks.rate = 1000000000u;
    clocks.mono = nanoseconds(CLOCK_MONOTONIC);
    clocks.ticks = ring_ticks();
    if (at_ring.tsc) {
        struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
        uint64_t mono = nanoseconds(CLOCK_MONOTONIC);
        refine(ring_ticks(), mono);
    }
}

static void store32(size_t at, uint32_t v) { memcpy(at_ring.map + at, &v, 4); }

static void publish(size_t at, uint64_t v)
{
    atomic_store_explicit((_Atomic uint64_t *)(void *)(at_ring.map + at), v, memory_order_release);
}

static uint64_t defs_head(void)
{
    return atomic_load_explicit((_Atomic uint64_t *)(void *)(at_ring.map + AT_DEFS_HEAD), memory_order_relaxed);
}

/* Memory is had before it is written: a sparse mapping dies of SIGBUS when there is no more. Where the kernel can have a
 * mapping's pages on request, that is done step by step: 20 MiB at once cost a start, and each fork, 10 ms. */
static int in_steps(void) { return sysconf(_SC_PAGESIZE) == 4096 && madvise(NULL, 0, MADV_POPULATE_WRITE) == 0; }

static int have(uint8_t *at, size_t bytes) { return whole ? 0 : madvise(at, bytes, MADV_POPULATE_WRITE); }

static int allocate(int fd, size_t bytes)
{
    int failed = ftruncate(fd, (off_t)bytes) < 0 ? errno : whole ? posix_fallocate(fd, 0, (off_t)bytes) : 0;
    if (!failed)
        return fd;
    close(fd);
    errno = failed;
    return -1;
}

static int open_memfd(size_t bytes)
{
    int fd = memfd_create("aftertrace", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    whole = !in_steps();
    if (fd < 0 || (fd = allocate(fd, bytes)) < 0)
        return -1;
    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL); /* the agent may map it without fear of SIGBUS */
    return fd;
}

static int open_file(size_t bytes)
{
    char path[] = "/dev/shm/aftertrace-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -1;
    unlink(path);
    whole = 1; /* /dev/shm may be small: told at the start */
    return allocate(fd, bytes);
}

static int open_memory(size_t bytes)
{
    const char *wanted = getenv("AFTERTRACE_RING_MEMORY"); /* "file": for tests of the fallback */
    int fd = -1;
    at_ring.memory = "memfd";
    if (!wanted || strcmp(wanted, "file") != 0)
        fd = open_memfd(bytes);
    if (fd < 0) {
        at_ring.memory = "file";
        fd = open_file(bytes);
    }
    return fd;
}

/* Away from the numbers that the program will get: they are those of a bare run, and what C code writes to a stderr that was closed
 * does not land in the ring. Where a process may have very few (EMFILE), all are the program's. Owns fd. */
static int out_of_the_way(int fd)
{
    struct rlimit allowed;
    int most = getrlimit(RLIMIT_NOFILE, &allowed) == 0 && allowed.rlim_cur < 1024 ? (int)allowed.rlim_cur : 1024;
    int high = most < 64 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, most - 32);
    int failed = most < 64 ? EMFILE : errno;
    close(fd);
    errno = failed;
    return high;
}

static int map_memory(int fd, size_t bytes)
{
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    struct stat st;
    if (map == MAP_FAILED || fstat(fd, &st) < 0) {
        int failed = errno;
        if (map != MAP_FAILED)
            munmap(map, bytes);
        close(fd);
        errno = failed;
        return -1;
    }
    madvise(map, bytes, MADV_DONTDUMP);
    identity.dev = st.st_dev;
    identity.ino = st.st_ino;
    at_ring.map = map;
    at_ring.head = (_Atomic uint64_t *)(void *)(at_ring.map + AT_HEAD);
    at_ring.bytes = bytes;
    at_ring.fd = fd;
    return 0;
}

static void make_uid(void)
{
    if (getrandom(at_ring.uid, sizeof at_ring.uid, 0) != (ssize_t)sizeof at_ring.uid) {
        uint64_t a = nanoseconds(CLOCK_REALTIME), b = ((uint64_t)getpid() << 32) ^ ring_ticks();
        memcpy(at_ring.uid, &a, 8);
        memcpy(at_ring.uid + 8, &b, 8);
    }
}

static void write_header(int level)
{
    uint64_t wall = nanoseconds(CLOCK_REALTIME);
    store32(AT_VERSION, 1);
    store32(AT_HEADER, HEADER_SIZE);
    store32(AT_SUB_SIZE, SUBBUFFER_SIZE);
    store32(AT_COUNT, at_ring.count);
    store32(AT_DEFS, (uint32_t)at_ring.defs_bytes);
    store32(AT_PID, (uint32_t)getpid());
    memcpy(at_ring.map + AT_UID, at_ring.uid, 16);
    store32(AT_HEX, (uint32_t)PY_VERSION_HEX);
    store32(AT_LEVEL, (uint32_t)level);
    memcpy(at_ring.map + AT_WALL, &wall, 8);
    memcpy(at_ring.map, "ATRING01", 8);
}

/* The next writes go here. */
static void aim(uint8_t *sub, size_t used)
{
    at_ring.at = sub + used;
    at_ring.end = sub + SUBBUFFER_SIZE;
    at_ring.limit = at_ring.end - RECORD_MAX - 64;
}

/* Makes sub-buffer `seq` the current one and writes its header. What it held is given up first: `tail`, then a fence.
 * -1 when its memory cannot be had. */
static int enter(uint64_t seq)
{
    uint8_t *sub = at_ring.map + HEADER_SIZE + at_ring.defs_bytes + (seq % at_ring.count) * SUBBUFFER_SIZE;
    if (seq < at_ring.count && have(sub, SUBBUFFER_SIZE) < 0)
        return -1;
    sequence = seq;
    if (seq >= at_ring.count) {
        publish(AT_TAIL, (seq - at_ring.count + 1) * SUBBUFFER_SIZE);
        atomic_thread_fence(memory_order_seq_cst);
    }
    uint64_t mono = nanoseconds(CLOCK_MONOTONIC), ticks = ring_ticks(), real = nanoseconds(CLOCK_REALTIME);
    refine(ticks, mono);
    Out out = {sub, sub + SUBBUFFER_SIZE};
    put_u32(&out, SUB_MAGIC);
    put_u32(&out, 0);
    put_u64(&out, seq);
    put_u64(&out, ticks);
    put_u64(&out, mono);
    put_u64(&out, real);
    put_u64(&out, clocks.rate);
    aim(sub, SUB_HEADER);
    at_ring.end_position = (seq + 1) * SUBBUFFER_SIZE;
    at_ring.roll++;
    at_ring.segment_thread = 0;
    return 0;
}

/* The machine has no memory for the next sub-buffer: recording ends, what was recorded stays to be read. The event that
 * is under way may write on. */
static void give_up(void)
{
    if (at_ring.stretch)
        publish(AT_LOST, ++at_ring.lost);
    ring_end_stretch();
    at_ring.head = &nowhere_head;
    aim(nowhere, 0);
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

int ring_open(size_t ring_bytes, size_t defs_bytes, int level)
{
    size_t count = ring_bytes / SUBBUFFER_SIZE;
    at_ring.count = (uint32_t)(count < 2 ? 2 : count);
    at_ring.defs_bytes = (defs_bytes + 4095) & ~(size_t)4095;
    size_t bytes = HEADER_SIZE + at_ring.defs_bytes + (size_t)at_ring.count * SUBBUFFER_SIZE;
    if (ring_bytes > UINT32_MAX || defs_bytes > UINT32_MAX / 2) {
        errno = EINVAL;
        return -1;
    }
    int fd = open_memory(bytes);
    if (fd < 0 || (fd = out_of_the_way(fd)) < 0 || map_memory(fd, bytes) < 0)
        return -1;
    calibrate();
    defs_ready = HEADER_SIZE + least(at_ring.defs_bytes, DEFS_STEP);
    if (have(at_ring.map, defs_ready) < 0 || enter(0) < 0) {
        int failed = errno;
        ring_close();
        errno = failed;
        return -1;
    }
    make_uid();
    write_header(level);
    at_ring.records = at_ring.lost = 0;
    at_ring.opened++;
    publish(AT_HEAD, 0); /* a reader waits for the first record: a sub-buffer never begins without its SEGMENT */
    ring_begin_stretch();
    return 0;
}

void ring_begin_stretch(void)
{
    at_ring.stretch = ++at_ring.stretches;
    at_ring.roll++;
}

void ring_end_stretch(void) { at_ring.stretch = 0; }

/* Closes the descriptor, unless the program closed it meanwhile and the number is now another's. */
static void close_fd(void)
{
    struct stat st;
    if (at_ring.fd >= 0 && fstat(at_ring.fd, &st) == 0 && st.st_dev == identity.dev && st.st_ino == identity.ino)
        close(at_ring.fd);
    at_ring.fd = -1;
}

void ring_close(void)
{
    at_ring.stretch = 0;
    if (at_ring.map)
        munmap(at_ring.map, at_ring.bytes);
    at_ring.map = NULL;
    close_fd();
}

void ring_forget(void) { ring_close(); }

void ring_set_level(int level)
{
    if (at_ring.map)
        store32(AT_LEVEL, (uint32_t)level);
}

void ring_mark_ended(void)
{
    if (at_ring.map)
        atomic_store_explicit((_Atomic uint32_t *)(void *)(at_ring.map + AT_ENDED), 1, memory_order_release);
}

int ring_define(uint8_t kind, const uint8_t *body, size_t n)
{
    if (!at_ring.map)
        return -1;
    uint64_t used = defs_head();
    if (n > at_ring.defs_bytes || used + 5 + n > at_ring.defs_bytes)
        return -1;
    while (HEADER_SIZE + used + 5 + n > defs_ready) {
        size_t step = least(HEADER_SIZE + at_ring.defs_bytes - defs_ready, DEFS_STEP);
        if (have(at_ring.map + defs_ready, step) < 0)
            return -1;
        defs_ready += step;
    }
    uint8_t *at = at_ring.map + HEADER_SIZE + used;
    Out out = {at, at + 5 + n};
    put_u8(&out, kind);
    put_u32(&out, (uint32_t)n);
    put_raw(&out, body, n);
    publish(AT_DEFS_HEAD, used + 5 + n);
    return 0;
}

/* -- records ---------------------------------------------------------------------------------------------------- */

static void write_segment(const Thread *thread, uint8_t flags)
{
    Out out;
    record_open(&out, REC_SEGMENT, 64);
    at_ring.last_ticks = ring_ticks();
    put_u64(&out, at_ring.last_ticks);
    put_u8(&out, (uint8_t)(flags | (thread->context.serial != 0)));
    put_varint(&out, thread->id);
    if (thread->context.serial) {
        put_raw(&out, thread->context.trace_id, 16);
        put_raw(&out, thread->context.span_id, 8);
    }
    record_close(&out);
    at_ring.segment_thread = thread->serial;
    at_ring.segment_serial = thread->context.serial;
}

/* SEGMENT and keyframe of a sub-buffer that has just been entered. Not published by themselves: the record that made it necessary does. */
static void begin_subbuffer(const Thread *thread)
{
    write_segment(thread, 2);
    if (keyframe)
        keyframe();
}

static void roll(const Thread *thread)
{
    memset(at_ring.at, 0, (size_t)(at_ring.end - at_ring.at));
    if (!at_ring.stretch || enter(sequence + 1) < 0)
        give_up();
    begin_subbuffer(thread);
}

void ring_set_keyframe(void (*write)(void)) { keyframe = write; }

void ring_keyframe_begin(Out *out, size_t room) { record_open(out, REC_FRAME, room); }

void ring_prepare(const Thread *thread)
{
    if (at_ring.at > at_ring.limit)
        roll(thread);
    else if (at_ring.segment_thread == 0)
        begin_subbuffer(thread);
    else
        write_segment(thread, 0);
}

int ring_begin(Out *out, enum RecordKind kind)
{
    const Thread *thread;
    if (!at_ring.stretch || !(thread = thread_self()))
        return 0;
    record_begin(thread, out, kind);
    return 1;
}

void ring_commit(Out *out) { record_commit(out); }
uint64_t ring_dt(void) { return record_dt(); }

void ring_lost(uint8_t reason, const char *detail)
{
    at_ring.lost++;
    if (at_ring.map)
        publish(AT_LOST, at_ring.lost);
    ring_gap(reason, detail);
}

void ring_gap(uint8_t reason, const char *detail)
{
    Out out;
    if (!ring_begin(&out, REC_GAP))
        return;
    size_t n = strlen(detail);
    put_varint(&out, ring_dt());
    put_u8(&out, reason);
    put_varint(&out, 1);
    put_str(&out, detail, n < 512 ? n : 512);
    ring_commit(&out);
}

/* Fuzzing of the ring's reader (native/reader.c), which reads memory that a dying or hostile process wrote.
 *
 * An input is `u8 n, n patches, image`: the image is the ring's file (what is missing at its end reads as zero, up to the size that its header
 * claims), a patch changes it while it is read: `u8 when` (how many reads come first), `u8 how` (1-8 bytes; from 0xf0: the file is cut at
 * the offset), `u32 offset, 8 bytes`. Files are played by memory, so that a run costs microseconds.
 *
 * libFuzzer: clang -fsanitize=fuzzer,address,undefined. Without it, -DSTANDALONE: plays the files named, then mutates them for
 * FUZZ_SECONDS (a seed: FUZZ_SEED). */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static ssize_t played_pread(int fd, void *to, size_t n, off_t offset);
static off_t played_lseek(int fd, off_t offset, int whence);
static int played_dup(int fd, int command, int least);
static int played_close(int fd);

#define pread played_pread
#define lseek played_lseek
#define fcntl played_dup
#define close played_close
#include "reader.c"
#undef close
#undef fcntl
#undef lseek
#undef pread

#define PATCH 14
#define FILE_MAX (1u << 20) /* of the image as the reader sees it */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* -- a file that is memory, and changes while it is read -- */

static uint8_t *file;
static size_t file_size;
static const uint8_t *patches;
static unsigned patch_count, reads;
static uint64_t tail_read; /* the last that the reader saw */

static void change(const uint8_t *patch)
{
    uint32_t offset = u32_at(patch + 2);
    if (patch[1] >= 0xf0) {
        file_size = offset < file_size ? offset : file_size;
        return;
    }
    for (size_t i = 0; i <= (patch[1] & 7); i++) {
        if (offset + i < file_size) {
            file[offset + i] = patch[6 + i];
        }
    }
}

static ssize_t played_pread(int fd, void *to, size_t n, off_t offset)
{
    (void)fd;
    for (unsigned i = 0; i < patch_count; i++) {
        if (patches[i * PATCH] == (uint8_t)reads) {
            change(patches + i * PATCH);
        }
    }
    reads++;
    if (offset < 0 || (uint64_t)offset >= file_size) {
        return 0;
    }
    size_t left = file_size - (size_t)offset;
    n = n < left ? n : left;
    if (n > 64 && reads % 5 == 0) { /* the kernel may give less than was asked for */
        n /= 2;
    }
    memcpy(to, file + offset, n);
    if (offset == AT_TAIL && n == 8) {
        memcpy(&tail_read, to, 8);
    }
    return (ssize_t)n;
}

static off_t played_lseek(int fd, off_t offset, int whence) { return (void)fd, (void)offset, (void)whence, (off_t)file_size; }
static int played_dup(int fd, int command, int least) { return (void)fd, (void)command, least; }
static int played_close(int fd) { return (void)fd, 0; }

/* -- what must hold -- */

#define MUST(what) ((what) ? (void)0 : (fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #what), abort()))

/* A slice is one whole SEGMENT and whole records, none of which is another SEGMENT; nothing had been overwritten when it was copied. */
static void check_slice(const Step *step, uint32_t size)
{
    MUST(step->position - step->position % size >= tail_read);
    size_t at = 0, body, next;
    uint8_t kind;
    uint8_t *copied = malloc(step->length); /* of its own, so that a read past its end is seen */
    memcpy(copied, step->records, step->length);
    while ((next = record_at(copied, step->length, at, &kind, &body))) {
        MUST((kind == REC_SEGMENT) == (at == 0));
        MUST(next > at && next <= step->length && body <= next);
        MUST(at || (next - body >= 10 && (!(copied[body + 8] & IN_TRACE) || next - body >= 10 + 24)));
        at = next;
    }
    MUST(at == step->length && at > 0);
    free(copied);
}

static void read_all(RingReader *reader)
{
    uint64_t before = reader->position, lost = reader->lost;
    for (unsigned steps = 0; steps < 1u << 16; steps++) {
        Step step;
        reader_step(reader, &step);
        MUST(reader->position >= before);
        MUST(reader->position <= (uint64_t)INT64_MAX + reader->size);
        if (step.kind == STEP_NONE) {
            return;
        }
        if (step.kind == STEP_SLICE) {
            check_slice(&step, reader->size);
            MUST(step.position >= before && step.position < reader->position);
        }
        if (step.kind == STEP_LOSS) {
            MUST(step.to > step.position && reader->lost - lost == step.to - step.position);
        }
        before = reader->position;
        lost = reader->lost;
    }
    MUST(!"it goes on for ever");
}

static void read_ring(void)
{
    RingReader reader;
    const char *why;
    if (reader_open(&reader, 0, &why) < 0) {
        MUST(why != NULL);
        return;
    }
    uint8_t *definitions = malloc(reader.definitions_size + 1u);
    for (int round = 0; round < 3; round++) {
        size_t n = reader_definitions(&reader, definitions);
        MUST(n <= reader.definitions_size);
        for (size_t at = 0; at < n; at += 5 + u32_at(definitions + at + 1)) {
            MUST(n - at >= 5 && definitions[at]);
        }
        read_all(&reader);
        (void)reader_u32(&reader, 208);
    }
    free(definitions);
    reader_close(&reader);
}

/* How much of the file there is: as much as its header asks for, when that is not too much. */
static size_t claimed(const uint8_t *image, size_t size)
{
    if (size < 32) {
        return size;
    }
    uint64_t size_claimed = RING_PAGE + (uint64_t)u32_at(image + AT_DEFINITIONS) + (uint64_t)u32_at(image + AT_SIZE) * u32_at(image + AT_COUNT);
    return size_claimed > size && size_claimed <= FILE_MAX ? (size_t)size_claimed : size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size < 1 + (size_t)(data[0] & 31) * PATCH || size > FILE_MAX) {
        return 0;
    }
    patch_count = data[0] & 31;
    patches = data + 1;
    reads = 0;
    const uint8_t *image = patches + patch_count * PATCH;
    size_t length = size - (size_t)(image - data);
    file_size = claimed(image, length);
    file = calloc(file_size + 1, 1);
    memcpy(file, image, length);
    read_ring();
    free(file);
    return 0;
}

/* -- mutations that know a ring -- */

static uint64_t chance_state;

static uint32_t chance(uint32_t below)
{
    chance_state = chance_state * 6364136223846793005u + 1442695040888963407u;
    return below ? (uint32_t)(chance_state >> 33) % below : 0;
}

static uint64_t odd_number(uint64_t near)
{
    static const uint64_t ODD[] = {0, 1, 48, 4095, 4096, 65535, 65536, 1u << 24, UINT32_MAX, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};
    switch (chance(4)) {
    case 0: return ODD[chance(sizeof ODD / sizeof *ODD)];
    case 1: return near + chance(65536);
    case 2: return near - chance(8192);
    default: return near ^ (uint64_t)1 << chance(64);
    }
}

static void put_number(uint8_t *to, uint64_t v, size_t n) { memcpy(to, &v, n); }

/* A field of the header page. */
static void change_header(uint8_t *image)
{
    static const struct { uint16_t at; uint8_t n; } FIELDS[] = {
        {8, 4}, {12, 4}, {AT_SIZE, 4}, {AT_COUNT, 4}, {AT_DEFINITIONS, 4}, {AT_HEAD, 8}, {AT_HEAD, 8}, {AT_TAIL, 8}, {AT_TAIL, 8}, {AT_DEFINITIONS_HEAD, 8},
    };
    unsigned i = chance(sizeof FIELDS / sizeof *FIELDS);
    uint64_t old = 0;
    memcpy(&old, image + FIELDS[i].at, FIELDS[i].n);
    put_number(image + FIELDS[i].at, odd_number(old), FIELDS[i].n);
}

/* The image's sub-buffers, as far as the header is believable. */
static uint32_t subbuffer_size(const uint8_t *image, size_t length, uint64_t *first)
{
    uint32_t size = u32_at(image + AT_SIZE), definitions = u32_at(image + AT_DEFINITIONS);
    *first = RING_PAGE + (uint64_t)definitions;
    return size >= RING_PAGE && *first + SUBBUFFER_HEADER < length ? size : 0;
}

static size_t some_record(const uint8_t *image, size_t length, size_t from, size_t to)
{
    size_t at = from, body, next;
    uint8_t kind;
    to = to < length ? to : length;
    for (uint32_t n = chance(64); n && at < to && (next = record_at(image, to, at, &kind, &body)); n--) {
        at = next;
    }
    return at;
}

/* A record's kind, length or body, or the header of its sub-buffer. */
static void change_record(uint8_t *image, size_t length)
{
    uint64_t first;
    uint32_t size = subbuffer_size(image, length, &first);
    if (!size) {
        return;
    }
    size_t base = (size_t)first + (size_t)chance((uint32_t)((length - first) / size + 1)) * size;
    if (base + SUBBUFFER_HEADER + 16 > length) {
        return;
    }
    size_t at = some_record(image, length, base + SUBBUFFER_HEADER, base + size);
    if (at + 16 > length) {
        return;
    }
    switch (chance(6)) {
    case 0: image[at] = (uint8_t)chance(26); break;
    case 1: put_number(image + at + 1, odd_number(image[at + 1]), 2); break;
    case 2: image[at + 3 + chance(13)] = (uint8_t)(0x80 | chance(128)); break;
    case 3: put_number(image + base + 8, odd_number(u64_at(image + base + 8)), 8); break;
    case 4: image[at] = REC_SEGMENT; break;
    default: memset(image + at, (int)chance(2) * 255, 1 + chance(12));
    }
}

static size_t add_patch(uint8_t *data, size_t size, size_t max_size)
{
    unsigned n = data[0] & 31;
    size_t at = 1 + n * PATCH;
    if (n == 31 || size + PATCH > max_size || size < at) {
        return size;
    }
    static const uint32_t TARGETS[] = {AT_HEAD, AT_TAIL, AT_TAIL, AT_DEFINITIONS_HEAD, AT_SIZE, 0};
    memmove(data + at + PATCH, data + at, size - at);
    uint32_t offset = TARGETS[chance(6)];
    offset = offset ? offset : chance(1 << 16);
    data[at] = (uint8_t)chance(24);
    data[at + 1] = chance(16) ? 7 : 0xf0;
    put_number(data + at + 2, offset, 4);
    put_number(data + at + 6, odd_number((uint64_t)chance(64) * 4096), 8);
    data[0] = (uint8_t)(n + 1);
    return size + PATCH;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    chance_state = seed * 2654435761u + 88172645463325252u;
    size_t at = size ? 1 + (size_t)(data[0] & 31) * PATCH : 1;
    if (size < at + 512 || !chance(4)) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    for (uint32_t n = 1 + chance(3); n; n--) {
        switch (chance(8)) {
        case 0: change_header(data + at); break;
        case 1: size = add_patch(data, size, max_size); at = 1 + (size_t)(data[0] & 31) * PATCH; break;
        default: change_record(data + at, size - at);
        }
    }
    return size;
}

#ifdef STANDALONE
/* Stands for libFuzzer's own: some bytes at random, an end cut off. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
    (void)max_size;
    for (uint32_t n = 1 + chance(8); n && size; n--) {
        data[chance((uint32_t)size)] = (uint8_t)chance(256);
    }
    return chance(8) ? size : chance((uint32_t)size + 1);
}

static uint8_t *load_file(const char *path, size_t *size)
{
    FILE *in = fopen(path, "rb");
    uint8_t *data = malloc(FILE_MAX);
    *size = in && data ? fread(data, 1, FILE_MAX, in) : 0;
    if (!in || fclose(in)) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    return data;
}

int main(int count, char **paths)
{
    const char *given = getenv("FUZZ_SECONDS"), *seed_given = getenv("FUZZ_SEED");
    double seconds = given ? atof(given) : 0;
    unsigned seed = seed_given ? (unsigned)atoi(seed_given) : 1, runs = 0;
    clock_t end = clock() + (clock_t)(seconds * CLOCKS_PER_SEC);
    for (int i = 1; i < count; i++, runs++) {
        size_t size;
        uint8_t *data = load_file(paths[i], &size);
        LLVMFuzzerTestOneInput(data, size);
        free(data);
    }
    uint8_t *data = malloc(FILE_MAX);
    while (count > 1 && clock() < end) {
        size_t size;
        uint8_t *of = load_file(paths[1 + seed % (unsigned)(count - 1)], &size);
        for (int n = 0; n < 200; n++, runs++) {
            memcpy(data, of, size);
            size_t mutated = LLVMFuzzerCustomMutator(data, size, FILE_MAX, seed++);
            LLVMFuzzerTestOneInput(data, mutated);
        }
        free(of);
    }
    free(data);
    printf("reader: %u runs, nothing found\n", runs);
    return 0;
}
#endif

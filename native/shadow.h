/* The recorder's own idea of a thread's stack: one entry per activation of a user frame, and a table of the suspended ones.
 * Pure bookkeeping: frames are addresses here, never looked into. */
#ifndef AFTERTRACE_SHADOW_H
#define AFTERTRACE_SHADOW_H

#include <stddef.h>
#include <stdint.h>

struct CodeInfo;

#define FINGERPRINTS 8

typedef struct {
    const void *frame;      /* address of the interpreter's frame: an identity, may be stale */
    struct CodeInfo *info;  /* may be stale too: only compared, until a live frame confirms it */
    uint64_t activation;    /* given at START, never reused */
    uint64_t parent;        /* activation of the caller, 0: none */
    uint64_t roll;          /* at_ring.roll in which its values are known, 0: none */
    uint64_t serial;        /* of the span context in which it last ran */
    int32_t line;           /* that runs now, as line - first line of the code; LINE_UNKNOWN at the start */
    struct {
        uint16_t slot; /* + 1; 0: empty */
        uint16_t fill;
        uint32_t fingerprint;
    } seen[FINGERPRINTS]; /* mutables as they were last captured, by slot modulo FINGERPRINTS */
} Entry;

#define LINE_UNKNOWN INT32_MIN

typedef struct {
    Entry *entries; /* outermost first */
    uint32_t depth, room;
} Shadow;

Entry *shadow_push(Shadow *shadow); /* uninitialised; NULL: no memory */
void shadow_free(Shadow *shadow);

static inline Entry *shadow_top(const Shadow *shadow)
{
    return shadow->depth ? &shadow->entries[shadow->depth - 1] : NULL;
}

/* Suspended frames, by address; shared by all threads, since a generator may be resumed by any. */
#define PARKED_MAX 65536
void parked_put(const Entry *entry);                   /* replaces what stands at that address; forgets an old one when full */
int parked_take(const void *frame, Entry *entry);      /* 1: found, and removed */
uint32_t parked_count(void);

#endif

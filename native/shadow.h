/* The recorder's own idea of a thread's stack: one entry per activation of a user frame, and a table of the suspended ones.
 * Pure bookkeeping: frames are addresses here, never looked into. */
#ifndef AFTERTRACE_SHADOW_H
#define AFTERTRACE_SHADOW_H

#include <stddef.h>
#include <stdint.h>

struct CodeInfo;

#define FINGERPRINTS 8 /* a power of two */
#define SLOT_NONE UINT16_MAX

typedef struct {
    const void *frame;      /* address of the interpreter's frame: an identity, may be stale */
    struct CodeInfo *info;  /* may be of another code by now: entry_is() */
    uint64_t activation;    /* given at START, never reused */
    uint64_t parent;        /* activation of the caller, 0: none */
    uint64_t roll;          /* at_ring.roll in which its values are known, 0: none */
    uint64_t serial;        /* of the span context in which it last ran */
    uint64_t trace;         /* and its trace, as activation_trace() numbers it */
    uint32_t code;          /* tag of its info */
    int32_t line;           /* that runs now, as line - first line of the code; LINE_UNKNOWN at the start */
    uint8_t plain;          /* all arguments that are never written were written at START by value_quick(): they cannot change */
    uint8_t ending;         /* what is captured now is the last of it */
    uint8_t handled;        /* it has handled an exception, or may have */
    uint8_t seen;           /* how many fingerprints it took; from 2 * FINGERPRINTS back to FINGERPRINTS */
    uint16_t seen_slots[FINGERPRINTS]; /* whose they are; SLOT_NONE: nobody's */
    uint32_t seen_as[FINGERPRINTS];    /* mutables and objects as they were last captured */
} Entry;

#define LINE_UNKNOWN INT32_MIN

typedef struct {
    Entry *entries; /* outermost first */
    uint32_t depth, room;
    uint64_t stretch; /* of at_ring, in which these were seen */
} Shadow;

int shadow_grow(Shadow *shadow); /* 0, or -1: no memory */

/* Uninitialised; NULL: no memory. */
static inline Entry *shadow_push(Shadow *shadow)
{
    return shadow->depth < shadow->room || shadow_grow(shadow) == 0 ? &shadow->entries[shadow->depth++] : NULL;
}

void shadow_free(Shadow *shadow);

static inline Entry *shadow_top(const Shadow *shadow)
{
    return shadow->depth ? &shadow->entries[shadow->depth - 1] : NULL;
}

/* Suspended frames, by address; shared by all threads, since a generator may be resumed by any. */
#define PARKED_MAX 65536
void parked_put(const Entry *entry);                   /* replaces what stands at that address; forgets an old one when full */
int parked_take(const void *frame, Entry *entry);      /* 1: found, and removed */
int parked_holds(const void *frame);
void parked_forget(void);                              /* all */
uint32_t parked_count(void);

#endif

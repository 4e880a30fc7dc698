/* A small table of objects, by address; the last one at a place counts. What it says need not be complete, but it is right. */
#include "told.h"

#include "activations.h"
#include "ring.h"

#define OBJECTS 1024

typedef struct {
    uintptr_t object;
    uint64_t roll, trace;
    uint32_t fingerprint;
    uint32_t depth;
} Told;

static Told told[OBJECTS];

static inline Told *place_of(const PyObject *o) { return &told[((uintptr_t)o >> 4) % OBJECTS]; }

int told_is(const PyObject *o, uint32_t fingerprint, unsigned depth)
{
    const Told *at = place_of(o);
    return at->object == (uintptr_t)o && at->fingerprint == fingerprint && at->roll == at_ring.roll && at->depth >= depth && depth <= TOLD_DEPTH
        && at_thread && at->trace == activation_trace(at_thread);
}

uint32_t told_as(const PyObject *o)
{
    const Told *at = place_of(o);
    return at->object == (uintptr_t)o && at->roll == at_ring.roll ? at->fingerprint : 0;
}

void told_set(const PyObject *o, uint32_t fingerprint, unsigned depth)
{
    if (at_thread) {
        *place_of(o) = (Told){(uintptr_t)o, at_ring.roll, activation_trace(at_thread), fingerprint, depth};
    }
}

void told_forget(const PyObject *o)
{
    Told *at = place_of(o);
    if (at->object == (uintptr_t)o) {
        at->object = 0;
    }
}

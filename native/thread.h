/* What the recorder remembers of one thread. Made at its first record, freed when the thread ends. */
#ifndef AFTERTRACE_THREAD_H
#define AFTERTRACE_THREAD_H

#include "ring.h"
#include "shadow.h"

typedef struct Thread {
    uint64_t serial; /* unique in this process, never reused; not 0 */
    uint64_t id;     /* the kernel's thread id */
    SpanContext context;
    Shadow shadow;
    uintptr_t last_exception; /* identity of the one that was last written in full, 0: none */
} Thread;

/* initial-exec: a load instead of a call; one pointer fits in what the loader keeps free for libraries opened late. */
extern _Thread_local Thread *at_thread __attribute__((tls_model("initial-exec")));

Thread *thread_make(void); /* NULL: no memory */

static inline Thread *thread_self(void) { return at_thread ? at_thread : thread_make(); }

#endif

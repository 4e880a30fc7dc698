/* What each thread is in: its id, its current span. The SEGMENT records themselves are written by ring.c when this changes. */
#define _GNU_SOURCE
#include "thread.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

_Thread_local Thread *at_thread __attribute__((tls_model("initial-exec")));

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint64_t threads; /* made so far; changed by the GIL's holder only */

/* When the thread ends: no GIL, no Python state. Only memory that nobody else knows of is freed. */
static void thread_free(void *thread)
{
    at_thread = NULL;
    shadow_free(&((Thread *)thread)->shadow);
    free(thread);
}

static void make_key(void) { pthread_key_create(&key, thread_free); }

Thread *thread_make(void)
{
    pthread_once(&once, make_key);
    Thread *thread = calloc(1, sizeof *thread);
    if (!thread || pthread_setspecific(key, thread) != 0) {
        free(thread);
        return NULL;
    }
    thread->serial = ++threads;
    thread->id = (uint64_t)syscall(SYS_gettid);
    at_thread = thread;
    return thread;
}

void segment_set(const SpanContext *context)
{
    Thread *thread = thread_self();
    if (!thread)
        return;
    if (context)
        thread->context = *context;
    else
        thread->context.serial = 0;
}

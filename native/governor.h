/* Keeps the cost of recording code within a share of the process's CPU time (D6): who costs too much records less, told in LEVEL
 * definitions. Cost is counted, not timed: each event adds a constant of its kind and its record's bytes to its code object; a few
 * events, drawn at random, are timed, and say how fast this machine is now compared with the one the constants are from. */
#ifndef AFTERTRACE_GOVERNOR_H
#define AFTERTRACE_GOVERNOR_H

#include "codes.h"
#include "record.h"

/* ns, the interpreter's own part of it (COST_DISPATCH) included; the bytes come on top, 1 ns each (benchmarks/governor.py). */
enum {
    COST_START = 34, COST_RETURN = 26, COST_LINE = 26, COST_SWITCH = 44, COST_EXCEPTION = 70, COST_FRAME = 60,
    COST_LIBRARY = 20, /* an event of code that is not recorded: an exception's, or a first call in bad times */
    COST_DISPATCH = 15,
    /* with what our boundaries do for one (benchmarks/boundaries.py) */
    COST_ENTRY_SPAN = 5000, COST_EXIT_SPAN = 15000, COST_TEMPLATE_SPAN = 2500, COST_SPAN = 1200, COST_LOG = 1700,
};

typedef struct {
    int32_t countdown; /* events until one is timed */
    uint32_t spans;    /* ns of spans and logs since the last look */
    uint64_t library;  /* ns of exceptions' events in code that is not recorded, ever */
    uint64_t modelled; /* ns of events of code, ever */
} Governor;

extern Governor at_governor;

/* The budget is a share of CPU time, 1: no limit. Forgets what was measured, keeps the levels of code. */
void governor_begin(double budget);
void governor_set_budget(double budget);
int governor_limits(void); /* whether there is a limit */

/* While paused nothing is earned: what runs then is not measured. */
void governor_pause(int paused);

/* Around one callback: times it. Looks around afterwards when it is time. */
void governor_time(void);
void governor_timed(void);

/* Looks around now: when nothing runs that would do it. Never raises. */
void governor_look(void);

int governor_may_arm(void); /* else later: the next call asks again */
uint8_t governor_first_level(const CodeInfo *info); /* of code that was never called */
void governor_arming(uint64_t ticks);               /* what it took to arm code, or to change its events */

/* What focuses the recorder on code that took part in a failure: lines until `seconds` from now, at the expense of other code. */
void governor_focus(CodeInfo *info, double seconds);

PyObject *governor_usage(void);         /* new references, or NULL with an exception */
PyObject *governor_hot(Py_ssize_t most);
PyObject *governor_outside(Py_ssize_t most);

void governor_touch(CodeInfo *info);

static inline uint32_t governor_cost(CodeInfo *info, uint32_t base)
{
    uint32_t cost = base + (uint32_t)(at_ring.at - at_ring.record);
    at_governor.modelled += cost;
    if (!info->use.touched)
        governor_touch(info);
    return cost;
}

/* The record that has just been committed belongs to a call of this code, or to a line. */
static inline void governor_call(CodeInfo *info, uint32_t base) { info->use.calls_cost += governor_cost(info, base); }
static inline void governor_line(CodeInfo *info) { info->use.lines_cost += governor_cost(info, COST_LINE); }

/* A span of this kind (OTLP's number) has ended: server and consumer, client and producer, others; those of statements are made from
 * templates. */
static inline void governor_span(int kind, int templated)
{
    at_governor.spans += templated ? COST_TEMPLATE_SPAN
        : kind == 2 || kind == 5   ? COST_ENTRY_SPAN
        : kind == 3 || kind == 4   ? COST_EXIT_SPAN
                                   : COST_SPAN;
}

#endif

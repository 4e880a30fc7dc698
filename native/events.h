/* What the interpreter tells through sys.monitoring, written as records. */
#ifndef AFTERTRACE_EVENTS_H
#define AFTERTRACE_EVENTS_H

#include "codes.h"

/* One for each event that is wanted: its name in sys.monitoring.events, and the callable that writes it. */
typedef struct {
    const char *name;
    PyObject *callback; /* immortal */
    int local;          /* set per code object; else for the whole interpreter */
} EventKind;

extern const EventKind events_kinds[]; /* ends with a NULL name */
extern int events_level;
extern uint64_t events_doubts; /* events that did not fit what was known: not recorded */

int events_init(void); /* readies the type of the callbacks */

/* monitoring.c: takes a tool id and registers the callbacks. 0 (also without a free id: spans only then), or -1 with an exception. */
int monitoring_start(int level);
int monitoring_set_level(int level);
int monitoring_local(CodeInfo *info); /* events of one code object, by its kind and the level */
void monitoring_stop(void);
int monitoring_tool(void); /* -1: none */

#endif

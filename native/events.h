/* What the interpreter tells through sys.monitoring, written as records. */
#ifndef AFTERTRACE_EVENTS_H
#define AFTERTRACE_EVENTS_H

#include "codes.h"

/* One for each event that is wanted: its name in sys.monitoring.events, and the callable that writes it. */
typedef struct {
    const char *name;
    PyObject *callback; /* immortal */
    int local;          /* set per code object; else for the whole interpreter */
    int least;          /* of events_exceptions, from which on it is wanted */
} EventKind;

/* Which events of exceptions are on, in all code: they cannot be had for some code only before 3.15. */
enum { EXCEPTIONS_NONE = 0, EXCEPTIONS_UNWOUND = 1, EXCEPTIONS_RAISED = 2, EXCEPTIONS_ALL = 3 };

extern const EventKind events_kinds[]; /* ends with a NULL name */
extern int events_level;
extern int events_exceptions;
extern uint64_t events_doubts; /* events that did not fit what was known: not recorded */

int events_init(void); /* readies the type of the callbacks */

/* monitoring.c: takes a tool id and registers the callbacks. 0 (also without a free id: spans only then), or -1 with an exception. */
int monitoring_start(int level);
int monitoring_set_level(int level);
int monitoring_local(CodeInfo *info);     /* events of one code object, by its kind and the level */
int monitoring_first(PyCodeObject *code); /* only that it is called */
int monitoring_none(PyCodeObject *code);
void monitoring_set_exceptions(int wanted); /* events_exceptions. Never raises */
void monitoring_stop(void);
int monitoring_tool(void); /* -1: none */

#endif

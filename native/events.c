/* The callbacks of sys.monitoring. They are the hot path: no Python object is made, no code of the program runs, nothing is raised;
 * they return None whatever happens. Each is a callable of our own type, because a builtin function would check the C stack and could raise.
 * While one runs, the interpreter delivers no other event on that thread. */
#include "events.h"
#include "capture.h"
#include "spans.h"

#include <stddef.h>

int events_level;
uint64_t events_doubts;

/* What all events have in common. */
typedef struct {
    Thread *thread;
    CodeInfo *info;
    Frame frame;
    Entry *entry;
} Event;

static const Caps CAPS_EXCEPTION = {.depth = 2, .items = 8, .fields = 8, .text = 512};
static const Caps CAPS_AGAIN = {.depth = 0, .items = 0, .fields = 0, .text = 32}; /* written in full before */

/* Which span is current here and now (D3). */
static inline void read_context(Thread *thread)
{
    const SpanContext *context = spans_current();
    if ((context ? context->serial : 0) != thread->context.serial)
        segment_set(context);
}

/* User code, and its frame is the one that runs: 1. */
static inline int locate(Event *event, PyObject *const *args)
{
    if (!at_ring.on || !(event->info = code_info((PyCodeObject *)args[0])) || !(event->thread = thread_self()))
        return 0;
    event->frame = frame_current();
    if (event->frame && frame_code(event->frame) == (PyCodeObject *)args[0])
        return 1;
    events_doubts++;
    return 0;
}

/* An event of a frame that has been running: its entry, its context, and its values known in this sub-buffer. */
static inline int running(Event *event, PyObject *const *args)
{
    if (!locate(event, args) || !(event->entry = activation_of(event->thread, event->frame, event->info)))
        return 0;
    if (event->entry->serial != event->thread->context.serial) {
        read_context(event->thread);
        event->entry->serial = event->thread->context.serial;
    }
    if (event->entry->roll != at_ring.roll)
        capture_frame(event->entry, event->frame);
    return 1;
}

static inline uint64_t lasti_of(PyObject *offset) { return (uint64_t)PyLong_AsLong(offset) / sizeof(_Py_CODEUNIT); }

static inline uint64_t identity(PyObject *o) { return (uint64_t)(uintptr_t)o >> 4; }

/* -- calls ------------------------------------------------------------------------------------------------------- */

/* Where the caller stands, + 1; 0 when the frame that called is not the one that `parent` names. */
static inline uint64_t call_site(const Event *event, uint64_t parent)
{
    const Entry *top = shadow_top(&event->thread->shadow);
    if (!parent || !top)
        return 0;
    int lasti = frame_lasti(top->frame); /* settled: it lives */
    return lasti < 0 ? 0 : (uint64_t)lasti + 1;
}

static void write_start(Event *event, uint64_t parent)
{
    Out out;
    uint64_t site = call_site(event, parent), activation = activation_next();
    if (!ring_begin(&out, REC_START))
        return;
    Entry *entry = activation_begin(event->thread, event->frame, event->info, activation, parent);
    if (!entry)
        return;
    entry->roll = at_ring.roll;
    put_varint(&out, ring_dt());
    put_varint(&out, activation);
    put_varint(&out, event->info->id);
    put_varint(&out, parent);
    put_varint(&out, site);
    capture_start(&out, entry, event->frame, events_level);
    ring_commit(&out);
}

static void on_start(PyObject *const *args)
{
    Event event;
    Entry stale;
    if (!locate(&event, args))
        return;
    if (event.info->suspends)
        parked_take(event.frame, &stale); /* one that was dropped while suspended, at the same address */
    uint64_t parent = activation_settle(event.thread, event.frame);
    read_context(event.thread);
    write_start(&event, parent);
}

static void pop(const Event *event) { event->thread->shadow.depth--; }

/* Slots at an exit: what is pending at lines, all at calls. */
static inline void put_exit(Out *out, const Event *event)
{
    Chosen chosen;
    if (events_level < LEVEL_LINES || !event->info->lines) {
        capture_bound(out, event->entry, event->frame, &CAPS_LOCAL);
        return;
    }
    choose_exit(&chosen, event->entry, event->frame);
    capture_chosen(out, event->entry, event->frame, &chosen, &CAPS_LOCAL);
}

static inline int put_return(const Event *event, PyObject *const *args, enum RecordKind kind)
{
    Out out;
    if (!ring_begin(&out, kind))
        return 0;
    put_varint(&out, ring_dt());
    put_varint(&out, event->entry->activation);
    put_varint(&out, lasti_of(args[1]));
    value_write(&out, args[2], &CAPS_VALUE, out_left(&out) / 2);
    put_exit(&out, event);
    ring_commit(&out);
    return 1;
}

static void on_return(PyObject *const *args)
{
    Event event;
    if (!running(&event, args))
        return;
    put_return(&event, args, REC_RETURN);
    pop(&event);
}

static void on_yield(PyObject *const *args)
{
    Event event;
    if (!running(&event, args))
        return;
    put_return(&event, args, REC_YIELD);
    parked_put(event.entry);
    pop(&event);
}

/* A suspended frame that runs on: found again, on the stack, in the context that is current now. */
static int resumed(Event *event, PyObject *const *args)
{
    if (!locate(event, args))
        return 0;
    read_context(event->thread);
    event->entry = activation_of(event->thread, event->frame, event->info);
    if (event->entry)
        event->entry->serial = event->thread->context.serial;
    return event->entry != NULL;
}

static void on_resume(PyObject *const *args)
{
    Event event;
    Out out;
    if (!resumed(&event, args) || !ring_begin(&out, REC_RESUME))
        return;
    put_varint(&out, ring_dt());
    put_varint(&out, event.entry->activation);
    put_varint(&out, event.entry->parent);
    ring_commit(&out);
    capture_frame(event.entry, event.frame);
}

/* -- lines ------------------------------------------------------------------------------------------------------- */

static void on_line(PyObject *const *args)
{
    Event event;
    Out out;
    Chosen chosen;
    if (!running(&event, args) || !ring_begin(&out, REC_LINE))
        return;
    int32_t line = (int32_t)PyLong_AsLong(args[1]) - event.info->first_line;
    put_varint(&out, event.entry->activation);
    put_svarint(&out, line);
    choose_line(&chosen, event.entry, event.frame);
    capture_chosen(&out, event.entry, event.frame, &chosen, &CAPS_LOCAL);
    event.entry->line = line;
    ring_commit(&out);
}

/* -- exceptions: global events until 3.15, so most are of library code and end in locate() ------------------------------------- */

/* In full once: where it was raised (its traceback is one frame long), or when another was seen since. */
static void put_exception(Out *out, Thread *thread, PyObject *exception)
{
    const PyTracebackObject *traceback = (PyTracebackObject *)((PyBaseExceptionObject *)exception)->traceback;
    int again = thread->last_exception == (uintptr_t)exception && traceback && traceback->tb_next;
    thread->last_exception = (uintptr_t)exception;
    put_varint(out, identity(exception));
    value_write(out, exception, again ? &CAPS_AGAIN : &CAPS_EXCEPTION, out_left(out));
}

static void on_throw(PyObject *const *args)
{
    Event event;
    Out out;
    if (!resumed(&event, args) || !ring_begin(&out, REC_THROW))
        return;
    put_varint(&out, ring_dt());
    put_varint(&out, event.entry->activation);
    put_varint(&out, event.entry->parent);
    put_exception(&out, event.thread, args[2]);
    ring_commit(&out);
    capture_frame(event.entry, event.frame);
}

static inline int open_exceptional(Event *event, Out *out, PyObject *const *args, enum RecordKind kind)
{
    if (!running(event, args) || !ring_begin(out, kind))
        return 0;
    put_varint(out, ring_dt());
    put_varint(out, event->entry->activation);
    put_varint(out, lasti_of(args[1]));
    return 1;
}

static void on_raise(PyObject *const *args)
{
    Event event;
    Out out;
    if (!open_exceptional(&event, &out, args, REC_RAISE)) {
        const PyTracebackObject *traceback = (PyTracebackObject *)((PyBaseExceptionObject *)args[2])->traceback;
        if (at_thread && !(traceback && traceback->tb_next))
            at_thread->last_exception = 0; /* a new one, in library code: it may have the address of the last */
        return;
    }
    put_exception(&out, event.thread, args[2]);
    ring_commit(&out);
}

static void on_reraise(PyObject *const *args)
{
    Event event;
    Out out;
    if (!open_exceptional(&event, &out, args, REC_RERAISE))
        return;
    put_varint(&out, identity(args[2]));
    ring_commit(&out);
}

static void on_handled(PyObject *const *args)
{
    Event event;
    Out out;
    if (!open_exceptional(&event, &out, args, REC_HANDLED))
        return;
    put_varint(&out, identity(args[2]));
    ring_commit(&out);
}

static void on_unwind(PyObject *const *args)
{
    Event event;
    Out out;
    if (!open_exceptional(&event, &out, args, REC_UNWIND))
        return;
    put_varint(&out, identity(args[2]));
    capture_bound(&out, event.entry, event.frame, &CAPS_VALUE);
    ring_commit(&out);
    pop(&event);
}

/* -- callables --------------------------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    void (*write)(PyObject *const *args);
    Py_ssize_t arguments;
} Callback;

static PyObject *call(PyObject *self, PyObject *const *args, size_t n, PyObject *names)
{
    const Callback *callback = (Callback *)self;
    if (PyVectorcall_NARGS(n) == callback->arguments && Py_IS_TYPE(args[0], &PyCode_Type))
        callback->write(args);
    Py_RETURN_NONE;
}

static PyTypeObject CallbackType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "aftertrace._native.Callback",
    .tp_basicsize = sizeof(Callback),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_vectorcall_offset = offsetof(Callback, vectorcall),
    .tp_call = PyVectorcall_Call,
};

#define CALLBACK(function, count) \
    (PyObject *)&(Callback){PyObject_HEAD_INIT(&CallbackType).vectorcall = call, .write = function, .arguments = count}

const EventKind events_kinds[] = {
    {"PY_START", CALLBACK(on_start, 2), 1},     {"PY_RESUME", CALLBACK(on_resume, 2), 1},
    {"PY_RETURN", CALLBACK(on_return, 3), 1},   {"PY_YIELD", CALLBACK(on_yield, 3), 1},
    {"LINE", CALLBACK(on_line, 2), 1},          {"PY_THROW", CALLBACK(on_throw, 3), 0},
    {"RAISE", CALLBACK(on_raise, 3), 0},        {"RERAISE", CALLBACK(on_reraise, 3), 0},
    {"PY_UNWIND", CALLBACK(on_unwind, 3), 0},   {"EXCEPTION_HANDLED", CALLBACK(on_handled, 3), 0},
    {NULL, NULL, 0},
};

int events_init(void) { return PyType_Ready(&CallbackType); }

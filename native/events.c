/* The callbacks of sys.monitoring. They are the hot path: no Python object is made, no code of the program runs, nothing is raised;
 * they return None whatever happens. Each is a callable of our own type, because a builtin function would check the C stack and could raise.
 * While one runs, the interpreter delivers no other event on that thread. */
#include "events.h"
#include "redact.h"
#include "capture.h"
#include "governor.h"
#include "record.h"
#include "spans.h"

#include <stddef.h>

int events_level;
int events_exceptions = EXCEPTIONS_ALL;
uint64_t events_doubts;

/* What all events have in common. */
typedef struct {
    Thread *thread;
    CodeInfo *info;
    Frame frame;
    Entry *entry;
} Event;

#define ALWAYS_INLINE inline __attribute__((always_inline)) /* the hot path is one function per event */
#define DOUBTS_TOLD 100 /* in GAPs; later ones are only counted */

static const Caps CAPS_EXCEPTION = {.depth = 2, .items = 8, .fields = 8, .text = 512, .objects = 4};
static const Caps CAPS_AGAIN = {.depth = 0, .items = 0, .fields = 0, .text = 32}; /* written in full before */

/* Which span is current here and now (D3). */
static inline void read_context(Thread *thread)
{
    const SpanContext *context = spans_current();
    if ((context ? context->serial : 0) != thread->context.serial)
        segment_set(context);
}

static void doubt(void)
{
    at_ring.roll++; /* what was captured so far is not relied upon */
    if (events_doubts++ < DOUBTS_TOLD)
        ring_gap(6, "an event of a frame that does not run");
}

/* A thread that records, and whose stack is of this stretch: 1. */
static inline int ready(Event *event)
{
    event->thread = thread_self();
    if (!at_ring.stretch || !event->thread)
        return 0;
    if (event->thread->shadow.stretch != at_ring.stretch)
        activation_renew(event->thread);
    return 1;
}

/* Of user code: 1, with the running frame, and its entry if that is on top of the stack. */
static ALWAYS_INLINE int locate(Event *event, PyObject *const *args)
{
    PyCodeObject *code = (PyCodeObject *)args[0];
    if (!ready(event))
        return 0;
    event->frame = frame_running(code);
    event->entry = shadow_top(&event->thread->shadow);
    if (event->entry && entry_is(event->entry, event->frame, code)) {
        event->info = event->entry->info;
        return 1;
    }
    event->entry = NULL;
    event->info = code_info(code);
    if (!event->info || !event->info->level) { /* an exception's event: those are on everywhere */
        at_governor.library += COST_LIBRARY;
        return 0;
    }
    if (!event->frame)
        doubt();
    return event->frame != NULL;
}

static inline int find_entry(Event *event)
{
    return event->entry || (event->entry = activation_find(event->thread, event->frame, event->info));
}

/* Reads the context anew, or writes a SEGMENT, the next sub-buffer, the frame's values. */
static __attribute__((noinline)) void catch_up(Event *event)
{
    if (event->entry->serial != event->thread->context.serial) {
        read_context(event->thread);
        activation_adopt(event->entry, event->thread);
    }
    record_prepare(event->thread);
    for (int i = 0; i < 3 && event->entry->roll != at_ring.roll; i++) { /* once; twice when the FRAME fills the sub-buffer */
        capture_frame(event->entry, event->frame);
        record_prepare(event->thread);
    }
}

/* An event of a frame that has been running: its entry, its context, its values known in this sub-buffer, and room for a record. */
static ALWAYS_INLINE int running(Event *event, PyObject *const *args)
{
    if (!locate(event, args) || !find_entry(event))
        return 0;
    if (event->entry->serial != event->thread->context.serial || event->entry->roll != at_ring.roll || !record_is_ready(event->thread))
        catch_up(event);
    return 1;
}

/* The interpreter's offsets and lines are exact ints. */
static inline uint64_t number_of(PyObject *o)
{
    const _PyLongValue *v = &((PyLongObject *)o)->long_value;
    return v->lv_tag < 2 << 3 ? v->ob_digit[0] : (uint64_t)PyLong_AsLong(o);
}

static inline uint64_t lasti_of(PyObject *offset) { return number_of(offset) / CODE_UNIT; }

static inline uint64_t identity(PyObject *o) { return (uint64_t)(uintptr_t)o >> 4; }

/* -- calls ------------------------------------------------------------------------------------------------------- */

/* Where the caller stands, + 1; 0 when it is not known. */
static inline uint64_t call_site(const Entry *caller)
{
    int lasti = caller ? frame_lasti(caller->frame) : -1;
    return lasti < 0 ? 0 : (uint64_t)lasti + 1;
}

static inline void write_start(Event *event, uint64_t parent, uint64_t site)
{
    Out out;
    record_begin(event->thread, &out, REC_START);
    Entry *entry = activation_begin(event->thread, event->frame, event->info, activation_next(), parent);
    if (!entry)
        return;
    entry->roll = at_ring.roll;
    put_varint(&out, record_dt());
    put_varint(&out, entry->activation);
    put_varint(&out, event->info->id);
    put_varint(&out, parent);
    put_varint(&out, site);
    capture_start(&out, entry, event->frame, event->info->level);
    record_commit(&out);
    event->info->use.calls++;
    governor_call(event->info, COST_START);
    if (!event->thread->context.serial)
        event->thread->shadow.entries[0].info->use.outside++;
}

static void on_start(PyObject *const *args)
{
    Event event;
    Entry stale;
    PyCodeObject *code = (PyCodeObject *)args[0];
    if (!ready(&event) || !((event.info = code_info(code)) || (event.info = codes_first_call(code))) || !event.info->level)
        return;
    if (!(event.frame = frame_running(code))) {
        doubt();
        return;
    }
    if (event.info->suspends)
        parked_take(event.frame, &stale); /* one that was dropped while suspended, at the same address */
    const Entry *caller = activation_direct(event.thread, event.frame);
    if (!caller || caller->serial != event.thread->context.serial) {
        /* Else the context is the caller's, and who changes that tells segment_set(): contexts are entered by C only. */
        caller = caller ? caller : activation_settle(event.thread, event.frame);
        read_context(event.thread);
    }
    write_start(&event, caller ? caller->activation : 0, call_site(caller));
}

static void pop(const Event *event) { event->thread->shadow.depth--; }

static inline void put_returned(Out *out, const Event *event, PyObject *value)
{
    size_t half = out_left(out) / 2, most = out_left(out) - capture_room(event->info);
    if (event->info->secret && redact_is_returned(value))
        value_write_redacted(out);
    else if (!value_quick(out, value))
        value_write(out, value, &CAPS_VALUE, half < most ? half : most);
}

/* Slots at an exit: what is pending at lines; at calls all of them, once the frame ends. */
static inline void put_exit(Out *out, const Event *event, enum RecordKind kind)
{
    if (event->info->level >= LEVEL_LINES)
        capture_exit(out, event->entry, event->frame);
    else if (kind == REC_YIELD)
        capture_nothing(out, event->entry);
    else
        capture_all(out, event->entry, event->frame, &CAPS_LOCAL, 1);
}

static inline void put_return(const Event *event, PyObject *const *args, enum RecordKind kind)
{
    Out out;
    record_open(&out, kind, RECORD_MAX);
    put_varint(&out, record_dt());
    put_varint(&out, event->entry->activation);
    put_varint(&out, lasti_of(args[1]));
    put_returned(&out, event, args[2]);
    put_exit(&out, event, kind);
    record_commit(&out);
    governor_call(event->info, kind == REC_RETURN ? COST_RETURN : COST_SWITCH);
}

static void on_return(PyObject *const *args)
{
    Event event;
    if (!running(&event, args))
        return;
    event.entry->ending = 1;
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
    if (!find_entry(event))
        return 0;
    activation_adopt(event->entry, event->thread);
    return 1;
}

static void on_resume(PyObject *const *args)
{
    Event event;
    Out out;
    if (!resumed(&event, args))
        return;
    record_begin(event.thread, &out, REC_RESUME);
    put_varint(&out, record_dt());
    put_varint(&out, event.entry->activation);
    put_varint(&out, event.entry->parent);
    record_commit(&out);
    governor_call(event.info, COST_SWITCH);
    capture_frame(event.entry, event.frame);
}

/* -- lines ------------------------------------------------------------------------------------------------------- */

static void on_line(PyObject *const *args)
{
    Event event;
    Out out;
    if (!running(&event, args))
        return;
    record_open(&out, REC_LINE, RECORD_MAX);
    int32_t line = (int32_t)number_of(args[1]) - event.info->first_line;
    put_varint(&out, event.entry->activation);
    put_svarint(&out, line);
    capture_line(&out, event.entry, event.frame);
    event.entry->line = line;
    record_commit(&out);
    governor_line(event.info);
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
    if (!resumed(&event, args))
        return;
    record_begin(event.thread, &out, REC_THROW);
    put_varint(&out, record_dt());
    put_varint(&out, event.entry->activation);
    put_varint(&out, event.entry->parent);
    put_exception(&out, event.thread, args[2]);
    record_commit(&out);
    governor_call(event.info, COST_EXCEPTION);
    capture_frame(event.entry, event.frame);
}

/* Where the frame stands: the interpreter's offset is one off after a Python callee has unwound. A handler is where it says. */
static inline uint64_t exceptional_lasti(const Event *event, PyObject *offset, enum RecordKind kind)
{
    int lasti = kind == REC_HANDLED ? -1 : frame_lasti(event->frame);
    return lasti < 0 ? lasti_of(offset) : (uint64_t)lasti;
}

static inline int open_exceptional(Event *event, Out *out, PyObject *const *args, enum RecordKind kind)
{
    if (code_has_none((PyCodeObject *)args[0])) { /* a library's, as most are */
        at_governor.library += COST_LIBRARY;
        return 0;
    }
    if (!running(event, args))
        return 0;
    record_open(out, kind, RECORD_MAX);
    put_varint(out, record_dt());
    put_varint(out, event->entry->activation);
    put_varint(out, exceptional_lasti(event, args[1], kind));
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
    record_commit(&out);
    governor_call(event.info, COST_EXCEPTION);
}

static void on_reraise(PyObject *const *args)
{
    Event event;
    Out out;
    if (!open_exceptional(&event, &out, args, REC_RERAISE))
        return;
    put_varint(&out, identity(args[2]));
    record_commit(&out);
    governor_call(event.info, COST_EXCEPTION);
}

static void on_handled(PyObject *const *args)
{
    Event event;
    Out out;
    if (!open_exceptional(&event, &out, args, REC_HANDLED))
        return;
    event.entry->handled = 1;
    put_varint(&out, identity(args[2]));
    record_commit(&out);
    governor_call(event.info, COST_EXCEPTION);
}

static void on_unwind(PyObject *const *args)
{
    Event event;
    Out out;
    if (!open_exceptional(&event, &out, args, REC_UNWIND))
        return;
    put_varint(&out, identity(args[2]));
    event.entry->ending = 1;
    capture_all(&out, event.entry, event.frame, &CAPS_VALUE, 0);
    record_commit(&out);
    governor_call(event.info, COST_EXCEPTION);
    pop(&event);
}

/* -- callables --------------------------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
} Callback;

static PyTypeObject CallbackType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "aftertrace._native.Callback",
    .tp_basicsize = sizeof(Callback),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_vectorcall_offset = offsetof(Callback, vectorcall),
    .tp_call = PyVectorcall_Call,
};

/* on_*() as a callable of `count` arguments, the first of which is a code object. What is timed now and then is the same machine code. */
#define CALLABLE(function, count)                                                                    \
    static PyObject *call_##function(PyObject *self, PyObject *const *args, size_t n, PyObject *names) \
    {                                                                                                \
        if (PyVectorcall_NARGS(n) == count && Py_IS_TYPE(args[0], &PyCode_Type)) {                    \
            int timed = __builtin_expect(--at_governor.countdown < 0, 0);                            \
            if (__builtin_expect(timed, 0))                                                          \
                governor_time();                                                                     \
            function(args);                                                                          \
            if (__builtin_expect(timed, 0))                                                          \
                governor_timed();                                                                    \
        }                                                                                            \
        Py_RETURN_NONE;                                                                              \
    }                                                                                                \
    static Callback callable_##function = {PyObject_HEAD_INIT(&CallbackType).vectorcall = call_##function};

CALLABLE(on_start, 2)
CALLABLE(on_resume, 2)
CALLABLE(on_return, 3)
CALLABLE(on_yield, 3)
CALLABLE(on_line, 2)
CALLABLE(on_throw, 3)
CALLABLE(on_raise, 3)
CALLABLE(on_reraise, 3)
CALLABLE(on_unwind, 3)
CALLABLE(on_handled, 3)

#define LOCAL(name, function) {name, (PyObject *)&callable_##function, 1, 0}
#define GLOBAL(name, function, least) {name, (PyObject *)&callable_##function, 0, least}

const EventKind events_kinds[] = {
    LOCAL("PY_START", on_start),
    LOCAL("PY_RESUME", on_resume),
    LOCAL("PY_RETURN", on_return),
    LOCAL("PY_YIELD", on_yield),
    LOCAL("LINE", on_line),
    GLOBAL("PY_THROW", on_throw, EXCEPTIONS_UNWOUND),
    GLOBAL("PY_UNWIND", on_unwind, EXCEPTIONS_UNWOUND),
    GLOBAL("RAISE", on_raise, EXCEPTIONS_RAISED),
    GLOBAL("RERAISE", on_reraise, EXCEPTIONS_RAISED),
    GLOBAL("EXCEPTION_HANDLED", on_handled, EXCEPTIONS_ALL),
    {NULL, NULL, 0, 0},
};

int events_init(void) { return PyType_Ready(&CallbackType); }

/* The interpreter's frames: which one runs, who called it, its code and its slots.
 *
 * Two ways to the same answers. Fast: the interpreter's own structures, per minor version, proved by a self-test at start. Public: the
 * documented API, for versions whose layout is not known here and for when the self-test fails: slower, never wrong.
 * A Frame is an identity: only what frame_current() and frame_previous() return within one callback may be looked into. */
#ifndef AFTERTRACE_FRAMES_H
#define AFTERTRACE_FRAMES_H

#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include <Python.h>

#if PY_VERSION_HEX < 0x030E0000
#define FRAMES_KNOWN 1
#include <internal/pycore_frame.h>
#else
#define FRAMES_KNOWN 0 /* 3.14 tags its slots */
#endif

#define CODE_UNIT 2 /* bytes of an instruction: offsets count them, lasti counts units */

typedef const void *Frame;

extern int frames_fast; /* 1 after a self-test that held */

/* Tries both ways on frames whose contents are known. 0: done, `frames_fast` says which; -1 with an exception: neither works. */
int frames_init(void);

Frame frames_public_current(void);
Frame frames_public_previous(Frame frame);
PyCodeObject *frames_public_code(Frame frame);
int frames_public_lasti(Frame frame);
PyObject *frames_public_slot(Frame frame, PyCodeObject *code, int slot);

#if FRAMES_KNOWN

static inline PyCodeObject *frames_fast_code(Frame frame)
{
    const _PyInterpreterFrame *f = frame;
#if PY_VERSION_HEX >= 0x030D0000
    return Py_IS_TYPE(f->f_executable, &PyCode_Type) ? (PyCodeObject *)f->f_executable : NULL;
#else
    return f->f_code;
#endif
}

/* The first frame from `f` outwards that runs Python code: not the entries from C, nor one whose prologue has not been run yet. */
static inline Frame frames_fast_real(const _PyInterpreterFrame *f)
{
    for (; f; f = f->previous) {
        PyCodeObject *code;
        if (f->owner == FRAME_OWNED_BY_CSTACK || !(code = frames_fast_code(f)))
            continue;
#if PY_VERSION_HEX >= 0x030D0000
        const _Py_CODEUNIT *at = f->instr_ptr;
#else
        const _Py_CODEUNIT *at = f->prev_instr;
#endif
        if (f->owner == FRAME_OWNED_BY_GENERATOR || at >= _PyCode_CODE(code) + code->_co_firsttraceable)
            break;
    }
    return f;
}

static inline const _PyInterpreterFrame *frames_fast_raw(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyThreadState_GetUnchecked()->current_frame;
#else
    return _PyThreadState_UncheckedGet()->cframe->current_frame;
#endif
}

static inline Frame frames_fast_current(void) { return frames_fast_real(frames_fast_raw()); }

static inline int frames_fast_lasti(Frame frame)
{
    const _PyInterpreterFrame *f = frame;
#if PY_VERSION_HEX >= 0x030D0000
    return (int)(f->instr_ptr - _PyCode_CODE((PyCodeObject *)f->f_executable));
#else
    return (int)(f->prev_instr - _PyCode_CODE(f->f_code));
#endif
}

/* Cells are looked through: a cell variable's slot holds its cell once the prologue has run, and NULL or a plain value before. */
static inline PyObject *frames_fast_slot(Frame frame, int slot, int is_cell)
{
    PyObject *value = ((const _PyInterpreterFrame *)frame)->localsplus[slot];
    if (is_cell && value && Py_IS_TYPE(value, &PyCell_Type))
        value = PyCell_GET(value);
    return value;
}

static inline Frame frames_fast_previous(Frame frame)
{
    return frames_fast_real(((const _PyInterpreterFrame *)frame)->previous);
}

#define FRAMES_EITHER(fast, slow) (frames_fast ? (fast) : (slow))
#else
#define FRAMES_EITHER(fast, slow) (slow)
#endif

static inline Frame frame_current(void) { return FRAMES_EITHER(frames_fast_current(), frames_public_current()); }

/* The frame that runs, if it runs this code; else NULL. */
static inline Frame frame_running(PyCodeObject *code)
{
#if FRAMES_KNOWN
    if (frames_fast) {
        const _PyInterpreterFrame *f = frames_fast_raw();
        return f && frames_fast_code(f) == code ? f : NULL;
    }
#endif
    Frame frame = frames_public_current();
    return frame && frames_public_code(frame) == code ? frame : NULL;
}

/* Called by a frame's bytecode, with nothing of C between the two. For certain, where it says so. */
static inline int frame_called_by(Frame frame, Frame caller)
{
#if FRAMES_KNOWN
    return frames_fast && ((const _PyInterpreterFrame *)frame)->previous == caller;
#else
    return 0;
#endif
}

static inline Frame frame_previous(Frame f) { return FRAMES_EITHER(frames_fast_previous(f), frames_public_previous(f)); }
static inline PyCodeObject *frame_code(Frame f) { return FRAMES_EITHER(frames_fast_code(f), frames_public_code(f)); }

/* Where it is, in code units; -1 before its first instruction. */
static inline int frame_lasti(Frame f) { return FRAMES_EITHER(frames_fast_lasti(f), frames_public_lasti(f)); }

/* What a slot holds, NULL when unbound. To be given back to frame_slot_done(). */
static inline PyObject *frame_slot(Frame f, PyCodeObject *code, int slot, int is_cell)
{
    return FRAMES_EITHER(frames_fast_slot(f, slot, is_cell), frames_public_slot(f, code, slot));
}

static inline void frame_slot_done(PyObject *value)
{
    if (!frames_fast)
        Py_XDECREF(value); /* never the last reference: the frame has one, and we have the GIL */
}

#endif

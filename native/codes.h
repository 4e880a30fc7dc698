/* What the recorder knows of each code object of user code: its id, its slots, what each of its lines writes and reads. */
#ifndef AFTERTRACE_CODES_H
#define AFTERTRACE_CODES_H

#include <Python.h>

enum SlotFlag { /* as in the CODE definition */
    SLOT_LOCAL = 1, SLOT_CELL = 2, SLOT_FREE = 4, SLOT_ARGUMENT = 8, SLOT_REDACTED = 16,
    SLOT_SELF = 32,  /* ours: the receiver of a method */
    SLOT_FIXED = 64, /* ours: an argument that the code never writes */
    SLOT_OWN = 128,  /* ours: the compiler's own cell, which no program reads: a class's namespace */
};

typedef struct {
    uint32_t at; /* in LineSets.slots: first those written, then those only read */
    uint16_t writes, reads;
} LineSet;

/* What each line's instructions store or delete, and load. Lines are counted from the first line of the code. */
typedef struct {
    int32_t first, count; /* lines first ... first + count - 1 */
    LineSet *lines;
    uint16_t *slots;
    uint32_t unlined_at; /* in `slots`: those that instructions without a line of their own write */
    uint16_t unlined;
} LineSets;

/* What recording it costs (governor.c): ns as counted since the last look, s of the last window. */
typedef struct {
    uint32_t calls_cost, lines_cost, calls;
    uint32_t outside;          /* calls outside of any trace that it stands under, ever */
    uint8_t touched, failures; /* times that it was promoted in vain */
    float calls_heat, lines_heat, count_heat;
    float lines_per_call;      /* ns of a call's lines, 0: never seen */
    float shed_heat, shed_calls; /* shares of CPU when it was last shed: of all, of calls alone */
    double cooled;             /* CPU time up to which the heats are decayed */
    double since;              /* CPU time when it was armed, or promoted last: the heats are of no more than that */
    double shed_at, retry_at, promoted, focus_until; /* s of the monotonic clock */
} CodeUse;

/* Its memory is used for nothing else ever: who holds a pointer that may be stale can ask whether `code` and `tag` are still those. */
typedef struct CodeInfo {
    PyCodeObject *code; /* borrowed: its co_extra owns this; NULL: spare */
    uint32_t tag;       /* never reused; another after each time that its events were off, when frames came and went unseen */
    uint32_t id;        /* in the definitions, never reused; 0: none */
    uint32_t file;
    int32_t first_line;
    uint16_t slots, arguments;
    uint16_t fixed;   /* leading slots that are SLOT_FIXED */
    uint8_t suspends; /* generator, coroutine or asynchronous generator */
    uint8_t lines;    /* may have LINE events */
    uint8_t own;      /* the level that the governor leaves it */
    uint8_t level;    /* in force: own, but no more than the process's */
    uint8_t secret;   /* its name says that it returns one (redact.h) */
    uint8_t *flags;   /* SlotFlag, per slot */
    LineSets sets;
    uint16_t *shared; /* slots that others rebind */
    uint16_t shared_count;
    struct CodeInfo *next, *previous;
    CodeUse use;
} CodeInfo;

#define CODES_CACHE 512
#define MAX_SLOTS 1000 /* variables that are captured */

extern CodeInfo *codes_cache[CODES_CACHE]; /* by address of the code; may be stale */

CodeInfo *codes_find(PyCodeObject *code); /* the slow half of code_info() */

extern PyCodeObject *codes_without[CODES_CACHE]; /* code that has no info, by its address: until some code gets one */

/* Known to have none; 0: not known. */
static inline int code_has_none(const PyCodeObject *code) { return codes_without[((uintptr_t)code >> 5 ^ (uintptr_t)code >> 14) % CODES_CACHE] == code; }

/* NULL: not user code, or not armed. */
static inline CodeInfo *code_info(PyCodeObject *code)
{
    CodeInfo *info = codes_cache[((uintptr_t)code >> 5 ^ (uintptr_t)code >> 14) % CODES_CACHE];
    return info && info->code == code ? info : codes_find(code);
}

/* The set of a line, NULL: nothing is known of it. */
static inline const LineSet *code_line(const CodeInfo *info, int32_t line)
{
    int64_t i = (int64_t)line - info->sets.first;
    return i >= 0 && i < info->sets.count ? &info->sets.lines[i] : NULL;
}

/* Begins to watch code objects as they are made: of user code the first call is asked for, and arms it. */
int codes_start(void);
void codes_stop(void);

int codes_arm(PyCodeObject *code);   /* 1: user code, 0: not, -1 with an exception; nested code included */
CodeInfo *codes_first_call(PyCodeObject *code); /* arms it; NULL: it is not to be, or it cannot be. Never raises */
int codes_set_events(void);          /* anew for all that is armed; 0 or -1 */

enum Cause { CAUSE_BUDGET = 1, CAUSE_COLD = 2, CAUSE_FOCUS = 3, CAUSE_START = 4, CAUSE_LONG = 5 }; /* of a level, as defined */
void codes_set_level(CodeInfo *info, uint8_t level, enum Cause cause);           /* its own. Never raises */
void codes_define_level(uint32_t id, uint8_t level, enum Cause cause);           /* id 0: of exceptions */

CodeInfo *codes_first(void); /* of all that is armed; NULL: none */
CodeInfo *codes_next(const CodeInfo *info);
CodeInfo *codes_resume(void); /* where codes_pause_at() stopped, else the first */
void codes_pause_at(CodeInfo *info);
void codes_redefine(void);           /* into a new ring */
PyObject *codes_new_files(void);     /* new reference: what new_files() returns */
uint32_t codes_armed(void);

/* linesets.c: 0, or -1 when there is no memory (an exception may be set). Not for more than MAX_LINES lines. */
#define MAX_LINES 2000
int linesets_build(LineSets *sets, PyCodeObject *code, int slots); /* of `slots` slots, the others are left out */
int linesets_writes(const LineSets *sets, int slot);               /* whether any line does */

/* Variables that closures share and that one of them rebinds: calls `visit` for each (code, slot) in which one may so change during
 * any line. */
typedef int (*SharedVisit)(PyCodeObject *code, int slot);
void linesets_shared(PyCodeObject *code, SharedVisit visit);

int linesets_span(PyCodeObject *code); /* lines from the first to the last */
void linesets_free(LineSets *sets);

#endif

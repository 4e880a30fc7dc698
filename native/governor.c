/* The budget of D6. Credit is earned with CPU time and spent by events: below zero, the hottest code records less; with credit left, code
 * that was shed is tried again, the cheapest first. All of it runs under the GIL, from callbacks and from the link's thread. */
#include "governor.h"
#include "events.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

#define SAFETY 1.3              /* cold caches, slower instructions: what no callback sees of its cost */
#define WINDOW_S 1.0            /* of CPU time: in it costs are compared */
#define CREDIT_S 0.25           /* of CPU time, of which credit is held: no window of 1 s costs more than 1.25 budgets */
#define LOOK_S 0.01             /* between two looks */
#define LEAST_S 0.1             /* of CPU time, in which something can be said of code that is new, or was promoted */
#define PROMOTE_S 0.25          /* between two tries to promote */
#define FIRST_RETRY_S 2.0       /* before code that was shed is tried again; doubles with each failure */
#define RETRIES 8
#define FORGIVEN_S 20.0         /* code that was promoted so long ago is not blamed for having failed before */
#define DEBT 0.1                /* of the credit, that remains after shedding: nothing is armed until it is paid */
#define CALM 0.85               /* of the budget: what is promoted, and what is left after shedding */
#define SPANS_LEAVE 0.5         /* of the budget is for code, whatever spans take */
#define HEAVY 0.25              /* budgets, that code alone costs which is not tried again soon */
#define FADE_S 10.0             /* in which half of what shed code did cost is forgotten; doubles with each failure */
#define CALL_WORTH 3            /* lines: what a call says */
#define RAISED_WORTH 16         /* lines: what exceptions say, but for where they were handled */
#define LINES_ASSUMED 2         /* of ns: a line's cost as multiple of COST_LINE, before any was seen */
#define SAMPLES_NS 10000        /* expected of so many events as say how fast the machine is */
#define SCALE_MOST 4
#define SCALE_SPANS 1.5         /* spans are not timed: what the machine's speed can explain */
#define SCALE_LIBRARY 2         /* nor are events of library code: short ways, and warm ones */
#define TOUCHED 4096
#define CANDIDATES 1024
#define PROMOTED_AT_ONCE 32
#define EXAMINED_AT_ONCE 2048

Governor at_governor = {.countdown = 64};

static struct {
    double budget;
    double cpu;                          /* of the process at the last look, s */
    double cpu_heat, spans_heat, library_heat, code_heat; /* s in the last window, decayed */
    double credit;                       /* s */
    double promised;                     /* s per window, of code that was promoted of late: not yet in its heat */
    double arming;                       /* s since the last look */
    double looked, promoted;             /* when last, s of the monotonic clock */
    double scale;                        /* this machine against the constants' */
    double timed, expected;              /* ns of the samples */
    uint64_t look_ticks;                 /* when the next look is due */
    uint64_t seen, library_seen;         /* of at_governor.modelled and library */
    uint64_t timed_from, timed_cost;     /* the sample that is being taken */
    uint64_t timing;                     /* ticks that reading the clock takes */
    double code_s, spans_s, arming_s, library_s; /* ever */
    uint64_t demotions, promotions, calls;
    double exceptions_retry;
    int exceptions_failures;
    int looking, paused;
    CodeInfo *hand;                      /* where the next look for something to promote begins */
    uint32_t touched_count;
    CodeInfo *touched[TOUCHED];          /* codes whose cost changed since the last look */
} g = {.budget = 1, .scale = 1};

static double clock_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int governor_limits(void) { return g.budget < 1; }
static double seconds(double ns) { return ns * g.scale * SAFETY * 1e-9; }

static uint64_t timing(void)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 16; i++) {
        uint64_t from = ring_ticks(), took = ring_ticks() - from;
        least = took < least ? took : least;
    }
    return least;
}

void governor_begin(double budget)
{
    g.timing = timing();
    g.budget = budget;
    g.cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    g.promised = g.cpu_heat = g.spans_heat = g.library_heat = g.code_heat = g.arming = 0;
    g.credit = budget * WINDOW_S;
    g.looked = g.promoted = clock_s(CLOCK_MONOTONIC);
    g.code_s = g.spans_s = g.arming_s = g.library_s = 0;
    g.seen = at_governor.modelled;
    g.library_seen = at_governor.library;
    g.look_ticks = 0;
    for (uint32_t i = 0; i < g.touched_count; i++)
        g.touched[i]->use.touched = 0;
    g.touched_count = 0;
    at_governor.spans = 0;
}

void governor_touch(CodeInfo *info)
{
    if (g.touched_count == TOUCHED)
        return; /* its cost is counted at the next look, or the one after it */
    info->use.touched = 1;
    g.touched[g.touched_count++] = info;
}

void governor_arming(uint64_t ticks) { g.arming += (double)ticks / (double)ring_rate(); }

/* -- what things cost ------------------------------------------------------------------------------------------------ */

static void cool(CodeUse *use)
{
    double age = g.cpu - use->cooled;
    float left = age > 0 ? (float)exp(-age / WINDOW_S) : 1.0f;
    if (!use->cooled || use->since > g.cpu)
        use->since = g.cpu; /* new, or another process's */
    use->calls_heat *= left;
    use->lines_heat *= left;
    use->count_heat *= left;
    use->cooled = g.cpu;
}

static double heat_of(const CodeUse *use) { return (double)use->calls_heat + (double)use->lines_heat; }

/* What its heats will have grown by when a window has passed since it was promoted. */
static double growth(const CodeUse *use)
{
    double age = g.cpu - use->since;
    return age > 4 * WINDOW_S ? 1 : 1 / (1 - exp(-fmax(age, LEAST_S) / WINDOW_S));
}

/* What was counted of one code object since the last look becomes heat. */
static void fold(CodeUse *use)
{
    cool(use);
    if (use->calls && use->lines_cost) { /* for the day when they are not recorded */
        float seen = (float)use->lines_cost / (float)use->calls;
        use->lines_per_call += (seen - use->lines_per_call) * (use->lines_per_call > 0 ? 0.25f : 1.0f);
    }
    use->calls_heat += (float)seconds(use->calls_cost);
    use->lines_heat += (float)seconds(use->lines_cost);
    use->count_heat += (float)use->calls;
    g.calls += use->calls;
    use->calls_cost = use->lines_cost = use->calls = 0;
    use->touched = 0;
}

/* What share of the samples' expected time they took. Few samples, or one that another process interrupted, say little: where code is
 * seldom recorded, caches are cold, and that is not how it would be if more were. */
static void rescale(void)
{
    if (g.expected < SAMPLES_NS)
        return;
    double measured = fmin(fmax(g.timed / g.expected, 0.3), SCALE_MOST);
    g.scale += (measured - g.scale) * 0.3;
    g.timed /= 2;
    g.expected /= 2;
}

/* CPU time and costs since the last look; returns the CPU time. */
static double measure(void)
{
    double cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID), passed = fmax(cpu - g.cpu, 0), left = exp(-passed / WINDOW_S);
    double code = seconds((double)(at_governor.modelled - g.seen)), spans = at_governor.spans * fmin(g.scale, SCALE_SPANS) * 1e-9;
    double library = (double)(at_governor.library - g.library_seen) * fmin(g.scale, SCALE_LIBRARY) * SAFETY * 1e-9;
    g.cpu = cpu;
    rescale();
    for (uint32_t i = 0; i < g.touched_count; i++)
        fold(&g.touched[i]->use);
    g.touched_count = 0;
    g.promised *= left;
    g.cpu_heat = g.cpu_heat * left + passed;
    g.code_heat = g.code_heat * left + code;
    g.spans_heat = g.spans_heat * left + spans;
    g.library_heat = g.library_heat * left + library;
    g.code_s += code;
    g.spans_s += spans;
    g.library_s += library;
    g.arming_s += g.arming;
    double earned = fmax(g.budget * passed - spans, g.budget * passed * SPANS_LEAVE);
    double credit = g.credit; /* at the start there is more */
    g.credit += earned - code - library - g.arming;
    g.credit = fmin(fmax(g.credit, -g.budget * CREDIT_S), fmax(g.budget * CREDIT_S, credit));
    g.seen = at_governor.modelled;
    g.library_seen = at_governor.library;
    g.arming = 0;
    at_governor.spans = 0;
    return passed;
}

/* Of the last window, s: what code may cost. */
static double allowance(void)
{
    return fmax(g.budget * g.cpu_heat - g.spans_heat, g.budget * g.cpu_heat * SPANS_LEAVE);
}

/* -- shedding -------------------------------------------------------------------------------------------------------- */

typedef struct {
    CodeInfo *info; /* NULL: exceptions in code that is not recorded */
    uint8_t to;     /* level */
    double key, saved;
} Candidate;

static struct {
    Candidate all[CANDIDATES];
    int count;
} found;

static int hotter(const void *a, const void *b)
{
    double x = ((const Candidate *)a)->key, y = ((const Candidate *)b)->key;
    return (x < y) - (x > y);
}

static void offer(CodeInfo *info, uint8_t to, double key, double saved)
{
    if (found.count < CANDIDATES)
        found.all[found.count++] = (Candidate){info, to, key, saved};
}

static int focused(const CodeUse *use) { return use->focus_until > g.looked; }
static int lines_of(const CodeInfo *info) { return info->sets.count > 1 ? info->sets.count : 1; }

/* The key is what one line of source costs: what runs often within a request says little each time. */
static void offer_code(CodeInfo *info, double least, int pinned)
{
    CodeUse *use = &info->use;
    if (!info->level || focused(use) != pinned)
        return;
    double grown = growth(use), calls = (double)use->calls_heat * grown, key = calls / CALL_WORTH;
    if (info->level == LEVEL_LINES && (double)use->lines_heat > least) {
        double lines = (double)use->lines_heat * grown, each = lines / lines_of(info), both = (lines + calls) / (lines_of(info) + CALL_WORTH);
        offer(info, LEVEL_CALLS, each, lines);
        key = both > each ? both : key;
    }
    if (calls > least)
        offer(info, LEVEL_SPANS, key, calls);
}

static void offer_exceptions(double least)
{
    double saved = g.library_heat / 2;
    if (events_exceptions && saved > least)
        offer(NULL, 0, events_exceptions == EXCEPTIONS_ALL ? saved : saved / RAISED_WORTH, saved);
}

static void blame(CodeUse *use)
{
    double window = fmax(g.cpu_heat, LOOK_S) / growth(use), share = fmin(heat_of(use) / window, 1); /* a burst says more */
    int again = use->promoted && g.looked - use->promoted < FORGIVEN_S && share > HEAVY * g.budget;
    use->failures = (uint8_t)(again ? use->failures + (use->failures < RETRIES) : 0);
    use->retry_at = g.looked + FIRST_RETRY_S * (double)(1 << use->failures);
    use->shed_heat = (float)share;
    use->shed_calls = (float)fmin((double)use->calls_heat / window, 1);
    use->shed_at = g.looked;
}

static void lower(const Candidate *candidate)
{
    if (candidate->info) {
        blame(&candidate->info->use);
        codes_set_level(candidate->info, candidate->to, CAUSE_BUDGET);
    } else {
        g.exceptions_failures += g.exceptions_failures < RETRIES;
        g.exceptions_retry = g.looked + FIRST_RETRY_S * (double)(1 << g.exceptions_failures);
        monitoring_set_exceptions(events_exceptions - 1);
    }
    g.demotions++;
}

/* Lowers the hottest until what is left costs no more than `most`; returns what is left. */
static double shed_until(double left, double most, int pinned)
{
    if (left <= most)
        return left;
    found.count = 0;
    for (CodeInfo *info = codes_first(); info; info = codes_next(info))
        offer_code(info, most / 256, pinned);
    if (!pinned)
        offer_exceptions(most / 16);
    qsort(found.all, (size_t)found.count, sizeof *found.all, hotter);
    for (int i = 0; i < found.count && left > most; i++) {
        const Candidate *candidate = &found.all[i];
        const CodeInfo *info = candidate->info;
        if (info && info->own <= candidate->to)
            continue;
        left -= candidate->saved;
        if (info && info->own == LEVEL_LINES && !candidate->to)
            left -= (double)info->use.lines_heat * growth(&info->use);
        lower(candidate);
    }
    return left;
}

/* s per window, as it will be. */
static double of_all_code(void)
{
    double all = 0;
    for (CodeInfo *info = codes_first(); info; info = codes_next(info)) {
        if (!info->level || heat_of(&info->use) <= 0)
            continue;
        cool(&info->use);
        all += heat_of(&info->use) * growth(&info->use);
    }
    return all;
}

static void shed(void)
{
    double used = of_all_code() + g.library_heat, left = shed_until(used, allowance() * CALM, 0);
    if (left > allowance())
        left = shed_until(left, allowance(), 1); /* the reserve is used up too */
    if (left >= used)
        return; /* arming did it: nothing more is armed until that is paid */
    g.code_heat = fmin(g.code_heat, fmax(left, 0)); /* what was shed costs nothing any more, */
    g.credit = fmax(g.credit, -DEBT * g.budget * CREDIT_S); /* and is not held against what is left */
}

/* -- promoting ------------------------------------------------------------------------------------------------------- */

static uint8_t wanted(const CodeInfo *info) { return info->lines ? LEVEL_LINES : LEVEL_CALLS; }

/* s per window that one level more will cost, as far as can be known. */
static double predicted(const CodeInfo *info)
{
    const CodeUse *use = &info->use;
    if (!info->own) {
        double age = g.looked - use->shed_at; /* nothing was seen of it since: what was known of it fades */
        return (double)use->shed_calls * g.cpu_heat * exp2(-age / (FADE_S * (double)(1 << use->failures)));
    }
    double line = (double)use->lines_per_call > 0 ? (double)use->lines_per_call : (double)(COST_LINE * LINES_ASSUMED) * info->sets.count;
    return seconds((double)use->count_heat * line);
}

static void offer_promotion(CodeInfo *info, double headroom, double reserve)
{
    CodeUse *use = &info->use;
    int pinned = focused(use);
    if (info->own >= wanted(info) || use->retry_at > g.looked)
        return;
    cool(use);
    double cost = predicted(info);
    if (cost < (pinned ? reserve : headroom))
        offer(info, (uint8_t)(pinned ? wanted(info) : info->own + 1), pinned ? 1 : -cost / (info->own ? lines_of(info) : CALL_WORTH), cost);
}

static void raise_exceptions(double headroom)
{
    if (events_exceptions < EXCEPTIONS_ALL && headroom > 0 && g.looked > g.exceptions_retry)
        monitoring_set_exceptions(events_exceptions + 1);
}

static void promote(void)
{
    double used = g.code_heat + g.library_heat + g.promised, headroom = allowance() * CALM - used;
    double reserve = allowance(); /* of code in focus: others go for it */
    int looked_at = 0, promoted = 0;
    g.promoted = g.looked;
    if (reserve <= 0)
        return;
    raise_exceptions(headroom);
    found.count = 0;
    CodeInfo *info = codes_resume();
    for (; info && looked_at < EXAMINED_AT_ONCE; info = codes_next(info), looked_at++)
        offer_promotion(info, headroom, reserve);
    codes_pause_at(info);
    qsort(found.all, (size_t)found.count, sizeof *found.all, hotter); /* the cheapest first */
    for (int i = 0; i < found.count && promoted < PROMOTED_AT_ONCE; i++) {
        const Candidate *candidate = &found.all[i];
        int pinned = focused(&candidate->info->use);
        if (candidate->saved > (pinned ? reserve : headroom))
            continue;
        headroom -= candidate->saved;
        reserve -= candidate->saved;
        candidate->info->use.promoted = g.looked;
        candidate->info->use.since = g.cpu;
        g.promised += candidate->saved;
        codes_set_level(candidate->info, candidate->to, pinned ? CAUSE_FOCUS : CAUSE_COLD);
        promoted++;
        g.promotions++;
    }
}

void governor_set_budget(double budget)
{
    g.budget = budget;
    g.credit = fmin(g.credit, budget * CREDIT_S);
    if (governor_limits())
        return;
    for (CodeInfo *info = codes_first(); info; info = codes_next(info))
        if (info->own < wanted(info))
            codes_set_level(info, wanted(info), CAUSE_COLD);
    if (events_exceptions < EXCEPTIONS_ALL)
        monitoring_set_exceptions(EXCEPTIONS_ALL);
}

/* -- looking --------------------------------------------------------------------------------------------------------- */

static void look(void)
{
    g.looked = clock_s(CLOCK_MONOTONIC);
    measure();
    if (governor_limits() && events_level > LEVEL_SPANS) {
        if (g.credit < 0)
            shed();
        else if (g.looked - g.promoted > PROMOTE_S && g.credit > CALM * g.budget * CREDIT_S)
            promote();
    }
    g.look_ticks = ring_ticks() + (uint64_t)(LOOK_S * (double)ring_rate());
}

void governor_pause(int paused)
{
    if (paused)
        governor_look();
    else if (g.paused)
        g.cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    g.paused = paused;
}

void governor_look(void)
{
    if (!at_ring.stretch || g.looking || g.paused)
        return;
    PyObject *pending = PyErr_GetRaisedException();
    g.looking = 1;
    look();
    g.looking = 0;
    PyErr_SetRaisedException(pending);
}

/* Neither a loop's rhythm nor an event's kind decides which is drawn. */
static int32_t next_sample(uint64_t ticks) { return 32 + (int32_t)((ticks * UINT64_C(0x9E3779B97F4A7C15)) >> 58); }

void governor_time(void)
{
    g.timed_cost = at_governor.modelled;
    g.timed_from = ring_ticks();
}

void governor_timed(void)
{
    uint64_t to = ring_ticks(), cost = at_governor.modelled - g.timed_cost;
    at_governor.countdown = next_sample(to);
    if (cost > COST_DISPATCH && to > g.timed_from + g.timing) {
        double expected = (double)(cost - COST_DISPATCH);
        g.expected += expected;
        g.timed += fmin((double)(to - g.timed_from - g.timing) * 1e9 / (double)ring_rate(), 50 * expected);
    }
    if (to > g.look_ticks || g.touched_count == TOUCHED)
        governor_look();
}

int governor_may_arm(void) { return !governor_limits() || g.credit >= g.arming; }

uint8_t governor_first_level(const CodeInfo *info)
{
    return governor_limits() && g.credit <= 0 ? LEVEL_CALLS : wanted(info);
}

void governor_focus(CodeInfo *info, double how_long)
{
    info->use.focus_until = clock_s(CLOCK_MONOTONIC) + how_long;
    info->use.retry_at = 0;
}

/* -- telling --------------------------------------------------------------------------------------------------------- */

PyObject *governor_usage(void)
{
    int levels[3] = {0};
    for (CodeInfo *info = codes_first(); info; info = codes_next(info))
        levels[info->level]++;
    double window = fmax(g.cpu_heat, 1e-9);
    return Py_BuildValue("{s:d,s:d,s:d,s:d,s:d,s:d,s:d,s:d,s:d,s:d,s:d,s:i,s:i,s:i,s:i,s:K,s:K,s:K}", "budget", g.budget, "cpu_s", g.cpu, "code_s",
                         g.code_s, "exceptions_s", g.library_s, "spans_s", g.spans_s, "arming_s", g.arming_s, "code_share",
                         g.code_heat / window, "exceptions_share", g.library_heat / window, "spans_share", g.spans_heat / window, "credit_s",
                         g.credit, "scale", g.scale, "at_spans", levels[0], "at_calls", levels[1], "at_lines", levels[2], "exceptions",
                         events_exceptions, "demotions", g.demotions, "promotions", g.promotions, "calls", g.calls);
}

static PyObject *describe_outside(const Candidate *one)
{
    const PyCodeObject *code = one->info->code;
    return Py_BuildValue("(OOiI)", code->co_filename, code->co_qualname, code->co_firstlineno, one->info->use.outside);
}

static PyObject *describe_hot(const Candidate *one)
{
    const CodeInfo *info = one->info;
    double window = fmax(g.cpu_heat, 1e-9);
    return Py_BuildValue("(OOiidd)", info->code->co_filename, info->code->co_qualname, info->code->co_firstlineno, (int)info->level,
                         (double)info->use.count_heat / window, info->level ? one->saved / window : (double)info->use.shed_heat);
}

/* The hottest of what was offered, as `describe` says it. */
static PyObject *list_found(Py_ssize_t most, PyObject *(*describe)(const Candidate *))
{
    qsort(found.all, (size_t)found.count, sizeof *found.all, hotter);
    PyObject *list = PyList_New(0);
    for (int i = 0; list && i < found.count && i < most; i++) {
        PyObject *one = describe(&found.all[i]);
        if (!one || PyList_Append(list, one) < 0)
            Py_CLEAR(list);
        Py_XDECREF(one);
    }
    return list;
}

PyObject *governor_hot(Py_ssize_t most)
{
    found.count = 0;
    for (CodeInfo *info = codes_first(); info; info = codes_next(info)) {
        cool(&info->use);
        double heat = info->level ? heat_of(&info->use) : (double)info->use.shed_heat * g.cpu_heat;
        if (heat > 0)
            offer(info, 0, heat, heat_of(&info->use));
    }
    return list_found(most, describe_hot);
}

PyObject *governor_outside(Py_ssize_t most)
{
    found.count = 0;
    for (CodeInfo *info = codes_first(); info; info = codes_next(info))
        if (info->use.outside)
            offer(info, 0, info->use.outside, 0);
    return list_found(most, describe_outside);
}

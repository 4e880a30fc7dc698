/* What stands around a library's function, without a frame of its own. */
#ifndef AFTERTRACE_AROUND_H
#define AFTERTRACE_AROUND_H

#include "template.h"

int around_init(PyObject *module); /* adds Around, call_through(), watch_suppression() and suppressed(); 0 or -1 */

/* suppressed.c */
int suppressed_init(PyObject *module);

/* Whether OpenTelemetry, once the program has it, wants no instrumentation here: 1, 0, or -1 with an exception (of the program's: a
 * time limit that struck meanwhile). */
int suppressed_here(void);
int module_is_loaded(PyObject *name); /* in sys.modules; no exceptions */

#endif

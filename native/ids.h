/* Random ids for traces and spans: fast, seeded by the kernel, another sequence in a forked child. */
#ifndef AFTERTRACE_IDS_H
#define AFTERTRACE_IDS_H

#include <stdint.h>

uint64_t ids_next(void); /* never zero; under the GIL */

#endif

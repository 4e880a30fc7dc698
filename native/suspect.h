/* Whether bytes of a record may hold a secret (D5), for the agent. */
#ifndef AFTERTRACE_SUSPECT_H
#define AFTERTRACE_SUSPECT_H

#include <stddef.h>
#include <stdint.h>

int suspect(const uint8_t *data, size_t n);

#endif

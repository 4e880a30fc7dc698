/* Objects whose attributes are told already, in this trace and sub-buffer: as long as they are as they were then, they are only named
 * again. */
#ifndef AFTERTRACE_TOLD_H
#define AFTERTRACE_TOLD_H

#include <Python.h>

#define TOLD_DEPTH 2 /* levels below an object that its fingerprint covers: whoever wants more is told anew */

/* Whether it was told as deep as this, and is as it was by its fingerprint. */
int told_is(const PyObject *o, uint32_t fingerprint, unsigned depth);

/* The fingerprint with which it was told in this sub-buffer last; 0: it was not, or that is not known. */
uint32_t told_as(const PyObject *o);

void told_set(const PyObject *o, uint32_t fingerprint, unsigned depth);

/* It was told otherwise: who refers to it would get that. */
void told_forget(const PyObject *o);

#endif

/* What spans of one kind are born with, written once: name, scope and attributes as the ring has them. */
#ifndef AFTERTRACE_TEMPLATE_H
#define AFTERTRACE_TEMPLATE_H

#include "span_type.h"

/* Two fit into one SPAN_START: what is told of a statement, and of where it went (its attributes alone). */
#define TEMPLATE_ROOM 4000
#define TEMPLATE_ATTRIBUTES 48

typedef struct {
    PyObject_VAR_HEAD
    PyObject *name;      /* exact str */
    uint32_t redaction;  /* the number of the rules by which it was redacted */
    uint16_t head;       /* bytes of name and scope; the rest are attributes */
    uint8_t kind, count; /* of attributes */
    uint8_t data[];
} Template;

extern PyTypeObject TemplateType;

/* span_birth.c: a child that has begun; base: more attributes, or NULL. New reference, or NULL with an exception. */
Span *span_born(const Template *template, const Template *base, const Span *parent);

/* Templates by text: `make(text, variant)` is asked for what is new. */
#define KNOWN_VARIANTS 2

typedef struct {
    PyObject_HEAD
    PyObject *make;
    PyObject *found[KNOWN_VARIANTS]; /* dict: copies of texts -> Template or None */
} Known;

extern PyTypeObject KnownType;

/* Borrowed; NULL: it is not known. `text` is an exact str. No exceptions, runs no code. */
Template *known_find(const Known *known, PyObject *text, int variant);

int template_init(PyObject *module); /* adds Template and Known; 0 or -1 */

#endif

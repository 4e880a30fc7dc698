/* Requests that come in: what asgi.c and wsgi.c have in common. Reads what servers put into scopes and environs by exact layout (dict, list,
 * tuple, str, bytes; subclasses by content); what is odd is left out. */
#ifndef AFTERTRACE_REQUEST_H
#define AFTERTRACE_REQUEST_H

#include "span_type.h"

#define KIND_SERVER 2
#define URL_MAX 2048 /* characters of a path in an attribute */

/* -- names: interned, or methods -- */

typedef struct {
    const char *text;
    PyObject *str;
} Word;

int words_init(Word *words, size_t count); /* 0 or -1 */

typedef struct {
    const char *text, *before_path;
    PyObject *str, *prefix; /* "GET", "GET " */
} Method;

const Method *method_of(PyObject *method); /* as a span is named: HTTP, where it is none of those that are known */
PyObject *method_attribute(const Method *method); /* borrowed: _OTHER for HTTP */

PyObject *get(PyObject *dict, PyObject *key); /* borrowed, or NULL, too where a key's __eq__ could run: what is borrowed stays */
PyObject *text_of(PyObject *str);             /* what is a str and not empty, else NULL */

/* -- attributes on their way into a record -- */

#define TOLD_MAX 12

typedef struct {
    PyObject *pairs[2 * TOLD_MAX]; /* keys borrowed, values owned */
    Py_ssize_t count;
} Told;

enum Key {
    KEY_METHOD, KEY_SCHEME, KEY_PATH, KEY_VERSION, KEY_ADDRESS, KEY_PORT, KEY_CLIENT, KEY_AGENT, KEY_ROUTE, KEY_STATUS, KEY_ERROR,
    WORD_OTHER, KEYS
};

void tell(Told *told, enum Key key, PyObject *value);     /* a new reference; NULL: nothing to tell */
void tell_own(Told *told, enum Key key, PyObject *value); /* takes the reference over; NULL: that failed */
void told_clear(Told *told);

PyObject *host_of(PyObject *header);  /* the name in a Host header, without port and brackets; new reference */
PyObject *path_told(PyObject *path);  /* at most URL_MAX characters; new reference */

/* -- the caller's context, by propagation's rules -- */

/* 1: a traceparent that counts; 0: it must be ignored. */
int parse_traceparent(const uint8_t *text, size_t n, Caller *caller);

/* Whether a traceparent alone says all: it is read at all, and no sampler overrules its flags or those of roots. */
int propagation_is_plain(void);

/* propagation's functions. New references, or NULL with an exception. */
PyObject *read_remote(PyObject *parents, PyObject *states);
PyObject *sampled_root(void);
PyObject *parse_baggage(PyObject *headers);
PyObject *enter_baggage(PyObject *header); /* Py_None where there is none */
int leave_baggage(PyObject *entered);      /* 0 or -1 */

/* -- headers, as ASGI has them: a list of pairs of bytes -- */

PyObject *item(PyObject *sequence, Py_ssize_t at); /* of a list or tuple, borrowed; NULL: there is none */

enum Header { HEADER_UNWANTED, HEADER_TRACEPARENT, HEADER_TRACESTATE, HEADER_BAGGAGE, HEADER_HOST, HEADER_USER_AGENT };

typedef struct {
    PyObject *parent; /* the first traceparent, borrowed: bytes */
    unsigned parents, states, bags;
} Headers;

Headers read_headers(PyObject *headers, Told *told);                    /* tells host and user agent */
PyObject *header_values(PyObject *headers, enum Header wanted);         /* a list of str, or NULL with an exception */

/* Fills `caller`, or else `parent` (new reference) as Span takes it. 1: `caller`; 0: `parent`; -1: an exception. */
int headers_parent(PyObject *headers, const Headers *given, Caller *caller, PyObject **parent);

/* -- how it ends -- */

/* Writes name, route, status and error. `path`: of the route, or NULL; `error_type`: of an exception, or NULL; fails: it is an error. */
void tell_response(Span *span, const Method *method, PyObject *path, long status, PyObject *error_type, int fails);

PyObject *error_type_of(PyObject *error); /* new reference or NULL with an exception */

int asgi_init(PyObject *module);
int wsgi_init(PyObject *module);
int contexts_init(PyObject *module);

#endif

/* What requests of ASGI and WSGI have in common: attributes, the caller's context, how a response is told. */
#include "request.h"
#include "values_impl.h" /* lookup() */

Word request_words[KEYS] = {
    [KEY_METHOD] = {"http.request.method", NULL}, [KEY_SCHEME] = {"url.scheme", NULL}, [KEY_PATH] = {"url.path", NULL},
    [KEY_VERSION] = {"network.protocol.version", NULL}, [KEY_ADDRESS] = {"server.address", NULL}, [KEY_PORT] = {"server.port", NULL},
    [KEY_CLIENT] = {"client.address", NULL}, [KEY_AGENT] = {"user_agent.original", NULL}, [KEY_ROUTE] = {"http.route", NULL},
    [KEY_STATUS] = {"http.response.status_code", NULL}, [KEY_ERROR] = {"error.type", NULL}, [WORD_OTHER] = {"_OTHER", NULL},
};

static Method METHODS[] = {
    {"GET", "GET ", NULL, NULL}, {"POST", "POST ", NULL, NULL}, {"PUT", "PUT ", NULL, NULL}, {"DELETE", "DELETE ", NULL, NULL},
    {"PATCH", "PATCH ", NULL, NULL}, {"HEAD", "HEAD ", NULL, NULL}, {"OPTIONS", "OPTIONS ", NULL, NULL},
    {"CONNECT", "CONNECT ", NULL, NULL}, {"TRACE", "TRACE ", NULL, NULL}, {"QUERY", "QUERY ", NULL, NULL},
    {"HTTP", "HTTP ", NULL, NULL}, /* the last: any other */
};
#define METHODS_COUNT (sizeof METHODS / sizeof *METHODS)

/* Of propagation, as set_propagation() gave them; owned. */
static struct {
    int plain;
    PyObject *read, *root, *parse_baggage, *enter_baggage, *leave_baggage;
} propagation;

/* -- names -- */

static int word_init(Word *word) { return word->str || (word->str = PyUnicode_InternFromString(word->text)) ? 0 : -1; }

int words_init(Word *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (word_init(&words[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

const Method *method_of(PyObject *method)
{
    const Method *other = &METHODS[METHODS_COUNT - 1];
    if (!method || !PyUnicode_Check(method)) {
        return other;
    }
    for (const Method *known = METHODS; known < other; known++) {
        if (method == known->str || PyUnicode_CompareWithASCIIString(method, known->text) == 0) {
            return known;
        }
    }
    return other;
}

PyObject *method_attribute(const Method *method) { return method == &METHODS[METHODS_COUNT - 1] ? request_words[WORD_OTHER].str : method->str; }

PyObject *get(PyObject *dict, PyObject *key) { return lookup(dict, key); }

PyObject *text_of(PyObject *str) { return str && PyUnicode_Check(str) && PyUnicode_GET_LENGTH(str) ? str : NULL; }

/* -- attributes -- */

void tell_own(Told *told, enum Key key, PyObject *value)
{
    if (!value || told->count >= TOLD_MAX) {
        refuse();
        Py_XDECREF(value);
        return;
    }
    for (Py_ssize_t i = 0; i < told->count; i++) {
        if (told->pairs[2 * i] == request_words[key].str) {
            Py_SETREF(told->pairs[2 * i + 1], value);
            return;
        }
    }
    told->pairs[2 * told->count] = request_words[key].str;
    told->pairs[2 * told->count++ + 1] = value;
}

void tell(Told *told, enum Key key, PyObject *value)
{
    if (value) {
        tell_own(told, key, Py_NewRef(value));
    }
}

void told_clear(Told *told)
{
    while (told->count) {
        Py_DECREF(told->pairs[2 * --told->count + 1]);
    }
}

static int all_digits(PyObject *str, Py_ssize_t from, Py_ssize_t to)
{
    int kind = (int)PyUnicode_KIND(str);
    const void *data = PyUnicode_DATA(str);
    for (Py_ssize_t i = from; i < to; i++) {
        Py_UCS4 c = PyUnicode_READ(kind, data, i);
        if (c < '0' || c > '9') {
            return 0;
        }
    }
    return from < to;
}

static int is_bracket(PyObject *str, Py_ssize_t at)
{
    Py_UCS4 c = PyUnicode_READ_CHAR(str, at);
    return c == '[' || c == ']';
}

PyObject *host_of(PyObject *header)
{
    Py_ssize_t from = 0, length = PyUnicode_GET_LENGTH(header);
    Py_ssize_t colon = PyUnicode_FindChar(header, ':', 0, length, -1);
    Py_ssize_t to = colon >= 0 && all_digits(header, colon + 1, length) ? colon : length;
    while (from < to && is_bracket(header, from)) {
        from++;
    }
    while (to > from && is_bracket(header, to - 1)) {
        to--;
    }
    return PyUnicode_Substring(header, from, to);
}

PyObject *path_told(PyObject *path) { return PyUnicode_Substring(path, 0, URL_MAX); }

/* -- the caller's context -- */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `n` bytes out of twice as many lower-case letters: 0 when one is no hexadecimal digit. `any`: whether one is not 0. */
static int read_hex(const uint8_t *text, uint8_t *to, size_t n, int *any)
{
    int all = 0;
    for (size_t i = 0; i < n; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return 0;
        }
        to[i] = (uint8_t)(high << 4 | low);
        all |= to[i];
    }
    *any = all != 0;
    return 1;
}

static int is_blank(uint8_t c) { return c == ' ' || c == '\t'; }

int parse_traceparent(const uint8_t *text, size_t n, Caller *caller)
{
    enum { HEADER_MAX = 512, LENGTH = 55, KNOWN_FLAGS = 3 /* sampled, random trace id; others must be sent as zero */ };
    uint8_t version;
    int trace, span, any;
    if (n > HEADER_MAX) {
        return 0;
    }
    for (; n && is_blank(*text); text++) {
        n--;
    }
    while (n && is_blank(text[n - 1])) {
        n--;
    }
    if (n < LENGTH || text[2] != '-' || text[35] != '-' || text[52] != '-' || !read_hex(text, &version, 1, &any)
        || !read_hex(text + 3, caller->trace_id, 16, &trace) || !read_hex(text + 36, caller->span_id, 8, &span)
        || !read_hex(text + 53, &caller->flags, 1, &any)) {
        return 0;
    }
    caller->flags &= KNOWN_FLAGS;
    int more = n > LENGTH;
    return version != 0xff && trace && span && (!more || (text[LENGTH] == '-' && version));
}

int propagation_is_plain(void) { return propagation.plain; }

/* What a function of propagation's gives; before there is any, what stands for it. */
static PyObject *ask(PyObject *function, PyObject *first, PyObject *second)
{
    PyObject *args[] = {first, second};
    if (!function) {
        Py_RETURN_NONE;
    }
    return PyObject_Vectorcall(function, args, first ? second ? 2 : 1 : 0, NULL);
}

PyObject *read_remote(PyObject *parents, PyObject *states) { return ask(propagation.read, parents, states); }
PyObject *sampled_root(void) { return ask(propagation.root, NULL, NULL); }
PyObject *parse_baggage(PyObject *headers) { return ask(propagation.parse_baggage, headers, NULL); }
PyObject *enter_baggage(PyObject *header) { return ask(propagation.enter_baggage, header, NULL); }

int leave_baggage(PyObject *entered)
{
    PyObject *result = ask(propagation.leave_baggage, entered, NULL);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

static PyObject *set_propagation(PyObject *module, PyObject *args)
{
    int plain;
    PyObject *read, *root, *parse, *enter, *leave;
    if (!PyArg_ParseTuple(args, "pOOOOO:set_propagation", &plain, &read, &root, &parse, &enter, &leave)) {
        return NULL;
    }
    propagation.plain = plain;
    Py_XSETREF(propagation.read, Py_NewRef(read));
    Py_XSETREF(propagation.root, Py_NewRef(root));
    Py_XSETREF(propagation.parse_baggage, Py_NewRef(parse));
    Py_XSETREF(propagation.enter_baggage, Py_NewRef(enter));
    Py_XSETREF(propagation.leave_baggage, Py_NewRef(leave));
    Py_RETURN_NONE;
}

PyObject *item(PyObject *sequence, Py_ssize_t at)
{
    if (sequence && PyTuple_Check(sequence)) {
        return at < PyTuple_GET_SIZE(sequence) ? PyTuple_GET_ITEM(sequence, at) : NULL;
    }
    return sequence && PyList_Check(sequence) && at < PyList_GET_SIZE(sequence) ? PyList_GET_ITEM(sequence, at) : NULL;
}

/* -- headers, as ASGI has them -- */

static enum Header header_of(PyObject *name)
{
    static const struct {
        const char *name;
        uint8_t length, header;
    } WANTED[] = {{"host", 4, HEADER_HOST}, {"baggage", 7, HEADER_BAGGAGE}, {"tracestate", 10, HEADER_TRACESTATE},
                  {"user-agent", 10, HEADER_USER_AGENT}, {"traceparent", 11, HEADER_TRACEPARENT}};
    if (!name || !PyBytes_Check(name)) {
        return HEADER_UNWANTED;
    }
    for (size_t i = 0; i < sizeof WANTED / sizeof *WANTED; i++) {
        if (PyBytes_GET_SIZE(name) == WANTED[i].length && !memcmp(PyBytes_AS_STRING(name), WANTED[i].name, WANTED[i].length)) {
            return (enum Header)WANTED[i].header;
        }
    }
    return HEADER_UNWANTED;
}

static PyObject *decoded(PyObject *bytes) { return PyUnicode_DecodeLatin1(PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes), NULL); }

static void tell_host(Told *told, PyObject *bytes)
{
    PyObject *text = decoded(bytes);
    tell_own(told, KEY_ADDRESS, text ? host_of(text) : NULL);
    Py_XDECREF(text);
}

Headers read_headers(PyObject *headers, Told *told)
{
    Headers given = {NULL, 0, 0, 0};
    PyObject *pair;
    for (Py_ssize_t i = 0; (pair = item(headers, i)); i++) {
        enum Header header = header_of(item(pair, 0));
        PyObject *value = header ? item(pair, 1) : NULL;
        if (!value || !PyBytes_Check(value)) {
            continue;
        }
        if (header == HEADER_HOST) {
            tell_host(told, value);
        } else if (header == HEADER_USER_AGENT) {
            tell_own(told, KEY_AGENT, decoded(value));
        } else if (header == HEADER_TRACEPARENT) {
            given.parent = given.parents++ ? given.parent : value;
        } else {
            *(header == HEADER_TRACESTATE ? &given.states : &given.bags) += 1;
        }
    }
    return given;
}

PyObject *header_values(PyObject *headers, enum Header wanted)
{
    PyObject *pair, *values = PyList_New(0);
    for (Py_ssize_t i = 0; values && (pair = item(headers, i)); i++) {
        PyObject *value = header_of(item(pair, 0)) == wanted ? item(pair, 1) : NULL;
        if (value && PyBytes_Check(value)) {
            PyObject *text = decoded(value);
            if (!text || PyList_Append(values, text) < 0) {
                Py_CLEAR(values);
            }
            Py_XDECREF(text);
        }
    }
    return values;
}

/* What propagation says of the caller where that takes more than one traceparent. New reference, None: there is none that counts. */
static PyObject *remote_of(PyObject *headers)
{
    PyObject *parents = header_values(headers, HEADER_TRACEPARENT), *states = parents ? header_values(headers, HEADER_TRACESTATE) : NULL;
    PyObject *remote = states ? read_remote(parents, states) : NULL;
    Py_XDECREF(parents);
    Py_XDECREF(states);
    return remote;
}

int headers_parent(PyObject *headers, const Headers *given, Caller *caller, PyObject **parent)
{
    int plain = propagation_is_plain();
    if (plain && given->parents == 1 && !given->states) {
        const char *text = PyBytes_AS_STRING(given->parent);
        if (parse_traceparent((const uint8_t *)text, (size_t)PyBytes_GET_SIZE(given->parent), caller)) {
            return 1;
        }
    } else if (given->parents) {
        *parent = remote_of(headers);
        if (*parent != Py_None) {
            return *parent ? 0 : -1;
        }
        Py_CLEAR(*parent);
    }
    *parent = plain ? Py_NewRef(Py_None) : sampled_root();
    return *parent ? 0 : -1;
}

/* -- how it ends -- */

PyObject *error_type_of(PyObject *error) { return PyType_GetQualName(Py_TYPE(error)); }

void tell_response(Span *span, const Method *method, PyObject *path, long status, PyObject *error_type, int fails)
{
    Told told = {.count = 0};
    if (path) {
        PyObject *name = PyUnicode_Concat(method->prefix, path);
        if (name) {
            span_rename(span, name);
            Py_DECREF(name);
        } else {
            refuse();
        }
        tell(&told, KEY_ROUTE, path);
    }
    if (status) {
        tell_own(&told, KEY_STATUS, PyLong_FromLong(status));
    }
    if (error_type) {
        tell(&told, KEY_ERROR, error_type);
    } else if (fails) {
        tell_own(&told, KEY_ERROR, PyUnicode_FromFormat("%ld", status));
    }
    if (told.count) {
        span_set(span, told.pairs, told.count);
    }
    told_clear(&told);
    if (fails) {
        span_set_error(span);
    }
}

static PyMethodDef FUNCTIONS[] = {
    {"set_propagation", set_propagation, METH_VARARGS, "How the caller's context is read: whether plainly, and by what where not."},
    {NULL, NULL, 0, NULL},
};

int requests_init(PyObject *module)
{
    if (words_init(request_words, KEYS) < 0) {
        return -1;
    }
    for (Method *method = METHODS; method < METHODS + METHODS_COUNT; method++) {
        method->str = PyUnicode_InternFromString(method->text);
        method->prefix = PyUnicode_InternFromString(method->before_path);
        if (!method->str || !method->prefix) {
            return -1;
        }
    }
    if (PyModule_AddFunctions(module, FUNCTIONS) < 0 || asgi_init(module) < 0 || wsgi_init(module) < 0) {
        return -1;
    }
    return contexts_init(module);
}

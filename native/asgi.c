/* A request into an ASGI application: its span, from a scope, and the `send` that notes its response's status. */
#include "request.h"

#include <structmember.h>

/* One of the two addresses by which a request under way is found. */
typedef struct Place {
    struct Place *next;
    const void *address; /* NULL: not there */
    struct Request *request;
} Place;

typedef struct Request {
    PyObject_HEAD
    vectorcallfunc vectorcall; /* it is the program's send */
    PyObject *send;
    PyObject *scope;           /* the innermost copy: the route will stand there. What is here of the program's is held until the end. */
    PyObject *outer, *headers; /* as they came; NULL: it has ended */
    const Method *method;
    long status; /* 0: no response has begun */
    Span *span;
    PyObject *token, *bags; /* of attach(); of enter_baggage() or NULL */
    Place by_scope, by_headers;
} Request;

enum {
    TYPE, HTTP, METHOD, SCHEME, DEFAULT_SCHEME, PATH, VERSION, NOTHING, SERVER, CLIENT, HEADERS, ROUTE, APP_ROOT, STATUS,
    RESPONSE_START, SCOPE_NAME, WORDS
};
static Word words[WORDS] = {
    [TYPE] = {"type", NULL},       [HTTP] = {"http", NULL},     [METHOD] = {"method", NULL},
    [SCHEME] = {"scheme", NULL},   [DEFAULT_SCHEME] = {"http", NULL}, [PATH] = {"path", NULL},
    [VERSION] = {"http_version", NULL}, [NOTHING] = {"", NULL}, [SERVER] = {"server", NULL},
    [CLIENT] = {"client", NULL},   [HEADERS] = {"headers", NULL}, [ROUTE] = {"route", NULL},
    [APP_ROOT] = {"app_root_path", NULL}, [STATUS] = {"status", NULL}, [RESPONSE_START] = {"http.response.start", NULL},
    [SCOPE_NAME] = {"aftertrace.asgi", NULL},
};

/* Requests under way, by the addresses of their scope and of their headers: an application inside another is passed the same scope, or a
 * copy of it. */
#define PLACES 256
static Place *places[PLACES];
static Py_ssize_t under_way;

static Place **places_of(const void *address) { return &places[((uintptr_t)address >> 4) % PLACES]; }

static void add_place(Place *place, Request *request, const void *address)
{
    Place **first = places_of(address);
    *place = (Place){.next = *first, .address = address, .request = request};
    *first = place;
}

static void remove_place(Place *place)
{
    if (place->address) {
        Place **at = places_of(place->address);
        while (*at != place) {
            at = &(*at)->next;
        }
        *at = place->next;
        place->address = NULL;
    }
}

/* The youngest that has come with it, borrowed; or NULL. */
static Request *under_way_with(const void *address)
{
    Place *place = address ? *places_of(address) : NULL;
    while (place && place->address != address) {
        place = place->next;
    }
    return place ? place->request : NULL;
}

static PyObject *value_of(PyObject *dict, int word) { return get(dict, words[word].str); }

static int is_word(PyObject *o, int word)
{
    return o == words[word].str || (o && PyUnicode_Check(o) && PyUnicode_CompareWithASCIIString(o, words[word].text) == 0);
}

/* -- the beginning -- */

static int is_zero(PyObject *number) { return (((PyLongObject *)number)->long_value.lv_tag & 3) == 1; }

static void tell_scope(PyObject *scope, const Method *method, Told *told)
{
    PyObject *scheme = value_of(scope, SCHEME), *path = value_of(scope, PATH), *version = value_of(scope, VERSION);
    PyObject *server = value_of(scope, SERVER), *client = value_of(scope, CLIENT);
    tell(told, KEY_METHOD, method_attribute(method));
    tell(told, KEY_SCHEME, scheme ? scheme : words[DEFAULT_SCHEME].str);
    if (path && PyUnicode_Check(path)) {
        tell_own(told, KEY_PATH, path_told(path));
    }
    tell(told, KEY_VERSION, version ? version : words[NOTHING].str);
    tell(told, KEY_ADDRESS, item(server, 0));
    PyObject *port = item(server, 1);
    if (port && ((PyLong_Check(port) && !is_zero(port)) || text_of(port))) {
        tell(told, KEY_PORT, port);
    }
    tell(told, KEY_CLIENT, item(client, 0));
}

/* Makes the received baggage current. 0 or -1. */
static int take_baggage(Request *request, const Headers *given)
{
    PyObject *values = given->bags ? header_values(request->headers, HEADER_BAGGAGE) : NULL;
    if (!values) {
        return given->bags ? -1 : 0;
    }
    PyObject *header = parse_baggage(values);
    request->bags = header ? enter_baggage(header) : NULL;
    Py_DECREF(values);
    Py_XDECREF(header);
    return request->bags ? 0 : -1;
}

static int begin(Request *request)
{
    Caller caller;
    Told told = {.count = 0};
    PyObject *parent = NULL;
    tell_scope(request->scope, request->method, &told);
    Headers given = read_headers(request->headers, &told);
    int remote = headers_parent(request->headers, &given, &caller, &parent);
    if (remote >= 0 && take_baggage(request, &given) == 0) {
        Attributes attributes = {.pairs = told.pairs, .left = told.count};
        request->span = span_start(request->method->str, KIND_SERVER, parent, remote ? &caller : NULL, &attributes, words[SCOPE_NAME].str);
        request->token = request->span ? span_attach(request->span) : NULL;
    }
    told_clear(&told);
    Py_XDECREF(parent);
    return request->token ? 0 : -1;
}

static void set_out(Request *request)
{
    add_place(&request->by_scope, request, request->outer);
    if (request->headers) {
        add_place(&request->by_headers, request, request->headers);
    }
    under_way++;
}

/* Lets go of what is the program's. */
static void forget(Request *request)
{
    under_way -= request->by_scope.address != NULL;
    remove_place(&request->by_scope);
    remove_place(&request->by_headers);
    Py_CLEAR(request->scope);
    Py_CLEAR(request->outer);
    Py_CLEAR(request->headers);
}

/* 0, or -1 with what leaving the baggage raised, where that is not ours to expect. */
static int leave(Request *request)
{
    int result = 0;
    if (request->token) {
        span_detach(request->token);
        Py_CLEAR(request->token);
    }
    if (request->bags) {
        result = leave_baggage(request->bags);
        if (result < 0 && PyErr_ExceptionMatches(PyExc_ValueError)) { /* a coroutine that is thrown away ends in another context */
            PyErr_Clear();
            result = 0;
        }
        Py_CLEAR(request->bags);
    }
    return result;
}

static PyObject *request_call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames);

static PyObject *request_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    if (PyVectorcall_NARGS(nargsf) != 2 || kwnames || !PyDict_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "a request takes a scope and its send");
        return NULL;
    }
    Request *request = PyObject_GC_New(Request, (PyTypeObject *)type);
    if (!request) {
        return NULL;
    }
    memset((char *)request + sizeof(PyObject), 0, sizeof(Request) - sizeof(PyObject));
    request->vectorcall = request_call;
    request->send = Py_NewRef(args[1]);
    request->scope = Py_NewRef(args[0]);
    request->outer = Py_NewRef(args[0]);
    request->headers = Py_XNewRef(value_of(args[0], HEADERS));
    request->method = method_of(value_of(args[0], METHOD));
    PyObject_GC_Track(request);
    if (begin(request) == 0) {
        set_out(request);
        return (PyObject *)request;
    }
    PyObject *error = PyErr_GetRaisedException();
    if (request->span) {
        span_end(request->span, NULL);
    }
    if (leave(request) < 0) {
        PyErr_Clear();
    }
    Py_DECREF(request);
    PyErr_SetRaisedException(error);
    return NULL;
}

/* -- send -- */

static void note(Request *request, PyObject *message)
{
    if (message && PyDict_CheckExact(message) && is_word(value_of(message, TYPE), RESPONSE_START)) {
        PyObject *status = value_of(message, STATUS);
        int overflow = 0;
        if (status && PyLong_Check(status)) { /* an IntEnum's number */
            long value = PyLong_AsLongAndOverflow(status, &overflow);
            request->status = overflow ? request->status : value;
        }
    }
}

/* Gives the program's own awaitable, so that no frame of ours is in what comes of it. */
static PyObject *request_call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Request *request = (Request *)callable;
    note(request, PyVectorcall_NARGS(nargsf) || (kwnames && PyTuple_GET_SIZE(kwnames)) ? args[0] : NULL);
    if (!request->send) { /* taken by the collector */
        return PyErr_Format(PyExc_RuntimeError, "send is gone");
    }
    return PyObject_Vectorcall(request->send, args, nargsf, kwnames);
}

/* -- the end -- */

/* The template of the path as Starlette and FastAPI leave it in the scope; `below_mount` says it where mounts are before it. New
 * reference; NULL: none, maybe with an exception. */
static PyObject *route_of(Request *request, PyObject *below_mount)
{
    PyObject *found = value_of(request->scope, ROUTE);
    if (!found) {
        return NULL;
    }
    if (value_of(request->scope, APP_ROOT)) {
        PyObject *path = PyObject_CallOneArg(below_mount, request->scope);
        if (path && !text_of(path)) {
            Py_CLEAR(path);
        }
        return path;
    }
    Py_INCREF(found);
    PyObject *path = PyObject_GetAttr(found, words[PATH].str);
    Py_DECREF(found);
    if (!path && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
    if (path && !text_of(path)) {
        Py_CLEAR(path);
    }
    return path;
}

static PyObject *request_end(Request *request, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2 || !request->outer) {
        Py_RETURN_NONE;
    }
    PyObject *exception = PyObject_TypeCheck(args[0], (PyTypeObject *)PyExc_Exception) ? args[0] : NULL;
    PyObject *path = route_of(request, args[1]), *error = PyErr_GetRaisedException();
    PyObject *error_type = exception ? error_type_of(exception) : NULL;
    if (exception && !error_type) {
        refuse();
    }
    tell_response(request->span, request->method, path, request->status, error_type, request->status >= 500);
    span_end(request->span, exception);
    Py_XDECREF(path);
    Py_XDECREF(error_type);
    forget(request);
    int left = leave(request);
    if (error) {
        PyErr_SetRaisedException(error);
    }
    if (error || left < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* -- passes() -- */

/* No HTTP request, or one that is traced already. */
static PyObject *passes(PyObject *module, PyObject *scope)
{
    if (!PyDict_Check(scope) || !is_word(value_of(scope, TYPE), HTTP)) {
        Py_RETURN_TRUE;
    }
    Request *outer = under_way ? under_way_with(scope) : NULL;
    if (under_way && !outer) {
        outer = under_way_with(value_of(scope, HEADERS));
    }
    Span *span = outer ? span_current() : NULL;
    if (!span || memcmp(span->context.trace_id, outer->span->context.trace_id, 16)) {
        Py_RETURN_FALSE; /* another request, to which somebody gave the same list of headers */
    }
    Py_SETREF(outer->scope, Py_NewRef(scope)); /* a copy: the route will stand here */
    Py_RETURN_TRUE;
}

/* -- the type -- */

static int traverse(Request *request, visitproc visit, void *arg)
{
    Py_VISIT(request->send);
    Py_VISIT(request->scope);
    Py_VISIT(request->outer);
    Py_VISIT(request->headers);
    Py_VISIT(request->token);
    Py_VISIT(request->bags);
    return 0;
}

static int clear(Request *request)
{
    forget(request);
    Py_CLEAR(request->send);
    Py_CLEAR(request->token);
    Py_CLEAR(request->bags);
    return 0;
}

static void dealloc(Request *request)
{
    PyObject_GC_UnTrack(request);
    clear(request);
    Py_CLEAR(request->span);
    PyObject_GC_Del(request);
}

static PyMethodDef METHODS[] = {
    {"end", (PyCFunction)(void (*)(void))request_end, METH_FASTCALL, "Names the span after its route, which is known by now, and ends it."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject RequestType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "aftertrace._native.AsgiRequest",
    .tp_basicsize = sizeof(Request),
    .tp_dealloc = (destructor)dealloc,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Request, vectorcall),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "A request under way, and its send.",
    .tp_traverse = (traverseproc)traverse,
    .tp_clear = (inquiry)clear,
    .tp_methods = METHODS,
    .tp_vectorcall = request_vectorcall,
};

static PyObject *count_under_way(PyObject *module, PyObject *unused) { return PyLong_FromSsize_t(under_way); }

static PyMethodDef FUNCTIONS[] = {
    {"asgi_under_way", count_under_way, METH_NOARGS, "How many requests are under way."},
    {"asgi_passes", passes, METH_O, "Whether a scope is no HTTP request, or one that is traced already."},
    {NULL, NULL, 0, NULL},
};

int asgi_init(PyObject *module)
{
    if (words_init(words, WORDS) < 0 || PyType_Ready(&RequestType) < 0) {
        return -1;
    }
    if (PyModule_AddFunctions(module, FUNCTIONS) < 0) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "AsgiRequest", (PyObject *)&RequestType);
}

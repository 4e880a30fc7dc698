/* A request into a WSGI application: its span, from an environ; and the `start_response` that notes its response's status. */
#include "request.h"

#include <structmember.h>

typedef struct {
    PyObject_HEAD
    PyObject *environ, *input;     /* the program's, held until the end; NULL: it has ended */
    PyObject *route, *bags, *span; /* route: "" until a framework has told it; bags: the baggage to pass on, or "" */
    PyObject *error;               /* type of what nobody has handled, or NULL */
    const Method *method;
    long status; /* 0: no response has begun */
} Request;

/* The program's start_response. Not the request itself: a response's stand-in holds the request, and must not be in a circle with what
 * holds the response, or it would not end in time. */
typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    Request *request;
    PyObject *start_response;
} Starter;

static PyTypeObject RequestType, StarterType;

enum {
    METHOD, PARENT, STATE, BAGGAGE, INPUT, SCRIPT_NAME, PATH_INFO, SCHEME, DEFAULT_SCHEME, PROTOCOL, HOST, SERVER_NAME, SERVER_PORT,
    CLIENT, AGENT, NOTHING, STATUS, SCOPE_NAME, WORDS
};
static Word words[WORDS] = {
    [METHOD] = {"REQUEST_METHOD", NULL},  [PARENT] = {"HTTP_TRACEPARENT", NULL}, [STATE] = {"HTTP_TRACESTATE", NULL},
    [BAGGAGE] = {"HTTP_BAGGAGE", NULL},   [INPUT] = {"wsgi.input", NULL},        [SCRIPT_NAME] = {"SCRIPT_NAME", NULL},
    [PATH_INFO] = {"PATH_INFO", NULL},    [SCHEME] = {"wsgi.url_scheme", NULL},  [DEFAULT_SCHEME] = {"http", NULL},
    [PROTOCOL] = {"SERVER_PROTOCOL", NULL}, [HOST] = {"HTTP_HOST", NULL},        [SERVER_NAME] = {"SERVER_NAME", NULL},
    [SERVER_PORT] = {"SERVER_PORT", NULL}, [CLIENT] = {"REMOTE_ADDR", NULL},     [AGENT] = {"HTTP_USER_AGENT", NULL},
    [NOTHING] = {"", NULL},               [STATUS] = {"status", NULL},           [SCOPE_NAME] = {"aftertrace.wsgi", NULL},
};

static PyObject *under_way; /* ContextVar: the request that is current, or None */

static PyObject *value_of(PyObject *dict, int word) { return get(dict, words[word].str); }
static PyObject *text(PyObject *dict, int word) { return text_of(value_of(dict, word)); } /* borrowed; NULL: none, or empty */

/* -- the caller's context -- */

/* What propagation says of the caller where that takes more than one traceparent. New reference, None: there is none that counts. */
static PyObject *remote_of(PyObject *environ, PyObject *parent)
{
    PyObject *state = text(environ, STATE);
    PyObject *parents = Py_BuildValue("[O]", parent), *states = Py_BuildValue("[O]", state ? state : words[NOTHING].str);
    PyObject *remote = parents && states ? read_remote(parents, states) : NULL;
    Py_XDECREF(parents);
    Py_XDECREF(states);
    return remote;
}

/* Fills `caller`, or else `parent` (new reference) as Span takes it. 1: `caller`; 0: `parent`; -1: an exception. */
static int find_parent(PyObject *environ, Caller *caller, PyObject **parent)
{
    PyObject *given = text(environ, PARENT);
    int plain = propagation_is_plain();
    if (given && plain && PyUnicode_KIND(given) == PyUnicode_1BYTE_KIND && !text(environ, STATE)) {
        if (parse_traceparent(PyUnicode_1BYTE_DATA(given), (size_t)PyUnicode_GET_LENGTH(given), caller)) {
            return 1;
        }
    } else if (given) {
        *parent = remote_of(environ, given);
        if (*parent != Py_None) {
            return *parent ? 0 : -1;
        }
        Py_CLEAR(*parent);
    }
    Span *here = span_current();
    *parent = here ? Py_NewRef((PyObject *)here) : plain ? Py_NewRef(Py_None) : sampled_root();
    return *parent ? 0 : -1;
}

/* -- attributes -- */

/* The path as it was asked for, decoded; the server gave its bytes as latin-1. New reference, or NULL. */
static PyObject *path_of(PyObject *environ)
{
    PyObject *root = text(environ, SCRIPT_NAME), *info = text(environ, PATH_INFO);
    PyObject *path = PyUnicode_Concat(root ? root : words[NOTHING].str, info ? info : words[NOTHING].str);
    if (path && !PyUnicode_IS_ASCII(path)) {
        PyObject *bytes = PyUnicode_AsEncodedString(path, "latin-1", "replace");
        Py_SETREF(path, bytes ? PyUnicode_DecodeUTF8(PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes), "replace") : NULL);
        Py_XDECREF(bytes);
    }
    if (path) {
        Py_SETREF(path, path_told(path));
    }
    return path;
}

/* A port out of decimal digits, or NULL. */
static PyObject *port_of(PyObject *str)
{
    long port = 0;
    Py_ssize_t length = PyUnicode_GET_LENGTH(str);
    for (Py_ssize_t i = 0; i < length; i++) {
        Py_UCS4 c = PyUnicode_READ_CHAR(str, i);
        if (c < '0' || c > '9' || length > 9) {
            return NULL;
        }
        port = port * 10 + (long)(c - '0');
    }
    return PyLong_FromLong(port);
}

static void tell_environ(PyObject *environ, const Method *method, Told *told)
{
    PyObject *scheme = value_of(environ, SCHEME), *protocol = text(environ, PROTOCOL), *host = text(environ, HOST);
    PyObject *name = value_of(environ, SERVER_NAME), *port = text(environ, SERVER_PORT);
    tell(told, KEY_METHOD, method_attribute(method));
    tell(told, KEY_SCHEME, scheme ? scheme : words[DEFAULT_SCHEME].str);
    tell_own(told, KEY_PATH, path_of(environ));
    Py_ssize_t length = protocol ? PyUnicode_GET_LENGTH(protocol) : 0; /* what stands behind HTTP/ */
    tell_own(told, KEY_VERSION, length > 5 ? PyUnicode_Substring(protocol, 5, length) : Py_NewRef(words[NOTHING].str));
    tell_own(told, KEY_ADDRESS, host ? host_of(host) : Py_NewRef(name ? name : words[NOTHING].str));
    PyObject *number = port ? port_of(port) : NULL;
    if (number) {
        tell_own(told, KEY_PORT, number);
    }
    tell(told, KEY_CLIENT, text(environ, CLIENT));
    tell(told, KEY_AGENT, text(environ, AGENT));
}

/* -- the beginning -- */

static PyObject *bags_of(PyObject *environ)
{
    PyObject *header = text(environ, BAGGAGE), *headers = header ? Py_BuildValue("[O]", header) : NULL;
    if (!header) {
        return Py_NewRef(words[NOTHING].str);
    }
    PyObject *bags = headers ? parse_baggage(headers) : NULL;
    Py_XDECREF(headers);
    return bags;
}

static int begin(Request *request, PyObject *environ)
{
    Caller caller;
    Told told = {.count = 0};
    PyObject *parent = NULL;
    request->bags = bags_of(environ);
    int remote = request->bags ? find_parent(environ, &caller, &parent) : -1;
    if (remote >= 0) {
        tell_environ(environ, request->method, &told);
        Attributes attributes = {.pairs = told.pairs, .left = told.count};
        request->span =
            (PyObject *)span_start(request->method->str, KIND_SERVER, parent, remote ? &caller : NULL, &attributes, words[SCOPE_NAME].str);
        told_clear(&told);
    }
    Py_XDECREF(parent);
    return request->span ? 0 : -1;
}

static PyObject *request_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *environ;
    if (!PyArg_ParseTuple(args, "O!:Request", &PyDict_Type, &environ)) {
        return NULL;
    }
    Request *request = (Request *)type->tp_alloc(type, 0);
    if (!request) {
        return NULL;
    }
    request->environ = Py_NewRef(environ);
    request->input = Py_XNewRef(value_of(environ, INPUT));
    request->route = Py_NewRef(words[NOTHING].str);
    request->method = method_of(value_of(environ, METHOD));
    if (begin(request, environ) < 0) {
        Py_CLEAR(request);
    }
    return (PyObject *)request;
}

/* Whether it is this request's environ: an application within another is passed the same, or a copy of it. */
static int is_of(Request *request, PyObject *environ)
{
    return request->environ && (request->environ == environ || (request->input && value_of(environ, INPUT) == request->input));
}

/* Whether an environ is of a request that has no span yet. `entered`: it comes to a framework's own entry. */
static PyObject *wanted(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *outer;
    if (nargs != 2 || !PyDict_CheckExact(args[0])) {
        Py_RETURN_FALSE;
    }
    if (PyContextVar_Get(under_way, NULL, &outer) < 0) {
        return NULL;
    }
    int within = outer && PyObject_TypeCheck(outer, &RequestType), wants = !(within && is_of((Request *)outer, args[0]));
    Py_XDECREF(outer);
    if (wants && !within && args[1] == Py_True) {
        Span *span = span_current();
        wants = !span || span->kind != KIND_SERVER; /* else an ASGI application or an instrumentation is around it */
    }
    return PyBool_FromLong(wants);
}

/* -- its pieces -- */

static PyObject *enter(Request *request, PyObject *unused)
{
    PyObject *span = span_attach((Span *)request->span);
    PyObject *outer = span ? PyContextVar_Set(under_way, (PyObject *)request) : NULL;
    PyObject *tokens = outer ? PyTuple_Pack(2, span, outer) : NULL;
    Py_XDECREF(span);
    Py_XDECREF(outer);
    return tokens;
}

/* Undoes enter(): the same thread, the same context. */
static PyObject *leave(Request *request, PyObject *tokens)
{
    if (!PyTuple_Check(tokens) || PyTuple_GET_SIZE(tokens) != 2) {
        Py_RETURN_NONE;
    }
    span_detach(PyTuple_GET_ITEM(tokens, 0));
    if (PyContextVar_Reset(under_way, PyTuple_GET_ITEM(tokens, 1)) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* -- start_response -- */

static PyObject *named(PyObject *const *values, PyObject *kwnames, int word)
{
    for (Py_ssize_t i = 0; kwnames && i < PyTuple_GET_SIZE(kwnames); i++) {
        if (PyUnicode_Compare(PyTuple_GET_ITEM(kwnames, i), words[word].str) == 0) {
            return values[i];
        }
    }
    return NULL;
}

static void note(Request *request, PyObject *line)
{
    long status = 0;
    Py_ssize_t length = line && PyUnicode_CheckExact(line) ? PyUnicode_GET_LENGTH(line) : 0;
    for (Py_ssize_t i = 0; i < length && i < 3; i++) {
        Py_UCS4 c = PyUnicode_READ_CHAR(line, i);
        if (c < '0' || c > '9') {
            return;
        }
        status = status * 10 + (long)(c - '0');
    }
    request->status = length ? status : request->status;
}

static PyObject *starter_call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Starter *starter = (Starter *)callable;
    note(starter->request, PyVectorcall_NARGS(nargsf) ? args[0] : named(args, kwnames, STATUS));
    return PyObject_Vectorcall(starter->start_response, args, nargsf, kwnames);
}

static PyObject *starting(Request *request, PyObject *start_response)
{
    Starter *starter = PyObject_GC_New(Starter, &StarterType);
    if (!starter) {
        return NULL;
    }
    starter->vectorcall = starter_call;
    starter->request = (Request *)Py_NewRef((PyObject *)request);
    starter->start_response = Py_NewRef(start_response);
    PyObject_GC_Track(starter);
    return (PyObject *)starter;
}

static int starter_traverse(Starter *starter, visitproc visit, void *arg)
{
    Py_VISIT(starter->request);
    Py_VISIT(starter->start_response);
    return 0;
}

static void starter_dealloc(Starter *starter)
{
    PyObject_GC_UnTrack(starter);
    Py_DECREF(starter->request);
    Py_DECREF(starter->start_response);
    PyObject_GC_Del(starter);
}

static PyTypeObject StarterType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "aftertrace._native.StartResponse",
    .tp_basicsize = sizeof(Starter),
    .tp_dealloc = (destructor)starter_dealloc,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Starter, vectorcall),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "A program's start_response.",
    .tp_traverse = (traverseproc)starter_traverse,
};

/* -- the end -- */

/* What nobody in the application has handled; a framework makes a response of it, or it goes on. */
static PyObject *fail(Request *request, PyObject *error)
{
    if (!request->error && PyExceptionInstance_Check(error)) {
        request->error = error_type_of(error);
        if (!request->error) {
            return NULL;
        }
        span_note_exception((Span *)request->span, error);
    }
    Py_RETURN_NONE;
}

/* Ends the span, once. gunicorn ends a request that takes too long by SystemExit: an error of the request. */
static PyObject *end(Request *request, PyObject *const *args, Py_ssize_t nargs)
{
    if (!request->environ) {
        Py_RETURN_NONE;
    }
    Span *span = (Span *)request->span;
    if (nargs && (PyObject_TypeCheck(args[0], (PyTypeObject *)PyExc_Exception) || PyObject_TypeCheck(args[0], (PyTypeObject *)PyExc_SystemExit))) {
        PyObject *result = fail(request, args[0]);
        if (!result) {
            refuse();
        }
        Py_XDECREF(result);
    }
    tell_response(span, request->method, text_of(request->route), request->status, request->error, request->error || request->status >= 500);
    span_end(span, NULL);
    Py_CLEAR(request->environ);
    Py_CLEAR(request->input);
    Py_RETURN_NONE;
}

/* -- the type -- */

static int traverse(Request *request, visitproc visit, void *arg)
{
    Py_VISIT(request->environ);
    Py_VISIT(request->input);
    return 0;
}

static int clear(Request *request)
{
    Py_CLEAR(request->environ);
    Py_CLEAR(request->input);
    return 0;
}

static void dealloc(Request *request)
{
    PyObject_GC_UnTrack(request);
    clear(request);
    Py_CLEAR(request->route);
    Py_CLEAR(request->bags);
    Py_CLEAR(request->span);
    Py_CLEAR(request->error);
    Py_TYPE(request)->tp_free((PyObject *)request);
}

static PyObject *get_environ(Request *request, void *unused) { return Py_NewRef(request->environ ? request->environ : Py_None); }

static PyGetSetDef GETTERS[] = {
    {"environ", (getter)get_environ, NULL, "The program's; None once it has ended.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef MEMBERS[] = {
    {"route", Py_T_OBJECT_EX, offsetof(Request, route), 0, "What a framework has told; an empty str until then."},
    {"bags", Py_T_OBJECT_EX, offsetof(Request, bags), Py_READONLY, "The baggage to pass on, or an empty str."},
    {"span", Py_T_OBJECT_EX, offsetof(Request, span), Py_READONLY, "Its span."},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef METHODS[] = {
    {"starting", (PyCFunction)starting, METH_O, "The start_response for the application, out of the program's."},
    {"enter", (PyCFunction)enter, METH_NOARGS, "Makes it current for a piece of the program's code; gives what leave() takes."},
    {"leave", (PyCFunction)leave, METH_O, "Undoes enter()."},
    {"fail", (PyCFunction)fail, METH_O, "Records an exception that nobody has handled: the first one."},
    {"end", (PyCFunction)(void (*)(void))end, METH_FASTCALL, "Ends the span, once."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject RequestType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "aftertrace._native.WsgiRequest",
    .tp_basicsize = sizeof(Request),
    .tp_dealloc = (destructor)dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .tp_doc = "A request under way.",
    .tp_traverse = (traverseproc)traverse,
    .tp_clear = (inquiry)clear,
    .tp_methods = METHODS,
    .tp_members = MEMBERS,
    .tp_getset = GETTERS,
    .tp_new = request_new,
};

static PyMethodDef FUNCTIONS[] = {
    {"wsgi_wanted", (PyCFunction)(void (*)(void))wanted, METH_FASTCALL, "Whether an environ is of a request that has no span yet."},
    {NULL, NULL, 0, NULL},
};

int wsgi_init(PyObject *module)
{
    if (words_init(words, WORDS) < 0 || PyType_Ready(&RequestType) < 0 || PyType_Ready(&StarterType) < 0) {
        return -1;
    }
    if (!under_way && !(under_way = PyContextVar_New("aftertrace.wsgi", Py_None))) {
        return -1;
    }
    if (PyModule_AddFunctions(module, FUNCTIONS) < 0 || PyModule_AddObjectRef(module, "wsgi_under_way", under_way) < 0) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "WsgiRequest", (PyObject *)&RequestType);
}

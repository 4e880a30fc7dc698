/* Template and Known: what is said of spans that come again and again, written once. */
#include <Python.h>

#include "redact.h"
#include "template.h"

#define KNOWN_MOST 256      /* texts of a variant */
#define KNOWN_LETTERS 8192  /* of a text that is kept */

/* -- Template -- */

static PyObject *template_made(PyObject *name, int kind, PyObject *scope, Attributes *attributes)
{
    uint8_t data[TEMPLATE_ROOM];
    Out out = {data, data + sizeof data};
    put_text(&out, name, SPAN_NAME_ROOM);
    put_text(&out, scope, SPAN_SCOPE_ROOM);
    size_t head = (size_t)(out.at - data);
    uint8_t count = 0;
    put_attributes_counted(&out, attributes, &count);
    if (attributes->left || count > TEMPLATE_ATTRIBUTES) {
        PyErr_SetString(PyExc_ValueError, "more attributes than a template has room for");
        return NULL;
    }
    Py_ssize_t n = out.at - data;
    Template *template = PyObject_NewVar(Template, &TemplateType, n);
    if (template) {
        template->name = read_str(name);
        template->redaction = redact_number;
        template->head = (uint16_t)head;
        template->kind = (uint8_t)kind;
        template->count = count;
        memcpy(template->data, data, (size_t)n);
    }
    return (PyObject *)template;
}

static PyObject *template_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"name", "kind", "attributes", "scope", NULL};
    PyObject *name, *mapping = Py_None, *scope = NULL;
    int kind = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "U|iOU:Template", names, &name, &kind, &mapping, &scope)) {
        return NULL;
    }
    Attributes attributes = attributes_open(mapping);
    PyObject *template = template_made(name, kind, scope, &attributes);
    attributes_close(&attributes);
    return template;
}

static void template_dealloc(Template *template)
{
    Py_XDECREF(template->name);
    PyObject_Free(template);
}

static PyObject *template_span(Template *template, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *base = nargs > 0 ? args[0] : Py_None;
    Span *parent = span_current();
    if (nargs > 1 || (base != Py_None && Py_TYPE(base) != &TemplateType)) {
        PyErr_SetString(PyExc_TypeError, "span() takes another Template, or None");
        return NULL;
    }
    if (!parent) {
        Py_RETURN_NONE;
    }
    return (PyObject *)span_born(template, base == Py_None ? NULL : (Template *)base, parent);
}

static PyMethodDef TEMPLATE_METHODS[] = {
    {"span", (PyCFunction)(void (*)(void))template_span, METH_FASTCALL, "A child of the current span; None outside of any."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject TemplateType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "aftertrace._native.Template",
    .tp_basicsize = offsetof(Template, data),
    .tp_itemsize = 1,
    .tp_dealloc = (destructor)template_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "What spans of one kind are born with: Template(name, kind, attributes, scope).",
    .tp_methods = TEMPLATE_METHODS,
    .tp_new = template_new,
};

/* -- Known -- */

Template *known_find(const Known *known, PyObject *text, int variant)
{
    PyObject *template = PyDict_GetItemWithError(known->found[variant], text);
    if (!template) {
        PyErr_Clear();
        return NULL;
    }
    return Py_TYPE(template) == &TemplateType && ((Template *)template)->redaction == redact_number ? (Template *)template : NULL;
}

/* Of a text of the program's a copy is kept. */
static PyObject *known_made(Known *known, PyObject *text, int variant)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    PyObject *copy = PyUnicode_FromKindAndData((int)PyUnicode_KIND(text), PyUnicode_DATA(text), length < KNOWN_LETTERS ? length : KNOWN_LETTERS);
    PyObject *template = copy ? PyObject_CallFunction(known->make, "Oi", copy, variant) : NULL;
    if (template && length <= KNOWN_LETTERS) {
        PyObject *found = known->found[variant];
        if (PyDict_GET_SIZE(found) >= KNOWN_MOST) {
            PyDict_Clear(found);
        }
        if (PyDict_SetItem(found, copy, template) < 0) {
            Py_CLEAR(template);
        }
    }
    Py_XDECREF(copy);
    return template;
}

static PyObject *known_of(Known *known, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2 || !PyUnicode_CheckExact(args[0])) {
        PyErr_SetString(PyExc_TypeError, "of() takes a plain str and whether it is the second variant");
        return NULL;
    }
    int variant = args[1] == Py_True;
    Template *template = known_find(known, args[0], variant);
    return template ? Py_NewRef((PyObject *)template) : known_made(known, args[0], variant);
}

static PyObject *known_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"make", NULL};
    PyObject *make;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Known", names, &make)) {
        return NULL;
    }
    Known *known = (Known *)type->tp_alloc(type, 0);
    if (!known) {
        return NULL;
    }
    known->make = Py_NewRef(make);
    for (int i = 0; i < KNOWN_VARIANTS; i++) {
        if (!(known->found[i] = PyDict_New())) {
            Py_DECREF(known);
            return NULL;
        }
    }
    return (PyObject *)known;
}

static int known_traverse(Known *known, visitproc visit, void *arg)
{
    Py_VISIT(known->make);
    for (int i = 0; i < KNOWN_VARIANTS; i++) {
        Py_VISIT(known->found[i]);
    }
    return 0;
}

static void known_dealloc(Known *known)
{
    PyObject_GC_UnTrack(known);
    Py_XDECREF(known->make);
    for (int i = 0; i < KNOWN_VARIANTS; i++) {
        Py_XDECREF(known->found[i]);
    }
    Py_TYPE(known)->tp_free((PyObject *)known);
}

static int known_clear(Known *known)
{
    Py_CLEAR(known->make); /* through it alone can it hold itself */
    return 0;
}

static PyMethodDef KNOWN_METHODS[] = {
    {"of", (PyCFunction)(void (*)(void))known_of, METH_FASTCALL, "What is known of a text."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject KnownType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "aftertrace._native.Known",
    .tp_basicsize = sizeof(Known),
    .tp_dealloc = (destructor)known_dealloc,
    .tp_traverse = (traverseproc)known_traverse,
    .tp_clear = (inquiry)known_clear,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_doc = "Templates by text: Known(make), make(text, variant).",
    .tp_methods = KNOWN_METHODS,
    .tp_new = known_new,
};

int template_init(PyObject *module)
{
    if (PyType_Ready(&TemplateType) < 0 || PyType_Ready(&KnownType) < 0) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "Template", (PyObject *)&TemplateType) < 0
                   || PyModule_AddObjectRef(module, "Known", (PyObject *)&KnownType) < 0
               ? -1
               : 0;
}

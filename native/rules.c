/* Path rules: exclude wins over include, include over libraries, libraries over roots; what no rule names is not user code. */
#include "rules.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    char **texts;
    Py_ssize_t count;
} Texts;

static Texts roots, libraries, include, exclude;

static void forget(Texts *texts)
{
    for (Py_ssize_t i = 0; i < texts->count; i++)
        free(texts->texts[i]);
    free(texts->texts);
    texts->texts = NULL;
    texts->count = 0;
}

static int take(Texts *texts, PyObject *sequence)
{
    forget(texts);
    if (!sequence)
        return 0;
    PyObject *fast = PySequence_Fast(sequence, "path rules are sequences of str");
    if (!fast)
        return -1;
    Py_ssize_t n = PySequence_Fast_GET_SIZE(fast);
    texts->texts = calloc((size_t)n + 1, sizeof *texts->texts);
    for (Py_ssize_t i = 0; texts->texts && i < n; i++) {
        const char *text = PyUnicode_AsUTF8(PySequence_Fast_GET_ITEM(fast, i));
        if (!text || !(texts->texts[i] = strdup(text)))
            break;
        texts->count++;
    }
    Py_DECREF(fast);
    if (texts->texts && texts->count == n)
        return 0;
    if (!PyErr_Occurred())
        PyErr_NoMemory();
    return -1;
}

int rules_set(PyObject *user_roots, PyObject *library_roots, PyObject *included, PyObject *excluded)
{
    if (take(&roots, user_roots) < 0 || take(&libraries, library_roots) < 0 || take(&include, included) < 0)
        return -1;
    return take(&exclude, excluded);
}

static const char *matching(const Texts *globs, const char *path)
{
    for (Py_ssize_t i = 0; i < globs->count; i++)
        if (fnmatch(globs->texts[i], path, 0) == 0)
            return globs->texts[i];
    return NULL;
}

static const char *holding(const Texts *directories, const char *path)
{
    for (Py_ssize_t i = 0; i < directories->count; i++)
        if (strncmp(path, directories->texts[i], strlen(directories->texts[i])) == 0)
            return directories->texts[i];
    return NULL;
}

int rules_user(const char *given, char *why, size_t room)
{
    char absolute[4096 + 256];
    const char *path = given, *rule;
    size_t n = 0;
    if (given[0] != '/' && given[0] != '<' && getcwd(absolute, 4096)) { /* as given on a command line */
        n = strlen(absolute);
        snprintf(absolute + n, sizeof absolute - n, "/%s", given);
        path = absolute;
    }
    if ((rule = matching(&exclude, path)))
        return snprintf(why, room, "excluded by %s", rule), 0;
    if ((rule = matching(&include, path)))
        return snprintf(why, room, "included by %s", rule), 1;
    if (path[0] == '<')
        return snprintf(why, room, "no file: frozen or generated code"), 0;
    if ((rule = holding(&libraries, path)))
        return snprintf(why, room, "library: under %s", rule), 0;
    if ((rule = holding(&roots, path)))
        return snprintf(why, room, "under the root %s", rule), 1;
    return snprintf(why, room, "under no root"), 0;
}

int rules_given(void) { return roots.count + include.count > 0; }

"""Which code is the user's: the rules that the native recorder decides each file by (D1)."""

from __future__ import annotations

import os
import site
import sys
from _frozen_importlib_external import PathFinder  # importlib.machinery's

from aftertrace.fields import Fields

TYPE_CHECKING = False  # nothing is imported at a start that can be done without
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    from aftertrace.record.program import Program
    from aftertrace.settings import Settings

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # aftertrace itself is never user code
_STDLIB = os.path.dirname(os.path.abspath(os.__file__))


class Rules(Fields):
    """Directories end in a slash; include and exclude are fnmatch globs on absolute paths. Exclude wins over include,
    include over libraries, libraries over roots."""

    roots: tuple[str, ...]
    libraries: tuple[str, ...]
    include: tuple[str, ...]
    exclude: tuple[str, ...]


def rules(settings: Settings, program: Program, entries: tuple[str, ...] = ()) -> Rules:
    """``entries``: directories that an earlier process of the same run found to be the user's."""
    root = os.path.abspath(settings.root)
    known = libraries(root)
    scripts = [path for path in script_directory(program) if not any(_within(path, place) for place in known)]
    return Rules(
        roots=_both([root, *scripts]),
        libraries=_both(known),
        include=(*_globs(settings.include, root), *(f"{entry}*" for entry in entries)),
        exclude=_globs(settings.exclude, root),
    )


def script_directory(program: Program) -> list[str]:
    """Where the script lies; its neighbours are imported from there."""
    script = program.script
    return [os.path.dirname(os.path.abspath(script))] if script and os.path.exists(script) else []


def libraries(root: str) -> list[str]:
    """The standard library, site-packages, and the virtual environment, unless the project lies in it."""
    version = os.path.basename(_STDLIB)
    found = [_STDLIB, *(f"{sys.base_exec_prefix}/{lib}/{version}" for lib in dict.fromkeys(("lib", sys.platlibdir)))]
    found += [*site.getsitepackages(), site.getusersitepackages()]
    found += [path for path in sys.path if os.path.basename(path) in {"site-packages", "dist-packages"}]
    if sys.prefix != sys.base_prefix and not _within(root, sys.prefix):
        found.append(sys.prefix)
    return [*found, _PACKAGE]


def _within(path: str, directory: str) -> bool:
    return f"{path}/".startswith(f"{directory.rstrip('/')}/")


def _both(directories: list[str]) -> tuple[str, ...]:
    """As written and with links followed: a code object's file name is whichever the import found."""
    found: dict[str, None] = {}
    for directory in directories:
        for path in (os.path.abspath(directory), os.path.realpath(directory)):  # as import spells it
            found[path.rstrip("/") + "/"] = None
    return tuple(found)


def _globs(words: tuple[str, ...], root: str) -> tuple[str, ...]:
    """Paths and dotted modules as globs on absolute paths."""
    found: list[str] = []
    for word in words:
        if "/" in word or word.endswith(".py"):
            found += _path_globs(word, root)
        else:
            path = word.replace(".", "/")
            found += [f"*/{path}.py", f"*/{path}/*"]
    return tuple(found)


def _path_globs(word: str, root: str) -> list[str]:
    word = os.path.expanduser(word)
    absolute = word if word.startswith(("/", "*")) else f"{root}/{word.removeprefix('./')}"
    return [absolute, f"{absolute.rstrip('/')}/*"]


def entry_directories(program: Program) -> tuple[str, ...]:
    """Installed packages that the command names: the user's code although it lies among the libraries. Nothing is
    imported to find them."""
    found: list[str] = []
    for name in program.entry_packages():
        found += package_directories(name)
    return tuple(found)


def package_directories(name: str) -> list[str]:
    """The directories of a top-level package outside the standard library; [] when it is none."""
    spec = _find(name, sys.path)
    places = (spec.submodule_search_locations if spec else None) or []
    found = [os.path.abspath(path) for path in places]  # as import spells it
    return [f"{path}/" for path in found if not _within(path, _STDLIB) or "-packages/" in path]


def module_file(name: str, first: list[str]) -> str:
    """The file that ``import name`` would load, looked for in ``first``, then in sys.path; "" when there is none.
    Nothing is imported, so what a package does to its own path at import is not seen."""
    path: list[str] = [*first, *sys.path]
    origin = ""
    for part in name.split("."):
        spec = _find(part, path)
        if spec is None:
            return ""
        origin, path = spec.origin or "", list(spec.submodule_search_locations or [])
    return origin


def _find(name: str, path: list[str]) -> ModuleSpec | None:
    try:
        return PathFinder.find_spec(name, path)
    except (ImportError, ValueError, OSError):
        return None

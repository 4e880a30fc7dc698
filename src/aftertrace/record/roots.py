"""Which code is the user's: the rules that the native recorder decides each file by (D1)."""

from __future__ import annotations

import importlib.machinery
import os
import site
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from aftertrace.record.program import Program
from aftertrace.settings import Settings

_PACKAGE = Path(__file__).absolute().parent.parent  # aftertrace itself is never user code


@dataclass(frozen=True, slots=True)
class Rules:
    """Directories end in a slash; include and exclude are fnmatch globs on absolute paths. Exclude wins over include,
    include over libraries, libraries over roots."""

    roots: tuple[str, ...]
    libraries: tuple[str, ...]
    include: tuple[str, ...]
    exclude: tuple[str, ...]


def rules(settings: Settings, program: Program, entries: tuple[str, ...] = ()) -> Rules:
    """``entries``: directories that an earlier process of the same run found to be the user's."""
    root = Path(settings.root).absolute()
    known = libraries(root)
    scripts = [path for path in script_directory(program) if not any(path.is_relative_to(place) for place in known)]
    return Rules(
        roots=_both([root, *scripts]),
        libraries=_both(known),
        include=(*_globs(settings.include, root), *(f"{entry}*" for entry in entries)),
        exclude=_globs(settings.exclude, root),
    )


def script_directory(program: Program) -> list[Path]:
    """Where the script lies; its neighbours are imported from there."""
    return [Path(program.script).absolute().parent] if program.script and Path(program.script).exists() else []


def libraries(root: Path) -> list[Path]:
    """The standard library, site-packages, and the virtual environment, unless the project lies in it."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    found = [Path(path) for path in (sysconfig.get_path(name) for name in names) if path]
    found += [Path(path) for path in (*site.getsitepackages(), site.getusersitepackages())]
    found += [Path(path) for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}]
    if sys.prefix != sys.base_prefix and not root.is_relative_to(sys.prefix):
        found.append(Path(sys.prefix))
    return [*found, _PACKAGE]


def _both(directories: list[Path]) -> tuple[str, ...]:
    """As written and with links followed: a code object's file name is whichever the import found."""
    found: dict[str, None] = {}
    for directory in directories:
        for path in (os.path.abspath(directory), os.path.realpath(directory)):  # noqa: PTH100  # as import spells it
            found[path.rstrip("/") + "/"] = None
    return tuple(found)


def _globs(words: tuple[str, ...], root: Path) -> tuple[str, ...]:
    """Paths and dotted modules as globs on absolute paths."""
    found: list[str] = []
    for word in words:
        if "/" in word or word.endswith(".py"):
            found += _path_globs(word, root)
        else:
            path = word.replace(".", "/")
            found += [f"*/{path}.py", f"*/{path}/*"]
    return tuple(found)


def _path_globs(word: str, root: Path) -> list[str]:
    word = os.path.expanduser(word)  # noqa: PTH111  # a glob is no path yet
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
    stdlib = f"{sysconfig.get_path('stdlib')}/"
    places = (spec.submodule_search_locations if spec else None) or []
    found = [os.path.abspath(path) for path in places]  # noqa: PTH100  # as import spells it
    return [f"{path}/" for path in found if not path.startswith(stdlib) or "-packages/" in path]


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


def _find(name: str, path: list[str]) -> importlib.machinery.ModuleSpec | None:
    try:
        return importlib.machinery.PathFinder.find_spec(name, path)
    except (ImportError, ValueError, OSError):
        return None

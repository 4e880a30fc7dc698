"""Calls a function once a module has been imported, and imports nothing itself.

What a program can see of it: one more finder, first on ``sys.meta_path``.
"""

from __future__ import annotations

import sys

from aftertrace.record.boundaries.calls import guarded, step_aside, unseen

TYPE_CHECKING = False  # nothing is imported at a start that can be done without
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_Module = type(sys)

type Hook = Callable[[ModuleType], None]


class _Finder:
    """Finds nothing of its own, but notices when a module that is waited for is loaded; again, when it is again."""

    def __init__(self) -> None:
        self.hooks: dict[str, list[Hook]] = {}
        self.partial: list[str] = []  # in the middle of their import when they were asked for

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if self.partial:
            self._look_again()
        if name not in self.hooks:
            return None
        spec = self._found_by_others(name, path, target)
        if spec is not None and spec.loader is not None:
            guarded(name, self._notice, spec.loader, name)
        return spec

    def _found_by_others(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find is not None else None
            if spec is not None:
                return spec
        return None

    def _notice(self, loader: object, name: str) -> None:
        """The loader keeps its type and place; only its instance's exec_module is shadowed, until it has run once.
        A loader that is a class (of frozen modules) or an instance for several modules (of a zip file) serves others
        in between."""
        if isinstance(loader, type):
            return
        load: Callable[[ModuleType], None] = loader.exec_module  # type: ignore[attr-defined]

        def exec_module(module: ModuleType) -> None:
            if vars(module).get("__name__") == name:
                vars(loader).pop("exec_module", None)
            try:
                load(module)
            except BaseException as error:
                step_aside(error)
                raise
            if type(module) is _Module and module.__name__ == name:
                self.loaded(module)

        loader.exec_module = exec_module  # type: ignore[attr-defined]

    def loaded(self, module: ModuleType) -> None:
        for hook in self.hooks.get(module.__name__, ()):
            _call(hook, module)

    def _look_again(self) -> None:
        for name in self.partial[:]:
            module = sys.modules.get(name)
            if module is None or not _initializing(module):
                self.partial.remove(name)
                if module is not None:
                    self.loaded(module)


unseen(_Finder._notice)  # noqa: SLF001  # its exec_module, that is

_finder = _Finder()


def _call(hook: Hook, module: ModuleType) -> None:
    if type(module) is _Module:  # one that loads itself lazily would do so when it is looked at
        guarded(module.__name__, hook, module)


def when_imported(name: str, hook: Hook) -> None:
    """Calls hook(module) now when the module is loaded, else right after it has been; and after each reload."""
    _finder.hooks.setdefault(name, []).append(hook)
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)  # its find_spec is all that importlib asks for
    module = sys.modules.get(name)
    if module is None:
        return
    if _initializing(module):
        _finder.partial.append(name)
    else:
        _call(hook, module)


def _initializing(module: ModuleType) -> bool:
    return type(module) is _Module and bool(getattr(vars(module).get("__spec__"), "_initializing", False))

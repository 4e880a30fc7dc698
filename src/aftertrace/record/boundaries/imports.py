"""Calls a function once a module has been imported, and imports nothing itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from aftertrace.record.boundaries.state import ledger

type Hook = Callable[[ModuleType], None]


class _Finder:
    """First on sys.meta_path: finds nothing of its own, but notices when a module that is waited for is loaded."""

    def __init__(self) -> None:
        self.hooks: dict[str, list[Hook]] = {}

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in self.hooks:
            return None
        spec = self._found_by_others(name, path, target)
        if spec is not None and spec.loader is not None:
            try:
                self._notice(spec.loader, name)
            except Exception as error:
                ledger.failed(name, error)
        return spec

    def _found_by_others(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find is not None else None
            if spec is not None:
                return spec
        return None

    def _notice(self, loader: object, name: str) -> None:
        """The loader keeps its type and place; only its instance's exec_module is shadowed, until it has run once."""
        load: Callable[[ModuleType], None] = loader.exec_module  # type: ignore[attr-defined]

        def exec_module(module: ModuleType) -> None:
            vars(loader).pop("exec_module", None)
            load(module)
            if module.__name__ == name:
                self.loaded(module)

        loader.exec_module = exec_module  # type: ignore[attr-defined]

    def loaded(self, module: ModuleType) -> None:
        for hook in self.hooks.pop(module.__name__, ()):
            _call(hook, module)


def _call(hook: Hook, module: ModuleType) -> None:
    try:
        hook(module)
    except Exception as error:
        ledger.failed(module.__name__, error)


_finder = _Finder()


def when_imported(name: str, hook: Hook) -> None:
    """Calls hook(module) now when the module is loaded, else right after it has been."""
    module = sys.modules.get(name)
    if module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False):
        _call(hook, module)
        return
    _finder.hooks.setdefault(name, []).append(hook)
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)  # its find_spec is all that importlib asks for

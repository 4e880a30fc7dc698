"""Code that was loaded before the recorder started."""

from __future__ import annotations

import gc
import sys

from aftertrace import _native

TYPE_CHECKING = False  # nothing is imported at a start that can be done without
if TYPE_CHECKING:
    from types import CodeType

_FunctionType, _ModuleType = type(lambda: None), type(sys)


def arm() -> int:
    """Arms user code that exists already, running frames included; how many functions. Runs no code of the program's:
    exact types only."""
    if not any(_is_user(module) for module in list(sys.modules.values())):
        return 0
    codes = {id(code): code for code in _running()}
    for found in gc.get_objects():
        if type(found) is _FunctionType:
            codes[id(found.__code__)] = found.__code__
    return sum(_native.arm(code) for code in codes.values())


def _is_user(module: object) -> bool:
    if type(module) is not _ModuleType:
        return False
    path = module.__dict__.get("__file__")
    return type(path) is str and _native.why_user(path)[0]


def _running() -> list[CodeType]:
    found: list[CodeType] = []
    for innermost in sys._current_frames().values():  # noqa: SLF001  # the documented way
        frame = innermost
        while frame is not None:
            found.append(frame.f_code)
            frame = frame.f_back  # type: ignore[assignment]
    return found

"""How a library's function is replaced by one with something around it, so that the program cannot tell.

Of a plain call there is no frame: the function that the program sees is one of functools.wraps', but its calls go to an
Around, in C. A wrapper that has a frame (of a coroutine, or a generator) takes itself off the traceback of what passes
through it, and stands under a file name that ``warnings`` (stacklevel) and ``logging`` (the caller's line) skip as part
of the interpreter.
"""

from __future__ import annotations

import sys

from aftertrace._native import Around, Span, attach, call_through, detach
from aftertrace.record.boundaries.state import ledger

TYPE_CHECKING = False  # nothing is imported at a start that can be done without
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import Any

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5  # OTLP's numbers of span kinds
ERROR = 2  # OTLP's status code

# warnings.c and logging skip frames of files whose name holds "importlib" and "_bootstrap".
_UNSEEN_FILE = "<importlib._bootstrap: aftertrace>"

_traceback = BaseException.__dict__["__traceback__"]  # what a class of the program's defines under that name is not run
_qualname = type.__dict__["__qualname__"]


class Missing(Exception):
    """A library has no such function (any more); the boundary is skipped."""


# -- not to be seen


def unseen[Function: Callable[..., Any]](function: Function, file: str = _UNSEEN_FILE) -> Function:
    """Its frames, and those of functions within it, count as the interpreter's own, or as those of ``file``."""
    code = function.__code__
    known = _seen.get((id(code), file))
    if known is None:
        known = _seen[id(code), file] = code, _moved(code, file)
    function.__code__ = known[1]
    return function


# What a wrapper's code became, by its address and file: a wrapper that is made again and again (Celery's, for a task
# that is run in place) makes no new code. Both codes are held, so an address means one code.
_seen: dict[tuple[int, str], tuple[CodeType, CodeType]] = {}


def _moved(code: CodeType, file: str) -> CodeType:
    inner = tuple(_moved(const, file) if type(const) is type(code) else const for const in code.co_consts)
    return code.replace(co_filename=file, co_consts=inner)


def step_aside(error: BaseException) -> None:
    """Takes the caller's frame, which handles this exception and passes it on by ``raise``, off its traceback."""
    traceback = _traceback.__get__(error)
    if traceback is not None and traceback.tb_frame is sys._getframe(1):  # noqa: SLF001  # ours
        _traceback.__set__(error, traceback.tb_next)


# -- around a call

type Begin[State] = Callable[[tuple[Any, ...], dict[str, Any]], State | None]
type End[State] = Callable[[State, Any, BaseException | None], None]


def around[State](name: str, begin: Begin[State], end: End[State]) -> Callable[[Any], Any]:
    """Makes wrappers: ``begin`` gets the call's arguments and gives what ``end`` gets with the result, or with the
    exception; None: there is nothing to end. Where they fail, the call is as it would be without them."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        return instead(original, Around(original, name, ledger.failed, begin, end))

    return make


def instead(original: Callable[..., Any], call: Around) -> Callable[..., Any]:
    """What the program sees in place of ``original``."""
    from functools import wraps  # noqa: PLC0415  # whatever has this boundary has imported it

    @wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return call(*args, **kwargs)  # of a copy that somebody makes of this function; its own calls do not come here

    return call_through(unseen(wrapper))


def around_async[State](name: str, begin: Begin[State], end: End[State]) -> Callable[[Any], Any]:
    """The same for a coroutine function; both run where the coroutine does."""

    from functools import wraps  # noqa: PLC0415  # whatever has this boundary has imported it

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            state = guarded(name, begin, args, kwargs)
            try:
                result = await original(*args, **kwargs)
            except BaseException as error:
                if state is not None:
                    guarded(name, end, state, None, error)
                step_aside(error)
                raise
            if state is not None:
                guarded(name, end, state, result, None)
            return result

        return unseen(wrapper)

    return make


def guarded[*Args, Result](name: str, act: Callable[[*Args], Result], *args: *Args) -> Result | None:
    """What it gives; None when it fails, which is counted."""
    try:
        return act(*args)
    except Exception as error:
        ledger.failed(name, error)
        return None


# -- a span around a call


class Open:
    """A span that is current until it is closed."""

    __slots__ = ("span", "token")

    def __init__(self, span: Span, token: Any) -> None:
        self.span = span
        self.token = token


def opened(span: Span) -> Open:
    return Open(span, attach(span))


def close(state: Open, _result: Any = None, error: BaseException | None = None) -> None:
    finish(state.span, None, error)
    detach(state.token)


def finish(span: Span, _result: Any = None, error: BaseException | None = None) -> None:
    """Exceptions that only end a task or the program (CancelledError, GeneratorExit, SystemExit) are no errors."""
    if isinstance(error, Exception):
        span.set_attribute("error.type", error_type(error))
        span.__exit__(type(error), error, None)
    else:
        span.end()


def error_type(error: BaseException) -> str:
    name: str = _qualname.__get__(type(error))
    return name


# -- in its place


def patch(owner: Any, target: str, make: Callable[[Any], Any]) -> None:
    """Replaces owner.target by make(original), once. Missing: there is none, or it cannot be called."""
    holder, name, original = _find(owner, target)
    if not getattr(original, "_aftertrace", False):
        wrapper = make(original)
        vars(wrapper)["_aftertrace"] = True
        setattr(holder, name, classmethod(wrapper) if type(vars(holder)[name]) is classmethod else wrapper)


def patch_all(owner: Any, makes: dict[str, Callable[[Any], Any]]) -> None:
    """All targets or none: a boundary that is half there would tell half of the truth."""
    for target in makes:
        _find(owner, target)
    for target, make in makes.items():
        patch(owner, target, make)


def _find(owner: Any, target: str) -> tuple[Any, str, Callable[..., Any]]:
    *path, name = target.split(".")
    for part in path:
        owner = getattr(owner, part, None)
    original = vars(owner).get(name) if owner is not None else None
    if type(original) is classmethod:
        original = original.__func__
    if not callable(original):
        raise Missing(f"{target} is not there")
    return owner, name, original

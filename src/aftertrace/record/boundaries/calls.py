"""A boundary as a declaration: which function is a call out of (or into) the process, and what its span says."""

from __future__ import annotations

import functools
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from aftertrace._native import Span, attach, current, detach
from aftertrace.record import propagation
from aftertrace.record.boundaries.state import ledger

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5  # OTLP's numbers of span kinds
ERROR = 2  # OTLP's status code


class Told(NamedTuple):
    """What the arguments of one call say."""

    name: str  # of the span
    attributes: dict[str, Any]
    carrier: MutableMapping[str, str] | None = None  # where the context goes out
    remote: propagation.Remote | None = None  # where it came from
    baggage: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One function to wrap. ``describe`` gets the call's arguments and gives None for a call that makes no span;
    ``answer`` gets the span and the result. Neither may change what it is given, apart from the carrier."""

    boundary: str
    target: str  # "Class.method" within the module
    kind: int
    describe: Callable[[tuple[Any, ...], dict[str, Any]], Told | None]
    answer: Callable[[Span, Any], None] | None = None
    inside_only: bool = False  # outside any span, the call makes none
    is_async: bool = False
    quiet: tuple[type[BaseException], ...] = ()  # exceptions that are no error here


class _Open(NamedTuple):
    """A call under way."""

    span: Span
    token: Any
    baggage: Any
    carrier: MutableMapping[str, str] | None
    added: list[tuple[str, str]]


def _begin(call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Open | None:
    """None: this call is not traced."""
    if call.inside_only and current() is None:
        return None
    try:
        told = call.describe(args, kwargs)
        if told is None:
            return None
        links = None if told.remote is None else ((told.remote[0], told.remote[1], None),)
        span = Span(told.name, call.kind, told.remote or propagation.parent(), told.attributes, links, None, _SCOPE)
        entered = propagation.enter_baggage(told.baggage)
        added = [] if told.carrier is None else propagation.write(span, told.carrier)
    except Exception as error:
        ledger.failed(call.boundary, error)
        return None
    return _Open(span, attach(span), entered, told.carrier, added)


_SCOPE = "aftertrace"


def _end(call: Call, opened: _Open, result: Any) -> None:
    try:
        if call.answer is not None:
            call.answer(opened.span, result)
        _close(opened)
    except Exception as error:
        ledger.failed(call.boundary, error)


def _failed(call: Call, opened: _Open, error: BaseException) -> None:
    """Exceptions that only end a task or the program (CancelledError, GeneratorExit, SystemExit) are no errors."""
    try:
        if isinstance(error, Exception) and not isinstance(error, call.quiet):
            opened.span.set_attribute("error.type", type(error).__qualname__)
            opened.span.__exit__(type(error), error, None)
        _close(opened)
    except Exception as failure:
        ledger.failed(call.boundary, failure)


def _close(opened: _Open) -> None:
    opened.span.end()
    detach(opened.token)
    if opened.baggage is not None:
        propagation.leave_baggage(opened.baggage)
    for name, value in opened.added:  # the carrier is the program's object: it gets it back as it was
        if opened.carrier is not None and opened.carrier.get(name) == value:
            del opened.carrier[name]


def _sync(call: Call, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        opened = _begin(call, args, kwargs)
        if opened is None:
            return original(*args, **kwargs)
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            _failed(call, opened, error)
            raise
        _end(call, opened, result)
        return result

    return wrapper


def _async(call: Call, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        opened = _begin(call, args, kwargs)
        if opened is None:
            return await original(*args, **kwargs)
        try:
            result = await original(*args, **kwargs)
        except BaseException as error:
            _failed(call, opened, error)
            raise
        _end(call, opened, result)
        return result

    return wrapper


def traced(call: Call, original: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its span around it: same result, same exceptions, same signature."""
    return _async(call, original) if call.is_async else _sync(call, original)


class Missing(Exception):
    """A library has no such function (any more); the boundary is skipped."""


def patch(owner: Any, target: str, make: Callable[[Any], Any]) -> None:
    """Replaces owner.target by make(original), once. Missing: there is none, or it is no plain function."""
    *path, name = target.split(".")
    for part in path:
        owner = getattr(owner, part, None)
    original = vars(owner).get(name) if owner is not None else None
    if original is None or not callable(original):
        raise Missing(f"{target} is not there")
    if getattr(original, "_aftertrace", False):
        return
    wrapper = make(original)
    vars(wrapper)["_aftertrace"] = True
    setattr(owner, name, wrapper)


def patch_calls(module: Any, calls: tuple[Call, ...]) -> None:
    """All targets or none: a boundary that is half there would tell half of the truth."""
    for call in calls:
        owner = functools.reduce(lambda at, part: getattr(at, part, None), call.target.split(".")[:-1], module)
        if not callable(getattr(owner, call.target.rsplit(".", 1)[-1], None)):
            raise Missing(f"{call.target} is not there")
    for call in calls:
        patch(module, call.target, functools.partial(traced, call))

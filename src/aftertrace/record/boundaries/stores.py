"""What the boundaries of data stores have in common: where a statement's span belongs, and generators with a span."""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import ContextVar
from typing import Any

from aftertrace._native import Span, current
from aftertrace.record.boundaries import contrib
from aftertrace.record.boundaries.calls import CLIENT, INTERNAL, Begin, End, Open, guarded, opened, step_aside, unseen

type Instrumentors = tuple[tuple[str, str], ...]  # contrib's that make these spans: package, class

WAITING = "wait for a connection"
SQLALCHEMY = ("sqlalchemy", "SQLAlchemyInstrumentor")

# While contrib's SQLAlchemy instrumentation has a span of the statement, which it does not make current.
hushed: ContextVar[bool] = ContextVar("aftertrace.hushed", default=False)


def parent(instrumentors: Instrumentors) -> Span | None:
    """The span under which a statement belongs. None: outside a trace, where OpenTelemetry wants no instrumentation,
    and where contrib's has made the statement's span."""
    span = current()
    if span is None or hushed.get() or ("opentelemetry.context" in sys.modules and contrib.suppressed()):
        return None
    if span.kind == CLIENT and any(contrib.instruments(*each) for each in instrumentors):
        return None
    return span


def waiting(scope: str, system: str = "") -> Open | None:
    """A span in which a connection of a pool is waited for."""
    span = current()
    if span is None:
        return None
    return opened(Span(WAITING, INTERNAL, span, {"db.system.name": system} if system else None, None, None, scope))


def address(host: Any, port: Any) -> dict[str, Any]:
    """What of a server's address is plain: of other types nothing is asked."""
    told: dict[str, Any] = {}
    if type(host) is str and host:
        told["server.address"] = host
    if type(port) is str and port.isdecimal():
        port = int(port)
    if type(port) is int and port:
        told["server.port"] = port
    return told


class Kept[Value]:
    """What was made of texts, for the next time that they come. Holds copies, none of the program's own strings."""

    def __init__(self, make: Callable[[str], Value], most: int) -> None:
        self._make, self._most = make, most
        self._known: dict[int, tuple[str, Value]] = {}

    def of(self, text: str) -> Value:
        """Of an exact str."""
        found = self._known.get(hash(text))
        return self._new(text) if found is None or found[0] != text else found[1]

    def _new(self, text: str) -> Value:
        copy = "".join((text[:1], text[1:]))
        made = self._make(copy)
        if len(self._known) >= self._most:
            self._known.clear()
        self._known[hash(copy)] = copy, made
        return made


# -- around generators: begin() runs with their first step, as their body does


def around_generator[State](name: str, begin: Begin[State], end: End[State]) -> Callable[[Any], Any]:
    """Makes wrappers of generator functions. Where the program's code runs between the steps, begin() must not make
    its span current."""

    def make(original: Callable[..., Generator[Any, Any, Any]]) -> Callable[..., Any]:
        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            state = guarded(name, begin, args, kwargs)
            try:
                result = yield from original(*args, **kwargs)
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


def around_async_generator[State](name: str, begin: Begin[State], end: End[State]) -> Callable[[Any], Any]:
    """The same for asynchronous ones, which cannot delegate: each step is handed on."""

    def make(original: Callable[..., AsyncGenerator[Any, Any]]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            inner = original(*args, **kwargs)
            state = guarded(name, begin, args, kwargs)
            try:
                item = await _first(inner)
                while True:
                    try:
                        sent = yield item
                    except GeneratorExit:
                        await inner.aclose()
                        raise
                    except BaseException as thrown:
                        step_aside(thrown)
                        item = await inner.athrow(thrown)
                    else:
                        item = await inner.asend(sent)
            except StopAsyncIteration:
                if state is not None:
                    guarded(name, end, state, None, None)
            except BaseException as error:
                if state is not None:
                    guarded(name, end, state, None, error)
                step_aside(error)
                raise

        return unseen(wrapper)

    return make


def _first(inner: AsyncGenerator[Any, Any]) -> Any:
    """Its first step. The event loop does not get to know it: when the loop ends, it closes the generators that it
    knows all at once, and this one is closed by ours."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return inner.__anext__()
    finally:
        sys.set_asyncgen_hooks(*hooks)

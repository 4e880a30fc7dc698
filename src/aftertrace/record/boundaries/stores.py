"""What the boundaries of data stores have in common: calls that are spans, and what is told of servers."""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from aftertrace._native import Around, Span, Template, current, suppressed
from aftertrace.record.boundaries import contrib
from aftertrace.record.boundaries.calls import CLIENT, INTERNAL, Open, instead, opened, step_aside, unseen
from aftertrace.record.boundaries.state import ledger

type Instrumentors = tuple[tuple[str, str], ...]  # contrib's that make these spans: package, class
type Arguments = tuple[Any, ...]
type Described = Template | tuple[Template, Template] | None  # the span; and what is told of where it goes
type Describe = Callable[[Arguments, dict[str, Any]], Described]
type Failed = Callable[[Span, None, BaseException], None]

WAITING = "wait for a connection"
SQLALCHEMY = ("sqlalchemy", "SQLAlchemyInstrumentor")


def parent() -> Span | None:
    """The span under which a statement belongs. None: outside a trace, and where OpenTelemetry wants no
    instrumentation."""
    span = current()
    return None if span is None or suppressed() else span


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


class Servers:
    """What is told of servers, by where they are."""

    def __init__(self, tell: Callable[[Any, Any, Any], dict[str, Any]]) -> None:
        self._tell = tell
        self._found: dict[tuple[Any, Any, Any], Template] = {}

    def of(self, host: Any, port: Any, database: Any) -> Template:
        if type(host) not in _PLAIN or type(port) not in _PLAIN or type(database) not in _PLAIN:
            return Template("", CLIENT, self._tell(host, port, database))
        found = self._found.get((host, port, database))
        return self._new(host, port, database) if found is None else found

    def _new(self, host: Any, port: Any, database: Any) -> Template:
        if len(self._found) >= _MOST_SERVERS:
            self._found.clear()
        made = self._found[host, port, database] = Template("", CLIENT, self._tell(host, port, database))
        return made


_PLAIN = frozenset({str, int, type(None)})
_MOST_SERVERS = 64


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


# -- around a call that is a span


class Spans:
    """How a boundary makes its spans: ``describe`` says what a call's is, None: there is none; ``failed`` gets it with
    the exception, and ends it."""

    def __init__(
        self, name: str, describe: Describe, failed: Failed, instrumentors: Instrumentors = (), **how: Any
    ) -> None:
        self._name, self._describe, self._failed, self._how = name, describe, failed, how
        if instrumentors:
            how["instrumented"] = functools.partial(_instrumented, instrumentors)

    def _around(self, original: Any, current: bool = True) -> Around:
        return Around(
            original, self._name, ledger.failed, self._describe, self._failed, spans=True, current=current, **self._how
        )

    def around(self, original: Callable[..., Any]) -> Callable[..., Any]:
        return instead(original, self._around(original))

    def around_async(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Of a coroutine function; the span begins where the coroutine does."""
        call = self._around(original)
        enter, leave = call.enter, call.leave

        @functools.wraps(original)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            state = enter(args, kwargs)
            try:
                result = await original(*args, **kwargs)
            except BaseException as error:
                if state is not None:
                    leave(state, error)
                step_aside(error)
                raise
            if state is not None:
                leave(state, None)
            return result

        return unseen(wrapper)

    # Around generators: the span begins with the first step, as the body does. Where the program's code runs between
    # the steps (streams), it is not current.

    def within(self, original: Callable[..., Generator[Any, Any, Any]]) -> Callable[..., Any]:
        return self._generator(original, True)

    def stream(self, original: Callable[..., Generator[Any, Any, Any]]) -> Callable[..., Any]:
        return self._generator(original, False)

    def _generator(self, original: Callable[..., Generator[Any, Any, Any]], current: bool) -> Callable[..., Any]:
        call = self._around(original, current)
        enter, leave = call.enter, call.leave

        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            state = enter(args, kwargs)
            try:
                result = yield from original(*args, **kwargs)
            except BaseException as error:
                if state is not None:
                    leave(state, error)
                step_aside(error)
                raise
            if state is not None:
                leave(state, None)
            return result

        return unseen(wrapper)

    def stream_async(self, original: Callable[..., AsyncGenerator[Any, Any]]) -> Callable[..., Any]:
        """Asynchronous ones cannot delegate: each step is handed on."""
        call = self._around(original, False)
        enter, leave = call.enter, call.leave

        @functools.wraps(original)
        async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            inner = original(*args, **kwargs)
            state = enter(args, kwargs)
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
                    leave(state, None)
            except BaseException as error:
                if state is not None:
                    leave(state, error)
                step_aside(error)
                raise

        return unseen(wrapper)


def _instrumented(instrumentors: Instrumentors) -> bool:
    """Whether contrib's has made the CLIENT span that is current."""
    return any(contrib.instruments(*each) for each in instrumentors)


def _first(inner: AsyncGenerator[Any, Any]) -> Any:
    """Its first step. The event loop does not get to know it: when the loop ends, it closes the generators that it
    knows all at once, and this one is closed by ours."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return inner.__anext__()
    finally:
        sys.set_asyncgen_hooks(*hooks)

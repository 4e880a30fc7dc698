"""Requests into a WSGI application: a SERVER span around each, from the call until its response is closed.

What the application gives is passed on as it is where nothing can run in it any more (lists, the server's own file
wrapper); anything else goes in an object that behaves like it, so that what runs while it is sent, and its close(), is
within the span, and an exception in the middle is seen. Between those runs the span is not current: a server that
forgets a response does not leave its thread in it.
"""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

from aftertrace._native import WsgiRequest, wsgi_under_way, wsgi_wanted
from aftertrace.record import propagation
from aftertrace.record.boundaries import contrib
from aftertrace.record.boundaries.calls import guarded, step_aside, unseen
from aftertrace.record.boundaries.state import ledger

type Environ = dict[str, Any]
type StartResponse = Callable[..., Any]
type App = Callable[[Environ, StartResponse], Iterable[bytes]]

NAME = "wsgi"
_WHOLE = (list, tuple, bytes)  # iterating them runs nothing


class Request(WsgiRequest):
    """One request under way: its span, what is known of its response, and its route when a framework has told it.
    What it holds of the program's it holds until it ends."""

    __slots__ = ()


under_way: ContextVar[WsgiRequest | None] = wsgi_under_way


# -- around the application


def serve(app: App, environ: Environ, start_response: StartResponse, entered: Any = None) -> Any:
    """The application's answer, in a span. ``entered``: the framework's object whose own entry this is; a server that
    we know may have come to it through a span already."""
    request = inside = bags = None
    try:
        if _wants(app, environ, entered):
            request = Request(environ)
            bags = guarded(NAME, propagation.enter_baggage, request.bags) if request.bags else None
            inside = request.enter()
    except Exception as error:
        ledger.failed(NAME, error)
    try:
        if request is None:
            return app(environ, start_response)
        return _given(request, app(environ, request.starting(start_response)), environ)
    except BaseException as error:
        if request is not None:
            guarded(NAME, request.end, error)
        step_aside(error)
        raise
    finally:
        if request is not None and inside is not None:  # _leave(), in place: it runs for each request
            request.leave(inside)
            if bags is not None:
                guarded(NAME, propagation.leave_baggage, bags)


def _wants(app: App, environ: Environ, entered: Any) -> bool:
    if not wsgi_wanted(environ, entered is not None):
        return False
    return "opentelemetry.context" not in sys.modules or not (
        contrib.suppressed() or contrib.sees(app if entered is None else entered)
    )


def _enter(request: Request) -> tuple[object, Any]:
    """Makes it current for a piece of the program's code, which runs in the caller's frame: the same context leaves."""
    bags = guarded(NAME, propagation.enter_baggage, request.bags) if request.bags else None
    return request.enter(), bags


def _leave(request: Request, entered: tuple[object, Any]) -> None:
    inside, bags = entered
    request.leave(inside)
    if bags is not None:
        guarded(NAME, propagation.leave_baggage, bags)


def _given(request: Request, body: Any, environ: Environ) -> Any:
    """The response, or what stands for it until it is closed."""
    kind = type(body)
    if kind in _WHOLE or body is None or environ.get("wsgi.file_wrapper") in kind.__mro__:
        try:
            request.end()
        except Exception as error:
            ledger.failed(NAME, error)
        return body
    return (SizedBody if hasattr(kind, "__len__") else Body)(body, request)


def _forwarded(operation: Callable[..., Any]) -> Any:
    def method(self: Body, *args: Any) -> Any:
        try:
            return operation(self._aftertrace_body, *args)
        except BaseException as error:
            step_aside(error)
            raise

    return unseen(method)


class Body:
    """Stands for the application's iterable: it has a close() and a length where that has, and is what a middleware
    makes of it: a response to ask and to change, a generator to take a chunk from."""

    __slots__ = ("_aftertrace_body", "_aftertrace_request")

    def __init__(self, body: Any, request: Request) -> None:
        _set_body(self, body)
        _set_request(self, request)

    @property  # type: ignore[misc]  # isinstance() asks for it
    def __class__(self) -> Any:
        return self._aftertrace_body.__class__

    __getitem__ = _forwarded(operator.getitem)
    __setitem__ = _forwarded(operator.setitem)
    __delitem__ = _forwarded(operator.delitem)
    __contains__ = _forwarded(operator.contains)
    __setattr__ = _forwarded(setattr)
    __delattr__ = _forwarded(delattr)
    __dir__ = _forwarded(dir)
    __bool__ = _forwarded(bool)
    __bytes__ = _forwarded(bytes)
    __str__ = _forwarded(str)
    __repr__ = _forwarded(repr)
    __hash__ = _forwarded(hash)
    __eq__ = _forwarded(operator.eq)
    __ne__ = _forwarded(operator.ne)

    def __next__(self) -> Any:
        body = self._aftertrace_body
        try:
            return next(_Chunks(body, self._aftertrace_request, ends=not hasattr(body, "close")))
        except BaseException as error:
            step_aside(error)
            raise

    def __iter__(self) -> Iterator[Any]:
        body, request = self._aftertrace_body, self._aftertrace_request
        entered = _enter(request)
        try:
            return _Chunks(iter(body), request, ends=not hasattr(body, "close"))
        except BaseException as error:
            guarded(NAME, request.end, error)
            step_aside(error)
            raise
        finally:
            _leave(request, entered)

    def __getattr__(self, name: str) -> Any:  # what is not above
        try:
            found = getattr(self._aftertrace_body, name)
        except BaseException as error:
            step_aside(error)
            raise
        return functools.partial(_close, self._aftertrace_request, found) if name == "close" else found

    def __del__(self) -> None:
        """The server has dropped it without a close()."""
        guarded(NAME, self._aftertrace_request.end)


_set_body, _set_request = (Body.__dict__[name].__set__ for name in Body.__slots__)


class SizedBody(Body):
    __slots__ = ()

    def __len__(self) -> int:
        return len(self._aftertrace_body)


class _Chunks:
    """The iterator of a Body. ends: nobody will close the response, so it ends with its last chunk."""

    __slots__ = ("_ends", "_iterator", "_request")

    def __init__(self, iterator: Iterator[Any], request: Request, ends: bool) -> None:
        self._iterator, self._request, self._ends = iterator, request, ends

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        request = self._request
        bags = guarded(NAME, propagation.enter_baggage, request.bags) if request.bags else None
        inside = request.enter()  # _enter(), in place: it runs for each chunk
        try:
            return next(self._iterator)
        except StopIteration as stop:
            if self._ends:
                guarded(NAME, request.end)
            step_aside(stop)
            raise
        except BaseException as error:
            guarded(NAME, request.end, error)
            step_aside(error)
            raise
        finally:
            request.leave(inside)
            if bags is not None:
                guarded(NAME, propagation.leave_baggage, bags)


def _close(request: Request, close: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    entered = _enter(request)
    try:
        result = close(*args, **kwargs)
    except BaseException as error:
        guarded(NAME, request.end, error)
        step_aside(error)
        raise
    else:
        guarded(NAME, request.end)
        return result
    finally:
        _leave(request, entered)


for _function in (
    serve,
    _close,
    Body.__iter__,
    Body.__getattr__,
    Body.__next__,
    SizedBody.__len__,
    _Chunks.__next__,
):
    unseen(_function)

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

from aftertrace._native import Span, attach, current, detach
from aftertrace.record import propagation
from aftertrace.record.boundaries import contrib
from aftertrace.record.boundaries.calls import ERROR, SERVER, error_type, guarded, step_aside, unseen
from aftertrace.record.boundaries.semantics import METHODS, MOST_URL, host

type Environ = dict[str, Any]
type StartResponse = Callable[..., Any]
type App = Callable[[Environ, StartResponse], Iterable[bytes]]

NAME = "wsgi"
_SCOPE = "aftertrace.wsgi"
_INPUT = "wsgi.input"
_WHOLE = (list, tuple, bytes)  # iterating them runs nothing


class Request:
    """One request under way: its span, what is known of its response, and its route when a framework has told it.
    What it holds of the program's it holds until it ends."""

    __slots__ = ("bags", "environ", "error", "input", "method", "route", "span", "status")

    def __init__(self, environ: Environ) -> None:
        get = environ.get
        method, parent, bags = get("REQUEST_METHOD"), get("HTTP_TRACEPARENT"), get("HTTP_BAGGAGE")
        self.method = method if method in METHODS else "HTTP"
        self.status, self.route = 0, ""
        self.error: str | None = None
        self.environ: Environ | None = environ
        self.input = get(_INPUT)
        self.bags = propagation.parse_baggage([bags]) if bags else ""
        remote = propagation.read([parent], [get("HTTP_TRACESTATE", "")]) if parent else None
        above = remote or current() or propagation.sampler.root()
        self.span = Span(self.method, SERVER, above, _told(environ, method), None, None, _SCOPE)

    def fail(self, error: BaseException) -> None:
        """What nobody in the application has handled; a framework makes a response of it, or it goes on."""
        if self.error is None:
            self.error = error_type(error)
            self.span.record_exception(error, escaped=True)

    def end(self, error: BaseException | None = None) -> None:
        """Ends the span, once. gunicorn ends a request that takes too long by SystemExit: an error of the request."""
        if self.environ is None:
            return
        self.environ = self.input = None
        span, path, status = self.span, self.route, self.status
        if isinstance(error, (Exception, SystemExit)):
            self.fail(error)
        if path:
            span.update_name(f"{self.method} {path}")
            span.set_attribute("http.route", path)
        if status:
            span.set_attribute("http.response.status_code", status)
        if self.error is not None or status >= 500:
            span.set_attribute("error.type", self.error or str(status))
            span.set_status(ERROR)
        span.end()

    def is_of(self, environ: Environ) -> bool:
        """An application within another is passed the same environ, or a copy of it."""
        return environ is self.environ or (self.input is not None and environ.get(_INPUT) is self.input)


under_way: ContextVar[Request | None] = ContextVar("aftertrace.wsgi", default=None)


def path_of(environ: Environ) -> str:
    """The path as it was asked for, decoded; the server gave its bytes as latin-1."""
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return path if path.isascii() else path.encode("latin-1", "replace").decode("utf-8", "replace")


def _told(environ: Environ, method: Any) -> dict[str, Any]:
    """The attributes, in stable HTTP semantic conventions. The query stays out: values in it are not ours to send."""
    get = environ.get
    name, port, client, agent = get("HTTP_HOST"), get("SERVER_PORT"), get("REMOTE_ADDR"), get("HTTP_USER_AGENT")
    told: dict[str, Any] = {
        "http.request.method": method if method in METHODS else "_OTHER",
        "url.scheme": get("wsgi.url_scheme", "http"),
        "url.path": path_of(environ)[:MOST_URL],
        "network.protocol.version": get("SERVER_PROTOCOL", "")[5:],  # behind HTTP/
        "server.address": host(name) if name else get("SERVER_NAME", ""),
    }
    if port and port.isdecimal():
        told["server.port"] = int(port)
    if client:
        told["client.address"] = client
    if agent:
        told["user_agent.original"] = agent
    return told


# -- around the application


def serve(app: App, environ: Environ, start_response: StartResponse, entered: Any = None) -> Any:
    """The application's answer, in a span. ``entered``: the framework's object whose own entry this is; a server that
    we know may have come to it through a span already."""
    request = guarded(NAME, _begin, app, environ, entered)
    tokens = None if request is None else _enter(request)
    try:
        if request is None:
            return app(environ, start_response)
        return _given(request, app(environ, _noting(request, start_response)), environ)
    except BaseException as error:
        if request is not None:
            guarded(NAME, request.end, error)
        step_aside(error)
        raise
    finally:
        if tokens is not None:
            _leave(tokens)


def _enter(request: Request) -> tuple[Any, Any, Any]:
    """Makes it current for a piece of the program's code, which runs in the caller's frame: the same context leaves."""
    bags = guarded(NAME, propagation.enter_baggage, request.bags) if request.bags else None
    return attach(request.span), under_way.set(request), bags


def _leave(tokens: tuple[Any, Any, Any]) -> None:
    span, request, bags = tokens
    detach(span)
    under_way.reset(request)
    if bags is not None:
        guarded(NAME, propagation.leave_baggage, bags)


def _begin(app: App, environ: Environ, entered: Any) -> Request | None:
    if type(environ) is not dict:
        return None
    outer, span = under_way.get(), current()
    if outer is not None and outer.is_of(environ):
        return None
    if entered is not None and outer is None and span is not None and span.kind == SERVER:
        return None  # an ASGI application or an instrumentation is around it
    if "opentelemetry.context" in sys.modules and (
        contrib.suppressed() or contrib.sees(app if entered is None else entered)
    ):
        return None
    return Request(environ)


def _noting(request: Request, start_response: StartResponse) -> StartResponse:
    def start(*args: Any, **kwargs: Any) -> Any:
        status = args[0] if args else kwargs.get("status")
        if type(status) is str and status[:3].isdecimal():
            request.status = int(status[:3])
        try:
            return start_response(*args, **kwargs)
        except BaseException as error:
            step_aside(error)
            raise

    return start


def _given(request: Request, body: Any, environ: Environ) -> Any:
    """The response, or what stands for it until it is closed."""
    kind = type(body)
    if kind in _WHOLE or body is None or environ.get("wsgi.file_wrapper") in kind.__mro__:
        guarded(NAME, request.end)
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
        tokens = _enter(request)
        try:
            return _Chunks(iter(body), request, ends=not hasattr(body, "close"))
        except BaseException as error:
            guarded(NAME, request.end, error)
            step_aside(error)
            raise
        finally:
            _leave(tokens)

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
        token, outer = attach(request.span), under_way.set(request)  # _enter(), in place: it runs for each chunk
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
            detach(token)
            under_way.reset(outer)
            if bags is not None:
                guarded(NAME, propagation.leave_baggage, bags)


def _close(request: Request, close: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    tokens = _enter(request)
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
        _leave(tokens)


for _function in (
    serve,
    _noting,
    _close,
    Body.__iter__,
    Body.__getattr__,
    Body.__next__,
    SizedBody.__len__,
    _Chunks.__next__,
):
    unseen(_function)

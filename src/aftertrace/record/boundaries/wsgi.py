"""Requests into a WSGI application: a SERVER span around each, from the call until its response is closed.

What the application gives is passed on as it is where nothing can run in it any more (lists, the server's own file
wrapper); anything else goes in an object that behaves like it, so that what runs while it is sent, and its close(), is
within the span, and an exception in the middle is seen. Between those runs the span is not current: a server that
forgets a response does not leave its thread in it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
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

    __slots__ = ("baggage", "bags", "environ", "error", "input", "method", "route", "span", "status", "tokens")

    def __init__(self, environ: Environ) -> None:
        get = environ.get
        self.method = _method(get("REQUEST_METHOD"))
        self.status, self.route = 0, ""
        self.error: str | None = None
        self.environ: Environ | None = environ
        self.input = get(_INPUT)
        self.tokens: tuple[Any, Any] | None = None
        parent, state = _text(get("HTTP_TRACEPARENT")), _text(get("HTTP_TRACESTATE"))
        remote = propagation.read([parent], [state] if state else ()) if parent else None
        self.bags = propagation.parse_baggage([_text(get("HTTP_BAGGAGE"))])
        self.baggage: object = None
        parent_of = remote or current() or propagation.sampler.root()
        self.span = Span(self.method, SERVER, parent_of, _told(environ), None, None, _SCOPE)

    def enter(self) -> None:
        """Makes it current for a piece of the program's code."""
        self.tokens = attach(self.span), under_way.set(self)
        if self.bags:
            self.baggage = propagation.enter_baggage(self.bags)

    def leave(self) -> None:
        tokens, self.tokens = self.tokens, None
        if tokens is None:
            return
        if self.baggage is not None:
            entered, self.baggage = self.baggage, None
            with suppress(ValueError):  # it was entered in another context, as by a server of greenlets
                propagation.leave_baggage(entered)
        detach(tokens[0])
        with suppress(ValueError):
            under_way.reset(tokens[1])

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


def _method(value: Any) -> str:
    return value if type(value) is str and value in METHODS else "HTTP"


def _text(value: Any) -> str:
    return value if type(value) is str else ""


def path_of(environ: Environ) -> str:
    """The path as it was asked for, decoded; the server gave its bytes as latin-1."""
    path = _text(environ.get("SCRIPT_NAME")) + _text(environ.get("PATH_INFO"))
    return path if path.isascii() else path.encode("latin-1", "replace").decode("utf-8", "replace")


def _told(environ: Environ) -> dict[str, Any]:
    """The attributes, in stable HTTP semantic conventions. The query stays out: values in it are not ours to send."""
    get = environ.get
    method, port = _text(get("REQUEST_METHOD")), _text(get("SERVER_PORT"))
    name = _text(get("HTTP_HOST"))
    told: dict[str, Any] = {
        "http.request.method": method if method in METHODS else "_OTHER",
        "url.scheme": _text(get("wsgi.url_scheme")) or "http",
        "url.path": path_of(environ)[:MOST_URL],
        "network.protocol.version": _text(get("SERVER_PROTOCOL")).removeprefix("HTTP/"),
        "server.address": host(name) if name else _text(get("SERVER_NAME")),
    }
    if port.isdecimal() and len(port) <= 5:
        told["server.port"] = int(port)
    for key, attribute in (("REMOTE_ADDR", "client.address"), ("HTTP_USER_AGENT", "user_agent.original")):
        value = _text(get(key))
        if value:
            told[attribute] = value
    return told


# -- around the application


def serve(app: App, environ: Environ, start_response: StartResponse, entered: Any = None) -> Any:
    """The application's answer, in a span. ``entered``: the framework's object whose own entry this is; a server that
    we know may have come to it through a span already."""
    request = guarded(NAME, _begin, app, environ, entered)
    try:
        if request is None:
            return app(environ, start_response)
        body = app(environ, _noting(request, start_response))
    except BaseException as error:
        if request is not None:
            guarded(NAME, request.end, error)
            guarded(NAME, request.leave)
        step_aside(error)
        raise
    guarded(NAME, request.leave)
    return _given(request, body, environ)


def _begin(app: App, environ: Environ, entered: Any) -> Request | None:
    if type(environ) is not dict:
        return None
    outer, span = under_way.get(), current()
    if outer is not None and outer.is_of(environ):
        return None
    if entered is not None and outer is None and span is not None and span.kind == SERVER:
        return None  # an ASGI application or an instrumentation is around it
    if contrib.suppressed() or contrib.sees(app if entered is None else entered):
        return None
    request = Request(environ)
    request.enter()
    return request


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

    return unseen(start)


def _given(request: Request, body: Any, environ: Environ) -> Any:
    """The response, or what stands for it until it is closed."""
    kind = type(body)
    wrapper = environ.get("wsgi.file_wrapper")
    if kind in _WHOLE or body is None or (isinstance(wrapper, type) and issubclass(kind, wrapper)):
        guarded(NAME, request.end)
        return body
    return (SizedBody if hasattr(kind, "__len__") else Body)(body, request)


class Body:
    """Stands for the application's iterable: it has a close() and a length where that has."""

    __slots__ = ("_aftertrace_body", "_aftertrace_request")

    def __init__(self, body: Any, request: Request) -> None:
        self._aftertrace_body = body
        self._aftertrace_request = request

    def __iter__(self) -> Iterator[Any]:
        body, request = self._aftertrace_body, self._aftertrace_request
        guarded(NAME, request.enter)
        try:
            return _Chunks(iter(body), request, ends=not hasattr(body, "close"))
        except BaseException as error:
            guarded(NAME, request.end, error)
            step_aside(error)
            raise
        finally:
            guarded(NAME, request.leave)

    def __getattr__(self, name: str) -> Any:
        try:
            found = getattr(self._aftertrace_body, name)
        except BaseException as error:
            step_aside(error)
            raise
        return functools.partial(_close, self._aftertrace_request, found) if name == "close" else found

    def __del__(self) -> None:
        """The server has dropped it without a close()."""
        guarded(NAME, self._aftertrace_request.end)


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
        guarded(NAME, request.enter)
        try:
            return next(self._iterator)
        except StopIteration:
            if self._ends:
                guarded(NAME, request.end)
            raise
        except BaseException as error:
            guarded(NAME, request.end, error)
            step_aside(error)
            raise
        finally:
            guarded(NAME, request.leave)


def _close(request: Request, close: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    guarded(NAME, request.enter)
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
        guarded(NAME, request.leave)


for _function in (serve, _close, Body.__iter__, Body.__getattr__, SizedBody.__len__, _Chunks.__next__):
    unseen(_function)

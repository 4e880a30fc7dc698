"""Where WSGI applications are entered: by servers (gunicorn, werkzeug, wsgiref and Django's runserver on it, waitress),
whatever the application, and by Flask and Django themselves under any other server; and where these two tell the route
of a request and the exception that nobody handled.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from aftertrace._native import WsgiRequest, wsgi_wanted
from aftertrace.record.boundaries.calls import around, patch, patch_all, step_aside, unseen
from aftertrace.record.boundaries.wsgi import NAME, serve, under_way

_WORKERS = frozenset({"gunicorn.workers.sync", "gunicorn.workers.gthread", "gunicorn.workers.base_async"})


def _nothing(_state: Any, _result: Any, _error: BaseException | None) -> None: ...


# -- servers


def _holding(attribute: str, wanted: Callable[[Any], bool]) -> Callable[[Any], Any]:
    """Around a method that puts the application into an attribute of its instance."""

    def begin(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
        return args[0] if wanted(args[0]) else None

    def end(instance: Any, _result: Any, error: BaseException | None) -> None:
        app = vars(instance).get(attribute)
        if error is None and callable(app) and not (type(app) is functools.partial and app.func is serve):
            vars(instance)[attribute] = functools.partial(serve, app)

    return around(NAME, begin, end)


def gunicorn(module: ModuleType) -> None:
    """``gunicorn.workers.base``: of its workers those that call WSGI applications."""

    def calls_wsgi(worker: Any) -> bool:
        return any(kind.__module__ in _WORKERS for kind in type(worker).__mro__)

    patch(module, "Worker.load_wsgi", _holding("wsgi", calls_wsgi))


def werkzeug(module: ModuleType) -> None:
    """``werkzeug.serving``."""
    patch(module, "BaseWSGIServer.__init__", _holding("app", lambda _: True))


def waitress(module: ModuleType) -> None:
    """``waitress.server``."""
    patch(module, "BaseWSGIServer.__init__", _holding("application", lambda _: True))


def wsgiref(module: ModuleType) -> None:
    """``wsgiref.handlers``."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def run(self: Any, application: Any) -> Any:
            try:
                return original(self, functools.partial(serve, application))
            except BaseException as error:
                step_aside(error)
                raise

        return unseen(run)

    patch(module, "BaseHandler.run", make)


# -- frameworks


def _entry(original: Callable[..., Any]) -> Callable[..., Any]:
    """An application's __call__."""

    @functools.wraps(original)
    def __call__(self: Any, environ: Any, start_response: Any) -> Any:  # noqa: N807  # the framework's name
        try:
            if not wsgi_wanted(environ, True):  # the server has entered it already
                return original(self, environ, start_response)
            return serve(functools.partial(original, self), environ, start_response, self)
        except BaseException as error:
            step_aside(error)
            raise

    return unseen(__call__)


def _noting_exception(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    request = under_way.get()
    for found in (*args, *kwargs.values()) if request is not None else ():
        error = found[1] if type(found) is tuple and len(found) == 3 else found
        if request is not None and issubclass(type(error), BaseException):
            request.fail(error)


# Around what is called with an exception, or its exc_info, that no handler of the program took.
_exception = around(NAME, _noting_exception, _nothing)


def _routed(tell: Callable[[Any], str]) -> Callable[[Any], Any]:
    """Around what finds the route of a request; the first one in a request is its own."""

    def begin(_args: tuple[Any, ...], _kwargs: dict[str, Any]) -> WsgiRequest | None:
        request = under_way.get()
        return None if request is None or request.route else request

    def end(request: WsgiRequest, result: Any, error: BaseException | None) -> None:
        path = tell(result) if error is None and request.environ is not None else ""
        if path and request.environ is not None:
            root = request.environ.get("SCRIPT_NAME")
            request.route = f"{root.rstrip('/')}{path}" if type(root) is str else path

    return around(NAME, begin, end)


def _rule(matched: Any) -> str:
    """Of werkzeug's match: (rule, arguments) where the caller asked for the rule, as Flask does."""
    rule = getattr(matched[0], "rule", None) if type(matched) is tuple and matched else None
    return rule if type(rule) is str else ""


def _resolved(matched: Any) -> str:
    """Of Django's ResolverMatch; its root has the first slash, and a regular expression its own anchor."""
    path = getattr(matched, "route", None)
    return f"/{path.lstrip('^')}" if type(path) is str else ""


def flask(module: ModuleType) -> None:
    """``flask.app``."""
    patch_all(module, {"Flask.__call__": _entry, "Flask.handle_exception": _exception})


def routing(module: ModuleType) -> None:
    """``werkzeug.routing.map``: Flask's, and that of others who use it so."""
    patch(module, "MapAdapter.match", _routed(_rule))


def django(module: ModuleType) -> None:
    """``django.core.handlers.wsgi``."""
    patch(module, "WSGIHandler.__call__", _entry)


def django_base(module: ModuleType) -> None:
    """``django.core.handlers.base``."""
    patch(module, "BaseHandler.resolve_request", _routed(_resolved))


def django_exceptions(module: ModuleType) -> None:
    """``django.core.handlers.exception``: what becomes a 500."""
    patch(module, "handle_uncaught_exception", _exception)

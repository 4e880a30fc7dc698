"""The borders of a process: what comes in and goes out becomes a span, and the context crosses with it (D9)."""

from __future__ import annotations

from aftertrace.record.boundaries import otel
from aftertrace.record.boundaries.calls import Missing
from aftertrace.record.boundaries.imports import when_imported
from aftertrace.record.boundaries.state import ledger

TYPE_CHECKING = False  # nothing is imported at a start that can be done without
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["install", "probe", "report"]

# module that is waited for -> the boundary's module here, and its function; a boundary may wait for several
_BOUNDARIES = (
    ("uvicorn.protocols.http.h11_impl", "asgi", "uvicorn"),
    ("uvicorn.protocols.http.httptools_impl", "asgi", "uvicorn"),
    ("uvicorn.protocols.http.zttp_impl", "asgi", "uvicorn"),
    ("uvicorn.protocols.http.zttp_h2_impl", "asgi", "uvicorn"),
    ("starlette.applications", "asgi", "starlette"),
    ("fastapi.telemetry._asgi", "asgi", "fastapi"),
    ("gunicorn.workers.base", "wsgi_hosts", "gunicorn"),
    ("werkzeug.serving", "wsgi_hosts", "werkzeug"),
    ("wsgiref.handlers", "wsgi_hosts", "wsgiref"),
    ("waitress.server", "wsgi_hosts", "waitress"),
    ("flask.app", "wsgi_hosts", "flask"),
    ("werkzeug.routing.map", "wsgi_hosts", "routing"),
    ("django.core.handlers.wsgi", "wsgi_hosts", "django"),
    ("django.core.handlers.base", "wsgi_hosts", "django_base"),
    ("django.core.handlers.exception", "wsgi_hosts", "django_exceptions"),
    ("httpx", "httpx", "install"),
    ("urllib3.connectionpool", "urllib3", "pools"),
    ("urllib3.poolmanager", "urllib3", "managers"),
    ("requests.sessions", "urllib3", "requests"),
    ("sqlite3", "sqlite", "install"),
    ("psycopg", "psycopg", "install"),
    ("psycopg_pool", "psycopg", "pool"),
    ("asyncpg", "asyncpg", "install"),
    ("redis.client", "redis", "blocking"),
    ("redis.asyncio.client", "redis", "later"),
    ("redis.cluster", "redis", "cluster"),
    ("redis.asyncio.cluster", "redis", "cluster_later"),
    ("sqlalchemy.engine.base", "sqlalchemy", "engine"),
    ("sqlalchemy.util.queue", "sqlalchemy", "queue"),
    ("huey.api", "huey", "install"),
    ("celery.app.amqp", "celery", "sending"),
    ("celery.app.trace", "celery", "running"),
    ("logging", "logs", "install"),
    ("threading", "threads", "threading"),
    ("concurrent.futures.thread", "threads", "executors"),
)


def install() -> None:
    """Patches what is loaded, and what is loaded later when it is. Imports nothing that the program does not."""
    for target, name, function in _BOUNDARIES:
        ledger.set(target, "waiting")
        when_imported(target, _hook(target, name, function))
    otel.install()


def _hook(target: str, name: str, function: str) -> Callable[[ModuleType], None]:
    def hook(module: ModuleType) -> None:
        from importlib import import_module  # noqa: PLC0415  # not before the first boundary

        try:
            getattr(import_module(f"aftertrace.record.boundaries.{name}"), function)(module)
        except Missing as error:
            ledger.set(target, "skipped", str(error))
        else:
            ledger.set(target, "installed")

    return hook


def report() -> list[tuple[str, str, str]]:
    """(module, "installed" | "waiting" | "skipped", detail) of each boundary."""
    return ledger.lines()


def probe() -> list[tuple[str, str, str]]:
    """The report of a program that uses every library that there is ("absent": it is not installed); for a process of
    its own."""
    from importlib import import_module  # noqa: PLC0415

    install()
    for target in (*(target for target, _, _ in _BOUNDARIES), *otel.TARGETS):
        try:
            import_module(target)
        except ImportError:
            ledger.set(target, "absent")
        except Exception as error:
            ledger.set(target, "skipped", f"its import fails: {type(error).__name__}")
    return report()

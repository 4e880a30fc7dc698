"""Celery: a PRODUCER span where a task's message is sent, a CONSUMER span around the task where it is run; the context
between them in the message's headers, where OpenTelemetry's own instrumentation has it too.

A task that is run in place (eager, ``apply``) has no message: its CONSUMER span is a child of the current one. A task
that passes on its request's headers (a retry does) does not pass on the context that they came with.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from types import ModuleType
from typing import Any, NamedTuple

from aftertrace._native import Span
from aftertrace.record import propagation
from aftertrace.record.boundaries import contrib
from aftertrace.record.boundaries.calls import (
    CONSUMER,
    ERROR,
    PRODUCER,
    Open,
    around,
    close,
    error_type,
    guarded,
    opened,
    patch,
    step_aside,
    unseen,
)

NAME = "celery"
_SCOPE = "aftertrace.celery"
_HEADERS = (propagation.TRACEPARENT, propagation.TRACESTATE, propagation.BAGGAGE)

type Carrier = dict[str, str]

# What the task that runs here was sent with.
_received: ContextVar[Carrier | None] = ContextVar("aftertrace.celery", default=None)


def _attributes(task: Any, id_: Any, queue: str, operation: str) -> dict[str, Any]:
    told = {
        "messaging.system": "celery",
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        "messaging.message.id": str(id_),
        "aftertrace.task": str(task),
    }
    if queue:
        told["messaging.destination.name"] = queue
    return told


def _instrumented() -> bool:
    return contrib.instruments("celery", "CeleryInstrumentor")


# -- sending


def _produce(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Open | None:
    """args: producer, the task's name, its message (headers, properties, body, event)."""
    if len(args) < 3 or contrib.suppressed():
        return None
    message = args[2]
    _drop_stale(kwargs)
    if _instrumented():
        return None
    headers, body = message[0], message[2]
    id_ = headers.get("id") or (body.get("id") if type(body) is dict else "")  # the latter: message protocol 1
    queue = _queue(kwargs)
    attributes = _attributes(args[1], id_, queue, "send")
    retries = headers.get("retries")
    if retries:
        attributes["messaging.celery.retries"] = retries
    span = Span(f"send {queue}".rstrip(), PRODUCER, propagation.parent(), attributes, None, None, _SCOPE)
    own = kwargs.get("headers") or {}
    carrier = {name: "" for name in _HEADERS if name in own or name in headers}
    headers.update(propagation.write(span, carrier))
    return opened(span)


def _queue(kwargs: dict[str, Any]) -> str:
    """Of the options that the router has made."""
    found = kwargs.get("queue")
    name = found if isinstance(found, str) else getattr(found, "name", None)
    return str(name or kwargs.get("routing_key") or kwargs.get("exchange") or "")


def _drop_stale(kwargs: dict[str, Any]) -> None:
    """Takes the context that the running task came with out of the headers that it passes on."""
    came, headers = _received.get(), kwargs.get("headers")
    if came and type(headers) is dict and any(headers.get(name) == value for name, value in came.items()):
        kwargs["headers"] = {name: value for name, value in headers.items() if came.get(name) != value}


def _sender(original: Callable[..., Any]) -> Callable[..., Any]:
    """AMQP._create_task_sender(): it gives the function that sends each message of an app."""

    @functools.wraps(original)
    def _create_task_sender(*args: Any, **kwargs: Any) -> Any:
        try:
            return around(NAME, _produce, close)(original(*args, **kwargs))
        except BaseException as error:
            step_aside(error)
            raise

    return unseen(_create_task_sender)


# -- running


class Running(NamedTuple):
    open: Open
    baggage: object
    received: Any
    task: Any


def _consume(task: Any, eager: bool, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Running | None:
    """args: the task's id, arguments, keywords, and its request. A child of the producer's span, and linked with it, as
    the semantic conventions want it."""
    if contrib.suppressed() or (_instrumented() and not contrib.foreign()):
        return None
    request: dict[str, Any] = args[3] if len(args) > 3 and type(args[3]) is dict else {}
    carrier = {} if eager else _carrier(request)
    remote = propagation.read_mapping(carrier)
    links = None if remote is None else ((remote[0], remote[1], None),)
    queue = _came_by(request)
    attributes = _attributes(task.name, args[0], queue, "process")
    attributes["messaging.celery.retries"] = request.get("retries") or 0
    span = Span(f"process {queue}".rstrip(), CONSUMER, remote or propagation.parent(), attributes, links, None, _SCOPE)
    bags = propagation.enter_baggage(propagation.parse_baggage([carrier.get(propagation.BAGGAGE, "")]))
    return Running(opened(span), bags, _received.set(carrier), task)


def _carrier(request: dict[str, Any]) -> Carrier:
    """Out of the message's headers; messages of protocol 1 have them below ``headers``."""
    own = request.get("headers")
    sources = (request, own) if type(own) is dict else (request,)
    return {name: value for name in _HEADERS for source in sources if type(value := source.get(name)) is str and value}


def _came_by(request: dict[str, Any]) -> str:
    delivery = request.get("delivery_info")
    found = delivery.get("routing_key") if type(delivery) is dict else None
    return found if type(found) is str else ""


def _consumed(state: Running, result: Any, error: BaseException | None) -> None:
    """result: (returned, info, runtime, representation); info is there where the task did not succeed."""
    span = state.open.span
    info = getattr(result, "info", None)
    if error is None and info is not None:
        guarded(NAME, _judge, span, state.task, getattr(info, "state", None), getattr(info, "retval", None))
    _received.reset(state.received)
    close(state.open, None, error)
    with suppress(ValueError):
        propagation.leave_baggage(state.baggage)


def _judge(span: Span, task: Any, state: Any, found: Any) -> None:
    """Celery catches what a task raises. A retry is the failure of this try when an exception made it; exceptions that
    the task announces in ``throws`` are none."""
    if state == "RETRY":
        found = getattr(found, "exc", None)
    elif state != "FAILURE":
        return
    if not issubclass(type(found), BaseException):
        return
    span.set_attribute("error.type", error_type(found))
    announced = getattr(task, "throws", ())
    if not set(type(found).__mro__).isdisjoint(announced if type(announced) is tuple else (announced,)):
        return
    span.record_exception(found, escaped=True)
    span.set_status(ERROR)


def _tracer(original: Callable[..., Any]) -> Callable[..., Any]:
    """build_tracer(name, task, ..., eager): it gives the function that runs a task."""

    @functools.wraps(original)
    def build_tracer(name: Any, task: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            begin = functools.partial(_consume, task, bool(kwargs.get("eager")))
            return around(NAME, begin, _consumed)(original(name, task, *args, **kwargs))
        except BaseException as error:
            step_aside(error)
            raise

    return unseen(build_tracer)


def sending(module: ModuleType) -> None:
    """``celery.app.amqp``."""
    patch(module, "AMQP._create_task_sender", _sender)


def running(module: ModuleType) -> None:
    """``celery.app.trace``."""
    patch(module, "build_tracer", _tracer)

"""huey: a PRODUCER span where a task is put into the queue, a CONSUMER span where it is run; the context between them.

A huey message has no headers. The context travels behind the pickled message: pickle ignores bytes past the object's
end (documented), so a consumer without aftertrace reads the same message, and one with it reads messages of producers
without. Serializers of the user's own kind (JSON ...) are left as they are, and carry no context.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

from aftertrace._native import Span, attach, current, detach
from aftertrace.record import propagation
from aftertrace.record.boundaries.calls import CONSUMER, ERROR, PRODUCER, Missing, patch
from aftertrace.record.boundaries.state import ledger

NAME = "huey"
_SCOPE = "aftertrace.huey"
_MARK = b"\x00aftertrace\x00"  # then the context, then its length in two bytes at the very end
_MOST = 4096  # bytes of context
_HEADERS = (propagation.TRACEPARENT, propagation.TRACESTATE, propagation.BAGGAGE)

type Carrier = dict[str, str]


class _Message(threading.local):
    """The message that this thread is writing or reading: the context that goes with it."""

    writing: Carrier | None = None
    reading: bool = False
    read: Carrier | None = None


_message = _Message()


def pack(carrier: Carrier) -> bytes:
    """What stands behind the message; nothing when it would be too long."""
    text = "\n".join(carrier.get(name, "") for name in _HEADERS).encode("utf-8", "replace")
    return _MARK + text + len(text).to_bytes(2, "little") if len(text) <= _MOST else b""


def unpack(data: bytes) -> Carrier:
    """The context behind a message, {} when there is none."""
    length = int.from_bytes(data[-2:], "little")
    begin = len(data) - 2 - length
    if begin < len(_MARK) or length > _MOST or data[begin - len(_MARK) : begin] != _MARK:
        return {}
    values = data[begin:-2].decode("utf-8", "replace").split("\n")
    return {name: value for name, value in zip(_HEADERS, values, strict=False) if value}


def _attributes(huey: Any, task: Any, operation: str) -> dict[str, Any]:
    return {
        "messaging.system": "huey",
        "messaging.destination.name": str(huey.name),
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        "messaging.message.id": str(task.id),
        "aftertrace.task": str(task.name),
    }


def _enqueue(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def enqueue(self: Any, task: Any, *args: Any, **kwargs: Any) -> Any:
        span = _guarded(_produce, self, task)
        if span is None:
            return original(self, task, *args, **kwargs)
        token = attach(span)
        try:
            return original(self, task, *args, **kwargs)
        except Exception as error:
            span.record_exception(error, escaped=True)
            span.set_status(ERROR)
            raise
        finally:
            span.end()
            detach(token)

    return enqueue


def _produce(huey: Any, task: Any) -> Span | None:
    """None for groups and chords: each of their tasks is enqueued by itself."""
    if not hasattr(task, "id") or not hasattr(task, "kwargs"):
        return None
    attributes = _attributes(huey, task, "send")
    return Span(f"send {huey.name}", PRODUCER, propagation.parent(), attributes, None, None, _SCOPE)


def _serialize_task(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def serialize_task(self: Any, task: Any) -> Any:
        outer = _message.writing
        _message.writing = _guarded(_carrier, task)
        try:
            return original(self, task)
        finally:
            _message.writing = outer

    return serialize_task


def _carrier(task: Any) -> Carrier:
    """The current span's context; else, for a task that goes back into the queue, what it came with."""
    span = current()
    carrier: Carrier = {}
    if span is None:
        return dict(vars(task).get("_aftertrace_context", carrier))
    propagation.write(span, carrier)
    return carrier


def _deserialize_task(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def deserialize_task(self: Any, data: Any) -> Any:
        _message.reading, _message.read = True, None
        try:
            task = original(self, data)
        finally:
            _message.reading = False
        if _message.read:
            _guarded(setattr, task, "_aftertrace_context", _message.read)
        return task

    return deserialize_task


def _serialize(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def _serialize(self: Any, data: Any) -> Any:
        written = original(self, data)
        if _message.writing and type(written) is bytes:
            return written + (_guarded(pack, _message.writing) or b"")
        return written

    return _serialize


def _deserialize(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def _deserialize(self: Any, data: Any) -> Any:
        if _message.reading and type(data) is bytes:
            _message.read = _guarded(unpack, data)
        return original(self, data)

    return _deserialize


def _execute(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def _execute(self: Any, task: Any, *args: Any, **kwargs: Any) -> Any:
        opened = _guarded(_consume, self, task)
        if opened is None:
            return original(self, task, *args, **kwargs)
        span, bags = opened
        token = attach(span)
        try:
            return original(self, task, *args, **kwargs)
        finally:
            span.end()
            detach(token)
            _guarded(propagation.leave_baggage, bags)

    return _execute


def _consume(huey: Any, task: Any) -> tuple[Span, object]:
    """A child of the producer's span, and linked with it, as the semantic conventions want it."""
    carrier: Carrier = vars(task).get("_aftertrace_context", {})
    remote = propagation.read_mapping(carrier)
    links = None if remote is None else ((remote[0], remote[1], None),)
    attributes = _attributes(huey, task, "process")
    parent = remote or propagation.parent()
    span = Span(f"process {huey.name}", CONSUMER, parent, attributes, links, None, _SCOPE)
    return span, propagation.enter_baggage(propagation.parse_baggage([carrier.get(propagation.BAGGAGE, "")]))


def _emit(original: Callable[..., Any]) -> Callable[..., Any]:
    """huey catches what a task raises; its signals say so."""

    @functools.wraps(original)
    def _emit(self: Any, signal: Any, task: Any, *args: Any, **kwargs: Any) -> Any:
        if signal in {"error", "timeout"}:
            _guarded(_failed, args)
        return original(self, signal, task, *args, **kwargs)

    return _emit


def _failed(args: tuple[Any, ...]) -> None:
    span = current()
    if span is None or span.kind != CONSUMER:
        return
    error = args[0] if args and isinstance(args[0], BaseException) else None
    if error is not None:
        span.set_attribute("error.type", type(error).__qualname__)
        span.record_exception(error, escaped=True)
    span.set_status(ERROR)


def _guarded[Result](act: Callable[..., Result], *args: Any) -> Result | None:
    try:
        return act(*args)
    except Exception as error:
        ledger.failed(NAME, error)
        return None


def install(module: ModuleType) -> None:
    """``huey.api``: all targets or none."""
    huey, serializer = module.Huey, getattr(module, "Serializer", None)
    wrappers = {
        "enqueue": _enqueue,
        "serialize_task": _serialize_task,
        "deserialize_task": _deserialize_task,
        "_execute": _execute,
        "_emit": _emit,
    }
    absent = [name for name in wrappers if not callable(vars(huey).get(name))]
    if absent or not callable(vars(serializer or object).get("_serialize")):
        raise Missing(f"Huey.{absent[0] if absent else 'serializer'} is not there")
    for name, wrapper in wrappers.items():
        patch(huey, name, wrapper)
    patch(serializer, "_serialize", _serialize)
    patch(serializer, "_deserialize", _deserialize)

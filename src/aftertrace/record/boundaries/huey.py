"""huey: a PRODUCER span where a task is put into the queue, a CONSUMER span where it is run; the context between them.

A huey message has no headers. The context travels behind the pickled message: pickle ignores bytes past the object's
end (documented), so a consumer without aftertrace reads the same message, and one with it reads messages of producers
without. Serializers of the user's own kind (JSON ...) are left as they are, and carry no context.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

from aftertrace._native import Span, current
from aftertrace.record import propagation
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
    patch_all,
    step_aside,
    unseen,
)

NAME = "huey"
_SCOPE = "aftertrace.huey"
_MARK = b"\x00aftertrace\x00"  # then the context, then its length in two bytes at the very end
_ATTRIBUTE = "_aftertrace_context"  # of a task that was read from the queue or the schedule
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


def _produce(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Open | None:
    """None for groups and chords, each of whose tasks is enqueued by itself; and for a task that only moves from the
    schedule into the queue: it keeps the context that it came with."""
    huey, task = args[0], args[1] if len(args) > 1 else kwargs["task"]
    fields = vars(task)
    if "id" not in fields or "kwargs" not in fields or (current() is None and _ATTRIBUTE in fields):
        return None
    attributes = _attributes(huey, task, "send")
    return opened(Span(f"send {huey.name}", PRODUCER, propagation.parent(), attributes, None, None, _SCOPE))


def _begin_writing(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Carrier | None]:
    outer = _message.writing
    _message.writing = _carrier(args[1] if len(args) > 1 else kwargs["task"])
    return (outer,)


def _end_writing(state: tuple[Carrier | None], _result: Any, _error: BaseException | None) -> None:
    _message.writing = state[0]


def _carrier(task: Any) -> Carrier:
    """The current span's context; else, for a task that goes back into the queue, what it came with."""
    span = current()
    carrier: Carrier = {}
    if span is None:
        return dict(vars(task).get(_ATTRIBUTE, carrier))
    propagation.write(span, carrier)
    return carrier


def _serialize(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def _serialize(self: Any, data: Any) -> Any:
        try:
            written = original(self, data)
        except BaseException as error:
            step_aside(error)
            raise
        if _message.writing and type(written) is bytes:
            return written + (guarded(NAME, pack, _message.writing) or b"")
        return written

    return unseen(_serialize)


def _begin_reading(_args: tuple[Any, ...], _kwargs: dict[str, Any]) -> bool:
    _message.reading, _message.read = True, None
    return True


def _end_reading(_state: bool, task: Any, error: BaseException | None) -> None:
    _message.reading = False
    if _message.read and error is None:
        vars(task)[_ATTRIBUTE] = _message.read


def _look(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
    if _message.reading and len(args) > 1 and type(args[1]) is bytes:
        _message.read = unpack(args[1])


def _nothing(_state: Any, _result: Any, _error: BaseException | None) -> None: ...


def _consume(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Open, object]:
    """A child of the producer's span, and linked with it, as the semantic conventions want it."""
    huey, task = args[0], args[1] if len(args) > 1 else kwargs["task"]
    carrier: Carrier = vars(task).get(_ATTRIBUTE, {})
    remote = propagation.read_mapping(carrier)
    links = None if remote is None else ((remote[0], remote[1], None),)
    attributes = _attributes(huey, task, "process")
    span = Span(f"process {huey.name}", CONSUMER, remote or propagation.parent(), attributes, links, None, _SCOPE)
    bags = propagation.enter_baggage(propagation.parse_baggage([carrier.get(propagation.BAGGAGE, "")]))
    return opened(span), bags


def _consumed(state: tuple[Open, object], result: Any, error: BaseException | None) -> None:
    close(state[0], result, error)
    propagation.leave_baggage(state[1])


def _signalled(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
    """huey catches what a task raises; its signals say so."""
    if len(args) < 2 or args[1] not in {"error", "timeout"}:
        return
    span = current()
    if span is None or span.kind != CONSUMER:
        return
    error = sys.exception()
    if error is not None:
        span.set_attribute("error.type", error_type(error))
        span.record_exception(error, escaped=True)
    span.set_status(ERROR)


def install(module: ModuleType) -> None:
    """``huey.api``."""
    patch_all(
        module,
        {
            "Huey.enqueue": around(NAME, _produce, close),
            "Huey.serialize_task": around(NAME, _begin_writing, _end_writing),
            "Huey.deserialize_task": around(NAME, _begin_reading, _end_reading),
            "Huey._execute": around(NAME, _consume, _consumed),
            "Huey._emit": around(NAME, _signalled, _nothing),
            "Serializer._serialize": _serialize,
            "Serializer._deserialize": around(NAME, _look, _nothing),
        },
    )

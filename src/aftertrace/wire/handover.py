"""The hand-over of a ring to the agent: one JSON object per line over a Unix stream socket (docs/format.md).

Both sides use this: the recorded process offers its ring and its sources, a command asks for the status or sets a
level. A line that cannot be read raises ValueError, and the reader of it closes the connection.
"""

from __future__ import annotations

import _socket
import os
import sys
from binascii import a2b_base64, b2a_base64

from aftertrace.fields import Fields
from aftertrace.settings import LEVELS
from aftertrace.wire import lean_json

TYPE_CHECKING = False  # a recorded program loads this module
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any

    from aftertrace.settings import Level

VERSION = 1
LINE_LIMIT = 8 << 20  # bytes of one line that a reader takes
SOURCE_LIMIT = 4 << 20  # bytes of one file
_CHUNK = 1 << 16
_DESCRIPTOR = 4  # bytes of one among the rights


class Ring(Fields):
    """A process offers its ring; the memfd travels with the line's bytes."""

    process_uid: str  # 32 hex digits
    pid: int
    service: str
    level: Level
    resource: Mapping[str, Any] = {}  # OTel resource attributes
    argv: tuple[str, ...] = ()


class Ok(Fields):
    """The agent has taken the ring."""

    agent: str  # its version


class Refused(Fields):
    """The agent does not want it; the process goes on without."""

    slug: str
    message: str


class SourceFile(Fields):
    """One file of user code, as its bytes are on disk."""

    path: str
    data: bytes


class SetLevel(Fields):
    """From the agent to a process: record at this level from now on. From a command to the agent: tell it to every
    process of this service, "" for all."""

    level: Level
    service: str = ""


class Switch(Fields):
    """From the agent to a process: record from now on, or end to. From a command to the agent: tell it to every process
    of this service ("": all), and to those that start later."""

    on: bool
    service: str = ""
    reason: str = ""


class Idle(Fields):
    """A process of a service that is switched off: it has no ring, and waits for Switch(on)."""

    pid: int
    service: str
    argv: tuple[str, ...] = ()
    asleep: bool = False  # it stays so although the list does not say so any more, until it is told


class Focus(Fields):
    """From the agent to a process: functions (path, first line) that took part in a failure are recorded at lines for
    so many seconds, as far as the whole budget allows."""

    places: tuple[tuple[str, int], ...]
    seconds: float


class Report(Fields):
    """From the agent to a process: somebody watches, say what recording costs for so many seconds."""

    seconds: float


class Usage(Fields):
    """From a process that was asked to Report: what _native.usage(), hot() and outside() say, and the ring's size."""

    usage: Mapping[str, Any]
    hot: tuple[tuple[Any, ...], ...]  # path, function, first line, level (0, 1, 2), calls/s of CPU, share of CPU
    outside: tuple[tuple[Any, ...], ...]  # path, function, first line, calls, where its thread was started


class Status(Fields):
    """A command asks the agent how it is; the answer is one line of plain JSON. ``watch``: what the processes are asked
    to Report, too."""

    watch: bool = False


type Message = Ring | Ok | Refused | SourceFile | SetLevel | Switch | Idle | Focus | Report | Usage | Status


def encode(message: Message) -> bytes:
    """The message as one line."""
    match message:
        case Ring():
            data = {"type": "ring", "version": VERSION, **message.asdict()}
        case Ok():
            data = {"type": "ok", **message.asdict()}
        case Refused():
            data = {"type": "refused", **message.asdict()}
        case SourceFile():
            data = {"type": "source", "path": message.path, "data": b2a_base64(message.data, newline=False).decode()}
        case SetLevel():
            data = {"type": "level", **message.asdict()}
        case Switch():
            data = {"type": "switch", **message.asdict()}
        case Idle():
            data = {"type": "idle", **message.asdict()}
        case Focus():
            data = {"type": "focus", **message.asdict()}
        case Report():
            data = {"type": "report", **message.asdict()}
        case Usage():
            data = {"type": "usage", **message.asdict()}
        case Status():
            data = {"type": "status", **message.asdict()}
    return lean_json.dumps(data) + b"\n"


def decode(line: bytes) -> Message:
    """What encode() was given. ValueError: not a message of this version, a field that is off."""
    data = lean_json.loads(line)
    if not isinstance(data, dict):
        raise ValueError("a message is a JSON object")  # noqa: TRY004  # broken data, not a caller's mistake
    read = _READ.get(data.get("type"))
    if read is None:
        raise ValueError(f"unknown message {data.get('type')!r}")
    return read(data)


def _text(data: dict[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")  # noqa: TRY004  # broken data, not a caller's mistake
    return value


def _flag(data: dict[str, Any], name: str) -> bool:
    value = data.get(name)
    if not isinstance(value, bool):
        raise ValueError(f"{name} is not true or false")  # noqa: TRY004  # broken data, not a caller's mistake
    return value


def _pid(data: dict[str, Any]) -> int:
    pid = data.get("pid")
    if not isinstance(pid, int) or isinstance(pid, bool) or pid <= 0:
        raise ValueError("pid is off")
    return pid


def _argv(data: dict[str, Any]) -> tuple[str, ...]:
    argv = data.get("argv")
    if not isinstance(argv, list):
        raise ValueError("argv is off")  # noqa: TRY004  # broken data, not a caller's mistake
    return tuple(str(word) for word in argv)


def _seconds(data: dict[str, Any]) -> float:
    seconds = data.get("seconds")
    if not isinstance(seconds, int | float) or not 0 <= seconds <= 1e6:
        raise ValueError("seconds is off")
    return float(seconds)


def _places(data: dict[str, Any]) -> tuple[tuple[str, int], ...]:
    places = data.get("places")
    if not isinstance(places, list):
        raise ValueError("places is off")  # noqa: TRY004  # broken data, not a caller's mistake
    return tuple((str(path), int(line)) for path, line in places)


_ROWS = 1000


def _usage(data: dict[str, Any]) -> Usage:
    usage, hot, outside = data.get("usage"), data.get("hot"), data.get("outside")
    if not isinstance(usage, dict) or not isinstance(hot, list) or not isinstance(outside, list):
        raise ValueError("usage is off")  # noqa: TRY004  # broken data, not a caller's mistake
    if not all(isinstance(row, list) for row in hot + outside):
        raise ValueError("a row is off")
    return Usage(usage, tuple(map(tuple, hot[:_ROWS])), tuple(map(tuple, outside[:_ROWS])))


def _level(data: dict[str, Any]) -> Level:
    for level in LEVELS:
        if data.get("level") == level:
            return level
    raise ValueError(f"unknown level {data.get('level')!r}")


def _ring(data: dict[str, Any]) -> Ring:
    if data.get("version") != VERSION:
        raise ValueError(f"hand-over version {data.get('version')!r}, not {VERSION}")
    uid, resource = _text(data, "process_uid"), data.get("resource")
    if len(bytes.fromhex(uid)) != 16 or not isinstance(resource, dict):
        raise ValueError("process_uid or resource is off")
    return Ring(uid, _pid(data), _text(data, "service"), _level(data), resource, _argv(data))


def _source(data: dict[str, Any]) -> SourceFile:
    content = a2b_base64(_text(data, "data"), strict_mode=True)
    if len(content) > SOURCE_LIMIT:
        raise ValueError(f"a source is longer than {SOURCE_LIMIT} bytes")
    return SourceFile(_text(data, "path"), content)


_READ: dict[Any, Callable[[dict[str, Any]], Message]] = {
    "ring": _ring,
    "ok": lambda data: Ok(_text(data, "agent")),
    "refused": lambda data: Refused(_text(data, "slug"), _text(data, "message")),
    "source": _source,
    "level": lambda data: SetLevel(_level(data), _text(data, "service")),
    "switch": lambda data: Switch(_flag(data, "on"), _text(data, "service"), _text(data, "reason")),
    "idle": lambda data: Idle(_pid(data), _text(data, "service"), _argv(data), _flag(data, "asleep")),
    "focus": lambda data: Focus(_places(data), _seconds(data)),
    "report": lambda data: Report(_seconds(data)),
    "usage": _usage,
    "status": lambda data: Status("watch" in data and _flag(data, "watch")),
}


class Lines:
    """Bytes of a stream as whole lines. ValueError: one is longer than LINE_LIMIT."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        seen = len(self._rest)
        self._rest += data
        if self._rest.find(b"\n", seen) < 0:
            self._check()
            return []
        *whole, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        self._check()
        return whole

    def _check(self) -> None:
        if len(self._rest) > LINE_LIMIT:
            raise ValueError(f"a line is longer than {LINE_LIMIT} bytes")


def connect(path: str | Path, timeout: float) -> socket.socket:
    """A connection to the agent's socket, for commands; ``timeout`` in seconds. OSError: nobody is there."""
    import socket  # noqa: PLC0415  # a recorded program connects without it

    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        connection.settimeout(timeout)
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def send(connection: _socket.socket, message: Message, fd: int = -1) -> None:
    """The whole message; ``fd`` travels with its first byte. OSError: the other side is gone, or too slow (no SIGPIPE,
    which the program may have made deadly)."""
    line = encode(message)
    sent = 0
    if fd >= 0:
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(_DESCRIPTOR, sys.byteorder))]
        sent = connection.sendmsg([line[:_CHUNK]], rights, _socket.MSG_NOSIGNAL)
    if sent < len(line):  # the other side may have answered and closed already
        connection.sendall(line[sent:], _socket.MSG_NOSIGNAL)


def receive(connection: _socket.socket) -> tuple[bytes, list[int]]:
    """What has come: bytes (b"": the other side closed) and file descriptors, which the caller owns. OSError."""
    space = _socket.CMSG_SPACE(4 * _DESCRIPTOR)
    data, ancillary, _, _ = connection.recvmsg(_CHUNK, space, _socket.MSG_CMSG_CLOEXEC)
    descriptors: list[int] = []
    for level, kind, payload in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            ends = range(_DESCRIPTOR, len(payload) + 1, _DESCRIPTOR)
            descriptors += [int.from_bytes(payload[end - _DESCRIPTOR : end], sys.byteorder) for end in ends]
    return data, descriptors


def drop(descriptors: list[int]) -> None:
    """Closes what nobody wants."""
    for descriptor in descriptors:
        os.close(descriptor)

"""One connection to the agent, of the recorded process's side."""

from __future__ import annotations

import _socket  # not what a library such as gevent puts in its place
import os

from aftertrace.wire import handover
from aftertrace.wire.handover import Lines

TYPE_CHECKING = False  # nothing is imported at a start that can be done without
if TYPE_CHECKING:
    from aftertrace.wire.handover import Message

_fstat = os.fstat  # taken now: the program may put another in its place


class Connection:
    """A program may close all its descriptors, and ours would then be the number of something of its own: each use
    makes sure first that it is not. All methods raise OSError when the connection is gone."""

    def __init__(self, path: str) -> None:
        """OSError: nobody is there, or somebody who may not be."""
        _check_owner(path)
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        self._identity = identity(self._socket.fileno())
        self._lines = Lines()
        self._socket.setblocking(False)
        try:
            self._socket.connect(path)
        except BaseException:
            self._socket.close()
            raise

    def send(self, message: Message, fd: int = -1, *, seconds: float = 0.0) -> None:
        """The whole message; ``seconds`` is how long the agent may leave it unread."""
        self._own()
        self._socket.settimeout(seconds)
        handover.send(self._socket, message, fd)

    def messages(self) -> list[Message]:
        """What has come, without waiting. ValueError: something that is no message."""
        self._own()
        self._socket.settimeout(0.0)
        try:
            data, descriptors = handover.receive(self._socket)
        except BlockingIOError:
            return []
        handover.drop(descriptors)
        if not data:
            raise ConnectionResetError("the agent has closed the connection")
        return [handover.decode(line) for line in self._lines.feed(data)]

    def close(self) -> None:
        """Our end, if it is still ours. Never raises."""
        try:
            self._own()
            self._socket.close()
        except OSError:
            self._socket.detach()

    def _own(self) -> None:
        if identity(self._socket.fileno()) != self._identity:
            raise ConnectionAbortedError("the program has closed our descriptor")


def identity(fd: int) -> tuple[int, int]:
    """Which file a descriptor stands for. OSError: none."""
    found = _fstat(fd)
    return found.st_dev, found.st_ino


def _check_owner(path: str) -> None:
    """The ring holds values: a directory that another user made in /tmp under our name gets nothing."""
    owner = os.stat(os.path.dirname(path) or ".").st_uid
    if owner not in {os.geteuid(), 0}:
        raise PermissionError(f"the agent's directory belongs to user {owner}")

"""One connection to the agent, of the recorded process's side."""

from __future__ import annotations

import _socket  # not what a library such as gevent puts in its place
import errno
import os
import stat
import sys
from fcntl import F_DUPFD_CLOEXEC, fcntl
from resource import RLIMIT_NOFILE, getrlimit

from aftertrace.wire import handover
from aftertrace.wire.handover import Lines

TYPE_CHECKING = False  # nothing is imported at a start that can be done without
if TYPE_CHECKING:
    from collections.abc import Container

    from aftertrace.settings import Settings
    from aftertrace.wire.handover import Message

_fstat = os.fstat  # taken now: the program may put another in its place
_LONGEST = 107  # bytes of a Unix socket's path
_NUMBER = 4  # bytes of one of a peer's credentials


class Distrusted(PermissionError):
    """Who listens may not read what this process records."""


class Connection:
    """A program may close all its descriptors, and ours would then be the number of something of its own: each use
    makes sure first that it is not. All methods raise OSError when the connection is gone."""

    def __init__(self, path: str, trusted: Container[int]) -> None:
        """OSError: nobody is there; Distrusted: somebody who is none of the trusted users (uids)."""
        self._socket = _aside(_socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC))
        self._identity = identity(self._socket.fileno())
        self._lines = Lines()
        self._socket.setblocking(False)
        try:
            self._socket.connect(path)
            _check_listener(self._socket, trusted)
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


def _check_listener(connection: _socket.socket, trusted: Container[int]) -> None:
    """The ring holds values: whoever else has made a socket under the agent's name gets nothing."""
    credentials = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 3 * _NUMBER)  # pid, uid, gid
    uid = int.from_bytes(credentials[_NUMBER : 2 * _NUMBER], sys.byteorder)
    if uid not in trusted:
        raise Distrusted(distrust(uid))


def trusted(settings: Settings) -> frozenset[int]:
    """The users whose agent may read what this process records."""
    return frozenset({os.geteuid(), 0, settings.agent_user} - {-1})


def distrust(uid: int) -> str:
    return f"the agent there runs as user {uid}; to let it read what is recorded here, set AFTERTRACE_AGENT_USER={uid}"


def trouble(path: str, error: Exception) -> str:
    """Why the agent at ``path`` cannot be reached, as a sentence's part; "" when there is none."""
    if isinstance(error, Distrusted):
        return f"{path}: {error}"
    if isinstance(error, PermissionError):
        gid = os.getegid()
        return f"{path} does not admit user {os.geteuid()}; start the agent with AFTERTRACE_AGENT_GROUP={gid} for that"
    if isinstance(error, FileNotFoundError | ConnectionRefusedError | NotADirectoryError):
        return ""
    return f"{path}: {getattr(error, 'strerror', None) or error}"


def look(path: str, trusted: Container[int]) -> None:
    """Whether this user could reach the agent at ``path``, without connecting. OSError, Distrusted."""
    if len(os.fsencode(path)) > _LONGEST:
        raise OSError(errno.ENAMETOOLONG, f"longer than a socket's path may be ({_LONGEST} bytes)")
    found = os.stat(path)
    if not stat.S_ISSOCK(found.st_mode):
        raise FileNotFoundError(path)
    if found.st_uid not in trusted:
        raise Distrusted(distrust(found.st_uid))
    if not os.access(path, os.W_OK, effective_ids=True):
        raise PermissionError(path)


def _aside(fresh: _socket.socket) -> _socket.socket:
    """The same under a number that the program does not meet: its descriptors have those of a bare run."""
    most = min(getrlimit(RLIMIT_NOFILE)[0] % (1 << 64), 1024)
    try:
        return _socket.socket(fileno=fcntl(fresh.fileno(), F_DUPFD_CLOEXEC, max(most - 32, 3)))
    finally:
        fresh.close()

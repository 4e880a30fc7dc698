"""The agent's socket: a directory that is nobody else's, one agent at a time, nothing left behind."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

from aftertrace.errors import Unavailable, UsageError

_HINT = "AFTERTRACE_AGENT_SOCKET or --socket names another place."
_LONGEST = 107  # bytes of a Unix socket's path


class Listener:
    """Listens at ``path``, to our own user's processes (and root's), and to those of ``group`` (a gid, -1: none).
    UsageError: the place will not do; Unavailable: another agent listens there."""

    def __init__(self, path: Path, group: int = -1) -> None:
        self.path = path
        self._group = group
        _check_place(path)
        self._lock = _lock(path)
        try:
            self.socket = self._listen()
        except BaseException:
            os.close(self._lock)
            raise

    def _listen(self) -> socket.socket:
        if self.path.exists() or self.path.is_symlink():
            if not stat.S_ISSOCK(self.path.lstat().st_mode):
                raise UsageError("agent-socket", f"{self.path} is something else than a socket.", _HINT)
            if answers(self.path):
                raise taken(self.path)
            self.path.unlink()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            listening.bind(str(self.path))
            self._admit()
            listening.listen(512)
        except BaseException as error:
            listening.close()
            with suppress(OSError):  # nothing is left behind
                self.path.unlink()
            if isinstance(error, OSError):
                raise UsageError("agent-socket", f"Cannot listen at {self.path}: {error.strerror}.", _HINT) from None
            raise
        return listening

    def _admit(self) -> None:
        """Who may write to the socket and search its directory may connect: the kernel looks after it."""
        self.path.chmod(0o600)
        if self._group < 0:
            return
        place = self.path.parent
        found = place.stat()
        try:
            os.chown(self.path, -1, self._group)
            if (
                found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == 0o700
            ):  # as we make it; others are not ours
                os.chown(place, -1, self._group)
                place.chmod(0o710)
        except PermissionError:
            hint = "Start the agent as root or as a member of that group; AFTERTRACE_AGENT_GROUP names it."
            raise UsageError("agent-group", f"{self.path} cannot be given to group {self._group}.", hint) from None
        self.path.chmod(0o660)

    def close(self) -> None:
        with suppress(OSError):
            self.path.unlink()
        self.socket.close()
        os.close(self._lock)


def _check_place(path: Path) -> None:
    if len(os.fsencode(path)) > _LONGEST:
        raise UsageError("agent-socket", f"{path} is too long for a socket ({_LONGEST} bytes).", _HINT)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.parent.stat()
    except OSError as error:
        raise UsageError("agent-socket", f"Cannot make {path.parent}: {error.strerror}.", _HINT) from None
    if found.st_uid not in {os.geteuid(), 0}:
        raise UsageError("agent-socket", f"{path.parent} belongs to user {found.st_uid}.", _HINT)


def _lock(path: Path) -> int:
    """Held as long as the agent lives, so that two that start at once do not take each other's socket."""
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise UsageError("agent-socket", f"Cannot write in {path.parent}: {error.strerror}.", _HINT) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise taken(path) from None
    return lock


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def taken(path: Path) -> Unavailable:
    return Unavailable("agent-runs", f"An agent listens at {path} already.", "aftertrace status says how it is.")

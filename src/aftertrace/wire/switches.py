"""Which services are switched off: the agent's list, in a file beside its socket (D17).

The agent alone writes it; each recorded program reads it before it begins, so that one that must not be recorded never
is, and nobody waits for an answer.
"""

from __future__ import annotations

import os
import stat

from aftertrace.fields import Fields
from aftertrace.wire import lean_json

TYPE_CHECKING = False  # a recorded program loads this module
if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from typing import Any

# Taken now: the program may put its own in their place before it forks.
_open, _fstat, _read, _close = os.open, os.fstat, os.read, os.close

LIMIT = 1 << 20  # bytes of the list
_WORDS, _WORD = 64, 512  # of a command line


class Off(Fields):
    """One line of the list. Times in seconds since 1970."""

    service: str  # "": every service
    reason: str
    since: float
    until: float = 0.0  # 0: until it is switched on
    argv: tuple[str, ...] = ()  # of this command alone, its processes that start from now on; (): all, the running too
    user: int = -1  # whose processes; -1: everybody's

    def holds(self, service: str, argv: tuple[str, ...], user: int, now: float) -> bool:
        """Whether it keeps this command of a service, run by a user (uid), from being recorded."""
        if self.user not in {-1, user}:
            return False
        return (
            self.service in {"", service}
            and self.argv in {(), shortened(argv)}
            and not (self.until and now > self.until)
        )


def path(socket: str) -> str:
    """The list of the agent that listens at ``socket``."""
    return f"{socket}.off"


def shortened(argv: Iterable[str]) -> tuple[str, ...]:
    """As much of a command line as is handed over and compared."""
    return tuple(word[:_WORD] for word in [*argv][:_WORDS])


def read(file: str, trusted: Container[int]) -> list[Off]:
    """What the list says, if its owner (a uid) is to be believed. [] for none, or for what is no list."""
    try:
        descriptor = _open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError):
        return []
    try:
        found = _fstat(descriptor)
        if found.st_uid not in trusted or not stat.S_ISREG(found.st_mode):
            return []
        return decode(_read(descriptor, LIMIT))
    except OSError:
        return []
    finally:
        _close(descriptor)


def write(file: str, offs: Iterable[Off]) -> None:
    """Replaces the list; an empty one is no file. OSError."""
    data = encode(offs)
    if not data:
        if os.path.lexists(file):
            os.unlink(file)  # noqa: PTH108  # pathlib costs a recorded program's start
        return
    fresh = f"{file}.new"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    with os.fdopen(descriptor, "wb") as out:
        os.fchmod(descriptor, 0o644)  # who may record, may read it, whatever the umask
        out.write(data)
    os.replace(fresh, file)  # noqa: PTH105


def encode(offs: Iterable[Off]) -> bytes:
    """The list as it stands in the file; b"" for none."""
    lines = [off.asdict() for off in offs]
    return lean_json.dumps(lines) if lines else b""


def decode(data: bytes) -> list[Off]:
    """The lines that can be read."""
    try:
        lines = lean_json.loads(data)
    except (ValueError, RecursionError):
        return []
    return [off for line in (lines if isinstance(lines, list) else []) if (off := _off(line)) is not None]


def _off(line: Any) -> Off | None:
    if not isinstance(line, dict):
        return None
    service, reason, argv = line.get("service"), line.get("reason"), line.get("argv", [])
    since, until, user = line.get("since"), line.get("until", 0.0), line.get("user", -1)
    if not isinstance(service, str) or not isinstance(reason, str) or not isinstance(argv, list):
        return None
    if not isinstance(since, int | float) or not isinstance(until, int | float) or not isinstance(user, int):
        return None
    return Off(service, reason, float(since), float(until), tuple(str(word) for word in argv), user)

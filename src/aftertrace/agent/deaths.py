"""Which signal ended a process, and commands that die early again and again (D17).

The agent is nobody's parent. Linux 6.15 tells whoever holds a pidfd how the process ended, once its parent has taken
note; before that, and on older kernels, ``/proc`` tells it until the parent has. Where neither does (another pid
namespace, an older kernel and a fast parent), the cause stays unknown and does not count: an ordinary SIGTERM must not
switch a service off.
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import time
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass

from aftertrace.agent.process import Process, stat_fields

EARLY_S = 60.0  # of a process's life
WINDOW_S = 900.0  # two within this time are a pattern: a supervisor may wait minutes before it starts one anew
# By which a program ends that did something wrong, or whose memory has run out. SIGTERM, SIGINT, SIGHUP and SIGQUIT are
# how people and supervisors end one. SIGKILL counts: it is how out-of-memory looks, and the end of one that hangs.
_CRASHES = {getattr(signal, f"SIG{name}") for name in ("KILL", "SEGV", "BUS", "ILL", "FPE", "ABRT", "SYS", "TRAP")}

_GET_INFO = 0xC050FF0B  # PIDFD_GET_INFO of 80 bytes
_EXITED = 8  # PIDFD_INFO_EXIT
_INFO = struct.Struct("=Q52xi16x")  # mask; exit code at 60
_PATIENCE_S = 5.0  # for a parent to take note
_MOST = 1024  # commands, and deaths in question


@dataclass(frozen=True, slots=True)
class Command:
    """What a supervisor would start again. ``user``: uid."""

    service: str
    argv: tuple[str, ...]
    user: int


@dataclass(slots=True)
class _Death:
    pidfd: int
    pid: int
    command: Command
    until: float


class Deaths:
    def __init__(self) -> None:
        self._questions: deque[_Death] = deque()
        self._early: OrderedDict[Command, tuple[float, str]] = OrderedDict()  # the last: when, by which signal

    def add(self, process: Process) -> None:
        """A process that is no more, before its pidfd is closed."""
        named = process.ring.service and process.ring.argv  # else it would stand for more than itself
        if not named or not process.died or process.pidfd < 0 or process.age() > EARLY_S:
            return
        if len(self._questions) >= _MOST:
            return
        with suppress(OSError):
            command = Command(process.ring.service, process.ring.argv, process.user)
            until = time.monotonic() + _PATIENCE_S
            self._questions.append(_Death(os.dup(process.pidfd), process.pid, command, until))

    def patterns(self) -> list[tuple[Command, str]]:
        """Commands that have died early twice, with the reason as a sentence's part. To be asked in every turn."""
        found: list[tuple[Command, str]] = []
        for _ in range(len(self._questions)):
            death = self._questions.popleft()
            status = ended(death.pidfd, death.pid)
            if status is None and time.monotonic() < death.until:
                self._questions.append(death)
                continue
            os.close(death.pidfd)
            if status is not None and os.WIFSIGNALED(status) and os.WTERMSIG(status) in _CRASHES:
                found += self._count(death.command, signal.Signals(os.WTERMSIG(status)).name)
        return found

    def close(self) -> None:
        for death in self._questions:
            os.close(death.pidfd)
        self._questions.clear()

    def _count(self, command: Command, name: str) -> list[tuple[Command, str]]:
        now = time.monotonic()
        before, by = self._early.pop(command, (-WINDOW_S, ""))
        if now - before < WINDOW_S:
            return [(command, f"two of its processes died within {EARLY_S:.0f} s of their start ({by}, {name})")]
        self._early[command] = now, name
        if len(self._early) > _MOST:
            self._early.popitem(last=False)
        return []


def ended(pidfd: int, pid: int) -> int | None:
    """The wait status of a process that has ended; None: it is not told (yet)."""
    info = bytearray(_INFO.pack(_EXITED, 0))
    with suppress(OSError):
        fcntl.ioctl(pidfd, _GET_INFO, info)
        mask, status = _INFO.unpack(info)
        if mask & _EXITED:
            return int(status)
    with suppress(OSError, ValueError, IndexError):
        state, *fields = stat_fields(pid)
        return int(fields[48]) or None if state in "ZX" else None  # 0 also stands for what we may not know
    return None

"""Forks are followed: a new ring and a new connection in the child, the parent's untouched.

The link's thread is gone while a fork happens. With it CPython warns a program of one thread that its fork is
dangerous (it counts the kernel's threads, after the hooks), and the child could inherit something half done.
"""

from __future__ import annotations

import os
import sys

from aftertrace import _native

TYPE_CHECKING = False  # nothing is imported at a start that can be done without
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, ModuleType

    from aftertrace.record.link import Link

_UTILS = ("multiprocessing.util", "billiard.util")  # of children that leave by os._exit, without atexit
_TRIES = 1000
_listdir = os.listdir  # taken now: the program, or a test of its, may put another in its place


class Forks:
    """``end`` is what ends the recorder in order."""

    def __init__(self, link: Link, end: Callable[[], None]) -> None:
        self._link = link
        self._end = end
        self._restart = _Later(link.start)

    def follow(self) -> None:
        """Registers the hooks, for the life of the process."""
        os.register_at_fork(before=self._before, after_in_parent=self._in_parent, after_in_child=self._in_child)

    def _before(self) -> None:
        self._link.stop()
        self._restart.aim(sys._getframe(1))  # noqa: SLF001  # the frame that forks

    def _in_parent(self) -> None:
        if _threads() > 1:
            self._link.start()  # the warning comes with us or without
        else:
            self._restart.ask()

    def _in_child(self) -> None:
        self._link.reset()
        try:
            _native.reopen()
        except OSError:
            return  # no memory for another ring: the child is not recorded
        self._link.open()
        for name in _UTILS:
            util = sys.modules.get(name)
            if util is not None:
                self._end_with(util)

    def _end_with(self, util: ModuleType) -> None:
        """In a child of multiprocessing: after the last of its finalizers."""

        def register(forks: Forks) -> None:
            util.Finalize(None, forks._end, exitpriority=-1000)  # our own

        util.register_after_fork(self, register)


def _threads() -> int:
    try:
        return len(_listdir("/proc/self/task"))
    except OSError:
        return 1


class _Later:
    """Calls ``function`` on the main thread once os.fork() has returned: the warning has been decided on by then."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._frame = self._tries = 0

    def aim(self, frame: FrameType) -> None:
        """``frame`` is where the function is to be called; only its address is kept."""
        self._frame = id(frame)
        self._tries = 0

    def ask(self) -> None:
        if not _native.later(self._look):
            self._function()

    def _look(self) -> None:
        """Between two instructions of some frame: while it is another's, hooks of the program may still be running."""
        self._tries += 1
        interrupted = sys._getframe().f_back  # noqa: SLF001  # None: the program has ended
        if interrupted is None or id(interrupted) == self._frame or self._tries >= _TRIES:
            self._function()
        else:
            self.ask()

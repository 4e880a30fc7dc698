"""Forks are followed: a new ring and a new connection in the child, the parent's untouched.

The link's thread is gone while a fork happens. With it CPython warns a program of one thread that its fork is
dangerous (it counts the kernel's threads, after the hooks), and the child could inherit something half done.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import ModuleType

from aftertrace import _native
from aftertrace.record.link import Link

_UTILS = ("multiprocessing.util", "billiard.util")  # of children that leave by os._exit, without atexit


class Forks:
    """``end`` is what ends the recorder in order."""

    def __init__(self, link: Link, end: Callable[[], None]) -> None:
        self._link = link
        self._end = end
        self._later = _Later(link.start)

    def follow(self) -> None:
        """Registers the hooks, for the life of the process."""
        os.register_at_fork(before=self._link.stop, after_in_parent=self._in_parent, after_in_child=self._in_child)

    def _in_parent(self) -> None:
        if _threads() > 1:
            self._link.start()  # the warning comes with us or without
        else:
            self._later.ask()

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
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208  # only their number
    except OSError:
        return 1


class _Later:
    """Calls ``function`` on the main thread, between two of its next instructions: after os.fork() has returned."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function

    def __bool__(self) -> bool:
        self._function()
        return False

    def ask(self) -> None:
        """Through Py_AddPendingCall, whose C callback is PyObject_IsTrue: it runs __bool__, and 0 means all is well."""
        try:
            import ctypes  # noqa: PLC0415  # only in a process that forks; it may be missing
        except ImportError:
            self._function()
            return
        add = ctypes.pythonapi.Py_AddPendingCall
        add.argtypes = (ctypes.c_void_p, ctypes.py_object)
        add(ctypes.cast(ctypes.pythonapi.PyObject_IsTrue, ctypes.c_void_p), self)

"""The line to the agent: offers the ring, hands over sources, takes orders. One thread, for which nobody waits.

The thread is made by ``_thread``: it is no ``threading.Thread``, so the program's ``threading.enumerate()`` is as it
is without us, and the interpreter's end does not wait for it. It imports nothing, takes no lock of the program's, and
no signal reaches it.
"""

from __future__ import annotations

import _thread
import os
import time

from aftertrace import _native
from aftertrace.record.connection import Connection, identity, trouble
from aftertrace.record.sources import Sources
from aftertrace.wire.handover import Focus, Ok, Refused, Report, Ring, SetLevel, Switch, Usage

TYPE_CHECKING = False  # nothing is imported at a start that can be done without
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Container

    from aftertrace.wire.handover import Idle, Message
else:
    import _signal as signal  # without its enums

# Taken now: a library such as gevent, or a test, may put others in their place.
_sleep, _monotonic, _stat = time.sleep, time.monotonic, os.stat
_start_thread, _make_lock = _thread.start_new_thread, _thread.allocate_lock

_SEND_S = 2.0  # how long the agent may leave a message unread
_AGAIN_S, _AGAIN_AT_MOST_S = 0.2, 5.0  # between two tries to find the agent
_REFUSED_S = 60.0
_BUSY_S, _QUIET_S = 0.1, 1.0  # between two looks for new files and orders: while the program starts, and later
_START_S = 10.0
_ROWS = 100  # functions in a report
_JOIN_S = 0.2  # how long a fork, or the end, waits for the thread

_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}
_SIGNALS = signal.valid_signals() - _FAULTS
_NO_RING = (0, 0)  # device and inode


class Link:
    """``trusted``: the users (uids) whose agent gets the ring. ``offer`` makes the message that opens a connection,
    anew each time; ``order`` does what the agent says. ``trouble``: why the agent that is there does not get the ring.
    """

    def __init__(
        self,
        path: str,
        trusted: Container[int],
        offer: Callable[[], Ring | Idle],
        order: Callable[[SetLevel | Switch], None],
    ) -> None:
        self.trouble = ""
        self._path = path
        self._trusted = trusted
        self._offer = offer
        self._order = order
        self._sources = Sources()
        self._owed: list[str] = []  # paths that this connection has not got
        self._ring = _NO_RING
        self._connection: Connection | None = None
        self._offered = False  # it has got the ring
        self._pause = _AGAIN_S
        self._begun_at = _monotonic()
        self._running = False
        self._tid = 0  # the thread's id for the kernel
        self._wake = _make_lock()
        self._report_until = 0.0

    def open(self) -> None:
        """Offers the ring at once if an agent is there, without waiting; the thread does the rest."""
        self._ring = _identity_of_ring()
        self._connect()
        self.start()

    def reset(self) -> None:
        """In a forked child: its own connection, and no thread yet."""
        self._drop()  # our descriptor; the parent's stays open
        self._begun_at = _monotonic()
        self._running = False

    def renew(self) -> None:
        """The process has begun to record, or ended: another ring, or none, is offered."""
        self._drop()
        self._ring = _identity_of_ring()

    def finish(self) -> None:
        """At the program's end: what the agent has not got yet, if it takes it quickly."""
        if self.stop():
            self._wake.acquire(blocking=False)
            self._meet()
            self._guarded(lambda: self._hand_over(_JOIN_S))

    # -- the thread's life ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Never raises: without a thread, sources are missing and the agent's orders are not heard."""
        if self._running:
            return
        self._wake = _make_lock()
        self._wake.acquire()
        self._tid = 0
        self._running = True
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # the thread inherits it: signals are the program's
        try:
            _start_thread(self._run, (self._wake,))
        except RuntimeError:
            self._running = False
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def stop(self) -> bool:
        """Ends the thread, in the kernel's eyes too; the connection stays. False: it did not end in time."""
        if self._running and self._wake.locked():
            self._wake.release()
        until = _monotonic() + _JOIN_S
        while self._running or (self._tid and _is_alive(self._tid)):
            if _monotonic() > until:
                return False
            _sleep(0.0001)
        return True

    def _run(self, wake: _thread.LockType) -> None:
        self._tid = _thread.get_native_id()
        try:
            while not wake.acquire(timeout=self._turn()):
                pass
        except BaseException as error:  # a thread of ours never speaks in the program
            del error
        self._running = False

    def _turn(self) -> float:
        """One look around; seconds until the next."""
        _native.govern()
        self._meet()
        if self._connection is None:
            self._connect()
        if self._connection is not None:
            self._guarded(self._serve)
        if self._connection is None:
            pause, self._pause = self._pause, max(self._pause, min(self._pause * 2, _AGAIN_AT_MOST_S))
            return pause
        return _BUSY_S if _monotonic() - self._begun_at < _START_S else _QUIET_S

    def _meet(self) -> None:
        self._owed += [path for _, path in _native.new_files() if self._sources.meet(path)]

    # -- the connection ------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        offer = self._offer()
        fd = _native.ring_fd() if isinstance(offer, Ring) else -1
        if isinstance(offer, Ring) and (self._ring == _NO_RING or _identity_of_ring() != self._ring):
            self._pause = _REFUSED_S  # the program has closed it, and its number may be that of a file of the program's
            return
        try:
            connection = Connection(self._path, self._trusted)
        except BlockingIOError:  # many at once
            return
        except (OSError, ValueError) as error:
            self.trouble = trouble(self._path, error)
            return
        self._connection = connection
        self._offered = isinstance(offer, Ring)
        self._owed = self._sources.met()
        self._guarded(lambda: connection.send(offer, fd))

    def _guarded(self, act: Callable[[], None]) -> None:
        """Whatever goes wrong with the agent ends the connection, and is tried anew later."""
        try:
            act()
        except Exception:  # never the program's problem
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _serve(self) -> None:
        for message in self._connection.messages() if self._connection else []:
            self._take(message)
        if self._connection is not None and self._offered and _monotonic() < self._report_until:
            self._connection.send(_usage(), seconds=_SEND_S)
        self._hand_over(_SEND_S)

    def _take(self, message: Message) -> None:
        match message:
            case Ok():
                self._pause = _AGAIN_S
            case Refused():
                self._pause = _REFUSED_S
                self._drop()
            case SetLevel() | Switch():
                self._order(message)
            case Focus():
                _native.focus(frozenset(message.places), message.seconds)
            case Report():
                self._report_until = _monotonic() + message.seconds
            case _:
                raise ValueError("no message for a process")

    def _hand_over(self, seconds: float) -> None:
        """The sources that the agent has not got, until somebody wants the thread to end."""
        while self._offered and self._owed and self._connection is not None and self._wake.locked():
            source = self._sources.read(self._owed[-1])
            if source is not None:
                self._connection.send(source, seconds=seconds)
            self._owed.pop()


def _usage() -> Usage:
    from aftertrace.record.boundaries import threads  # noqa: PLC0415  # loaded already where threads were started

    outside = tuple((*row, threads.sites.get((row[0], row[2]), "")) for row in _native.outside(_ROWS))
    usage = {**_native.usage(), "ring_bytes": _native.status()["ring_bytes"]}
    return Usage(usage, tuple(_native.hot(_ROWS)), outside)


def _is_alive(tid: int) -> bool:
    try:
        _stat(f"/proc/self/task/{tid}")
    except OSError:
        return False
    return True


def _identity_of_ring() -> tuple[int, int]:
    try:
        return identity(_native.ring_fd())
    except OSError:
        return _NO_RING

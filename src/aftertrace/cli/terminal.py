"""A terminal for a live view: a screen of its own, keys as they are pressed, and everything as it was in the end."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import sys
import termios
import tty
from types import FrameType, TracebackType
from typing import Self

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"  # the other screen, no cursor, lines that do not wrap
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_KEY = re.compile(rb"\x1b[\[O][0-9;]*([A-Za-z~])|\x1b|[\x20-\x7e]")
_ARROWS = {b"A": "up", b"B": "down", b"C": "right", b"D": "left"}


class Ended(Exception):
    """The terminal is gone, or nobody types into it any more."""


class Terminal:
    """stdin and stdout, which are terminals. A context manager: Ctrl-C, SIGTERM, Ctrl-Z and errors find the terminal
    as it was. Only for the main thread."""

    def __init__(self) -> None:
        self._in, self._out = sys.stdin.fileno(), sys.stdout.fileno()
        self._before = termios.tcgetattr(self._in)
        self._wake, self._woken = socket.socketpair()
        self._handlers = {
            signal.SIGWINCH: lambda *_: None,  # it wakes keys()
            signal.SIGTERM: _end,
            signal.SIGTSTP: self._stop,
        }

    def __enter__(self) -> Self:
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self._old = {number: signal.signal(number, handler) for number, handler in self._handlers.items()}
        self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()
        for number, handler in self._old.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._wake.close()
        self._woken.close()

    def _take(self) -> None:
        tty.setcbreak(self._in)  # Ctrl-C and Ctrl-Z stay signals
        self._write(_ENTER)

    def _give_back(self) -> None:
        try:
            self._write(_LEAVE)
            termios.tcsetattr(self._in, termios.TCSADRAIN, self._before)
        except (Ended, termios.error):
            return  # there is no terminal any more

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        """Ctrl-Z: the shell gets its terminal as it was; we go on when it says so."""
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()

    def size(self) -> tuple[int, int]:
        """Columns and lines, now."""
        try:
            columns, lines = os.get_terminal_size(self._out)
        except OSError:
            return 80, 24
        return columns or 80, lines or 24

    def draw(self, lines: list[str]) -> None:
        """All of the screen anew, at once. Raises Ended."""
        body = "\r\n".join(f"{line}\x1b[0m\x1b[K" for line in lines)
        self._write(f"\x1b[?2026h\x1b[H{body}\x1b[J\x1b[?2026l")

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        try:
            while data:
                data = data[os.write(self._out, data) :]
        except OSError as error:
            raise Ended from error

    def keys(self, seconds: float) -> list[str]:
        """What is pressed within so long: characters, "up", "down". Returns early at a key, and when the window has
        changed. Raises Ended."""
        ready, _, _ = select.select([self._in, self._woken], [], [], max(seconds, 0))
        if self._woken in ready:
            self._woken.recv(4096)
        if self._in not in ready:
            return []
        try:
            data = os.read(self._in, 4096)
        except OSError as error:
            raise Ended from error
        if not data:
            raise Ended
        return [_ARROWS.get(found[1] or b"", "") or found[0].decode() for found in _KEY.finditer(data)]


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)

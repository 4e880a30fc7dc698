"""One connection to the agent's socket, never waited for. What a peer sends is hostile until it is read."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

from aftertrace.wire import handover
from aftertrace.wire.handover import Lines, Message

_READS = 64  # of 64 KiB, before the others have their turn
_MOST_UNSENT = 4 << 20  # bytes that a peer may leave unread
_MOST_DESCRIPTORS = 4
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


class Garbage(Exception):
    """What the peer sent is no message of the hand-over."""


class Connection:
    """``pid``, ``uid``: the peer's when it connected, as this kernel knows it; 0 and -1: not known here."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.pid, self.uid = _peer(sock)
        self.ended = False
        self._lines = Lines()
        self._descriptors: list[int] = []
        self._unsent = bytearray()

    def receive(self) -> list[Message]:
        """What has come. Sets ``ended`` when nothing more will. Garbage."""
        messages: list[Message] = []
        for _ in range(_READS):
            try:
                data, descriptors = handover.receive(self.socket)
            except BlockingIOError:
                break
            except OSError:
                data, descriptors = b"", []
            self._descriptors += descriptors
            if len(self._descriptors) > _MOST_DESCRIPTORS:
                raise Garbage("too many descriptors")
            if not data:
                self.ended = True
                break
            try:
                messages += [handover.decode(line) for line in self._lines.feed(data)]
            except (ValueError, OverflowError, RecursionError) as error:
                raise Garbage(str(error)) from None
            if messages:
                break  # a descriptor belongs to the message that it came with
        return messages

    def take_descriptor(self) -> int:
        """The one that came with the last message; the caller owns it. -1: there was none."""
        if not self._descriptors:
            return -1
        first, *rest = self._descriptors
        self._descriptors = []
        handover.drop(rest)
        return first

    def send(self, data: bytes) -> None:
        """Sets ``ended`` when the peer has gone or reads nothing."""
        self._unsent += data
        self.flush()

    def flush(self) -> None:
        try:
            while self._unsent:
                sent = self.socket.send(self._unsent, socket.MSG_NOSIGNAL)
                del self._unsent[:sent]
        except BlockingIOError:
            self.ended |= len(self._unsent) > _MOST_UNSENT
        except OSError:
            self.ended = True

    @property
    def unsent(self) -> bool:
        return bool(self._unsent)

    def close(self) -> None:
        handover.drop(self._descriptors)
        self._descriptors = []
        with suppress(OSError):
            self.socket.close()


def _peer(sock: socket.socket) -> tuple[int, int]:
    try:
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return 0, -1
    pid, uid, _ = _CREDENTIALS.unpack(credentials)
    return int(pid), int(uid)

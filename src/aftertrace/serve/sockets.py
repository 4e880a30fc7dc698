"""Addresses to listen on."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
from collections.abc import Iterator

from aftertrace.errors import AftertraceError, Unavailable, UsageError


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A bound socket; bound early, so that a port in use is said before anything else is done."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError as error:
        raise UsageError(
            "bad-host", f"Cannot listen on {host}: {error.strerror}.", "Give an address of this machine."
        ) from None
    with sock:
        try:
            sock.bind(address)
            sock.listen(1024)
        except OSError as error:
            raise _not_bound(host, port, error) from None
        yield sock


def _not_bound(host: str, port: int, error: OSError) -> AftertraceError:
    if error.errno == errno.EADDRINUSE:
        hint = "Is aftertrace up already? Else choose other ports with --api-port, --otlp-port and --grpc-port."
        return Unavailable("port-in-use", f"Port {port} on {host} is in use.", hint)
    reason = os.strerror(error.errno) if error.errno else str(error)
    return UsageError("bad-host", f"Cannot listen on {host}:{port}: {reason}.", "Give another address or port.")


def name(sock: socket.socket) -> tuple[str, int]:
    """Address and port of a socket, the address as URLs have it."""
    host, port = sock.getsockname()[:2]
    return (f"[{host}]" if ":" in host else host), port


def reached(host: str) -> str:
    """A name() as it is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104


def url(sock: socket.socket) -> str:
    """How it is reached from this machine."""
    host, port = name(sock)
    return f"http://{reached(host)}:{port}"

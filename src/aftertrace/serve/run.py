"""Ports, life and end of the server."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from aftertrace import store as stores
from aftertrace.errors import AftertraceError, Unavailable, UsageError
from aftertrace.receive import http, status
from aftertrace.receive.fleet import Fleet
from aftertrace.serve import api
from aftertrace.serve.guard import Guard
from aftertrace.serve.keeping import Keeping
from aftertrace.store.store import Store

_GRACE_S = 20  # for requests that are under way when the server is told to end


@dataclass(frozen=True, slots=True)
class Options:
    """What to listen on; port 0 is any free one. ``token`` is needed to listen beyond this machine."""

    store_dir: Path
    host: str = "127.0.0.1"
    otlp_port: int = 4318
    api_port: int = 7070
    token: str = ""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where it listens, once it does."""

    otlp: str
    api: str


type Ready = Callable[[Addresses], None]
type Companion = Callable[[Addresses, asyncio.Event], Awaitable[None]]


def run(options: Options, ready: Ready, companion: Companion | None = None) -> None:
    """Serves until SIGTERM or SIGINT, then finishes what is under way and closes the store.

    ``companion`` runs beside it and is given an event that says: end now; the server ends after it.
    Raises UsageError (no token), Unavailable (port in use), StoreError (directory in use), NotInstalled.
    """
    _check(options)
    with _listening(options.host, options.otlp_port) as otlp, _listening(options.host, options.api_port) as questions:
        store = stores.open(options.store_dir)
        try:
            asyncio.run(_serve(options, store, (otlp, questions), ready, companion))
        finally:
            store.close()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check(options: Options) -> None:
    if not options.token and not is_loopback(options.host):
        raise UsageError(
            "token-needed",
            f"Listening on {options.host} lets other machines in, and that needs a token.",
            "Set AFTERTRACE_TOKEN (for the agents and the command line too), or listen on 127.0.0.1.",
        )


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
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
        hint = "Is aftertrace up already? Else choose other ports with --api-port and --otlp-port."
        return Unavailable("port-in-use", f"Port {port} on {host} is in use.", hint)
    reason = os.strerror(error.errno) if error.errno else str(error)
    return UsageError("bad-host", f"Cannot listen on {host}:{port}: {reason}.", "Give another address or port.")


class _Server(uvicorn.Server):
    """One port. Signals are handled once, for both."""

    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=_GRACE_S,
        )
        super().__init__(config)
        self.up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


async def _serve(
    options: Options,
    store: Store,
    sockets: tuple[socket.socket, socket.socket],
    ready: Ready,
    companion: Companion | None,
) -> None:
    receiver = http.Receiver(store)
    fleet = Fleet(store)
    keeping = Keeping(store, fleet)
    await keeping.load()
    servers = (_Server(_otlp_app(options, receiver, fleet)), _Server(_api_app(options, store, keeping)))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    addresses = Addresses(*(_url(sock) for sock in sockets))
    serving = [asyncio.create_task(server.serve([sock])) for server, sock in zip(servers, sockets, strict=True)]
    for server in servers:
        await server.up.wait()
    ready(addresses)
    try:
        await asyncio.gather(stop.wait(), *([companion(addresses, stop)] if companion else []))
    finally:
        for server in servers:
            server.should_exit = True
        await fleet.close()
        await asyncio.gather(*serving)
        receiver.close()


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # how to reach it from here
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _otlp_app(options: Options, receiver: http.Receiver, fleet: Fleet) -> ASGIApp:
    refuse = lambda error: status.failure(error.http_status, f"{error.message} {error.hint}", status.PROTOBUF)  # noqa: E731
    return Guard(http.app(receiver, fleet), options.token, options.host, refuse)


def _api_app(options: Options, store: Store, keeping: Keeping) -> ASGIApp:
    return Guard(api.app(store, keeping), options.token, options.host, api.failure)

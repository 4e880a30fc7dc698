"""Ports, life and end of the server."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp

from aftertrace import store as stores
from aftertrace.errors import AftertraceError, UsageError
from aftertrace.receive import http
from aftertrace.receive.fleet import Fleet
from aftertrace.receive.receiver import Receiver
from aftertrace.serve import api, grpc, sockets
from aftertrace.serve.guard import Guard
from aftertrace.serve.keeping import Keeping
from aftertrace.serve.port import Port
from aftertrace.store.store import Store

_OTLP_PORT = 4318


@dataclass(frozen=True, slots=True)
class Options:
    """What to listen on; port 0 is any free one. ``token`` is needed to listen beyond this machine.

    ``grpc_port`` None: 4317, and any free one beside another ``otlp_port`` than 4318; -1: no OTLP/gRPC.
    """

    store_dir: Path
    host: str = "127.0.0.1"
    otlp_port: int = _OTLP_PORT
    api_port: int = 7070
    token: str = ""
    grpc_port: int | None = None


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where it listens, once it does. ``grpc`` is empty where nothing does, and ``no_grpc`` says why."""

    otlp: str
    api: str
    grpc: str = ""
    no_grpc: str = ""


type Ready = Callable[[Addresses], None]
type Companion = Callable[[Addresses, asyncio.Event], Awaitable[None]]


def run(options: Options, ready: Ready, companion: Companion | None = None) -> None:
    """Serves until SIGTERM or SIGINT, then finishes what is under way and closes the store.

    ``companion`` runs beside it and is given an event that says: end now; the server ends after it.
    A gRPC port that cannot be had is said in the addresses, and is no error: the rest works without it.
    Raises UsageError (no token), Unavailable (port in use), StoreError (directory in use), NotInstalled.
    """
    _check(options)
    host = options.host
    with sockets.listening(host, options.otlp_port) as otlp, sockets.listening(host, options.api_port) as questions:
        store = stores.open(options.store_dir)
        try:
            asyncio.run(_serve(options, store, (otlp, questions), ready, companion))
        finally:
            store.close()


def _check(options: Options) -> None:
    if not options.token and not sockets.is_loopback(options.host):
        raise UsageError(
            "token-needed",
            f"Listening on {options.host} lets other machines in, and that needs a token.",
            "Set AFTERTRACE_TOKEN (for the agents and the command line too), or listen on 127.0.0.1.",
        )


async def _serve(
    options: Options,
    store: Store,
    listening_on: tuple[socket.socket, socket.socket],
    ready: Ready,
    companion: Companion | None,
) -> None:
    receiver = Receiver(store)
    fleet = Fleet(store)
    keeping = Keeping(store, fleet)
    await keeping.load()
    calls = grpc.GrpcPort(receiver, options.token)
    await calls.start(options.host, _grpc_port(options))
    otlp, questions = (sockets.url(sock) for sock in listening_on)
    addresses = Addresses(otlp, questions, calls.address, calls.problem)
    servers = (Port(_otlp_app(options, receiver, fleet)), Port(_api_app(options, store, keeping, addresses)))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    serving = [asyncio.create_task(server.serve([sock])) for server, sock in zip(servers, listening_on, strict=True)]
    for server in servers:
        await server.up.wait()
    ready(addresses)
    try:
        await asyncio.gather(stop.wait(), *([companion(addresses, stop)] if companion else []))
    finally:
        for server in servers:
            server.should_exit = True
        await fleet.close()
        await asyncio.gather(*serving, calls.stop())
        receiver.close()


def _grpc_port(options: Options) -> int:
    if options.grpc_port is not None:
        return options.grpc_port
    return grpc.PORT if options.otlp_port == _OTLP_PORT else 0


def _otlp_app(options: Options, receiver: Receiver, fleet: Fleet) -> ASGIApp:
    return Guard(http.app(receiver, fleet), options.token, options.host, http.refuse)


def _api_app(options: Options, store: Store, keeping: Keeping, addresses: Addresses) -> ASGIApp:
    otlp = {"http": addresses.otlp, "grpc": addresses.grpc or None, "no_grpc": addresses.no_grpc or None}
    app = api.app(store, keeping, {name: value for name, value in otlp.items() if value})
    return Guard(app, options.token, options.host, _refuse)


def _refuse(error: AftertraceError, _: Headers) -> Response:
    return api.failure(error)

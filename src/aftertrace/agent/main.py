"""The per-host agent: takes rings, remembers minutes of them, ships what is kept. One loop, two threads beside it."""

from __future__ import annotations

import json
import os
import selectors
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from aftertrace import __version__
from aftertrace.agent.company import Company
from aftertrace.agent.connection import Connection, Garbage
from aftertrace.agent.deaths import Deaths
from aftertrace.agent.fleet import Fleet
from aftertrace.agent.focus import Focuses
from aftertrace.agent.listen import Listener
from aftertrace.agent.outbox import Outbox
from aftertrace.agent.pack import Pack
from aftertrace.agent.packer import Packer
from aftertrace.agent.part import Part
from aftertrace.agent.process import Process
from aftertrace.agent.ration import Ration
from aftertrace.agent.ship import Shipper, endpoint
from aftertrace.agent.sources import Sources
from aftertrace.agent.switches import Switches
from aftertrace.agent.tails import Tails
from aftertrace.agent.tell import Counts, Teller
from aftertrace.errors import UsageError
from aftertrace.settings import Settings
from aftertrace.wire import handover
from aftertrace.wire.handover import (
    Focus,
    Idle,
    Message,
    Ok,
    Refused,
    Report,
    Ring,
    SetLevel,
    SourceFile,
    Status,
    Switch,
    Usage,
)

_FASTEST_S, _BUSY_S, _QUIET_S = 0.01, 0.05, 0.1  # between two looks at the rings
_MUCH = 2 << 20  # bytes in one look, after which the next comes at once
_MOST_CONNECTIONS = 2048
_REPORT_S = 10.0  # how long processes report after somebody asked
_PACK_S, _SHIP_S, _TELL_S = 3.0, 3.0, 1.0  # at the end
_FOREIGN = UsageError("not-yours", "The agent runs as another user: only that user and root give orders.").to_json()


def run(settings: Settings, stop: threading.Event, ready: Callable[[], None] = lambda: None) -> None:
    """Runs until ``stop`` is set, then ships or spools what is kept. ``ready`` is called once it listens.

    UsageError: an address or a directory that will not do; Unavailable: another agent listens there.
    """
    agent = Agent(settings)
    try:
        ready()
        while not stop.is_set():
            agent.turn()
    finally:
        agent.close()


class Agent:
    def __init__(self, settings: Settings) -> None:
        where = endpoint(settings.endpoint)
        self._settings = settings
        self._began = time.monotonic()
        self._counts, teller = Counts(), Teller()
        self._teller = teller
        self._listener = Listener(Path(settings.agent_socket), settings.agent_group)
        self._switches = Switches(self._listener.path, teller)
        self._deaths = Deaths()
        self._outbox = Outbox(Path(settings.spool_dir), settings.spool_bytes, self._counts, teller)
        self._shipper = Shipper(where, settings.token, self._outbox, self._counts, teller)
        self._sources = Sources()
        self._focuses = Focuses()
        self._ration = Ration(settings.keep_bytes_s)
        pack = Pack(self._sources, self._counts)
        self._packer = Packer(pack, self._outbox, teller, self._took_part, self._ration)
        self._tails = Tails(
            settings.agent_memory, self._counts, teller, self._release, settings.hang_s, ration=self._ration
        )
        self._connections: dict[Connection, Process | None] = {}
        self._idle: dict[Connection, Idle] = {}  # processes that are switched off
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener.socket, selectors.EVENT_READ, self._accept)
        self._fleet = Fleet(where, settings.token, teller)
        self._company = Company(self._fleet, self._tails)
        self._selector.register(self._fleet.woken, selectors.EVENT_READ, lambda _: self._company.hear())
        self._pause = _QUIET_S
        self._next_look = time.monotonic()
        self._shipper.start()
        self._packer.start()
        self._fleet.start()

    # -- the loop

    def turn(self) -> None:
        """Waits for what comes first: a peer, a process's end, the next look at the rings, a trace that is ready."""
        wait = min(self._next_look - time.monotonic(), self._due_in())
        for key, events in self._selector.select(max(wait, 0.0)):
            key.data(events)
        if time.monotonic() >= self._next_look:
            self._look()
        self._pack()
        self._company.tell()
        for service, focus in self._focuses.fresh():
            self._tell(service, focus)

    def _look(self) -> None:
        got = self._tails.poll()
        self._pause = _FASTEST_S if got > _MUCH else _BUSY_S if got else min(self._pause + 0.01, _QUIET_S)
        self._next_look = time.monotonic() + self._pause
        self._ration_troubles()
        for command, reason in self._deaths.patterns():
            self._switches.asleep(command, reason)
            self._teller.once(f"deaths {command.service}", f"{command.service} is not recorded any more: {reason}")

    def _ration_troubles(self) -> None:
        if self._ration.left() < 0:
            limit = f"{self._ration.rate / (1 << 20):,.1f} MiB/s"
            said = f"more is kept than may be shipped ({limit}, AFTERTRACE_KEEP_BYTES_S): it waits in memory"
            self._teller.once("ration", said)
        elif self._ration.allows_company():
            self._teller.over("ration", "what is kept can be shipped again")

    def _due_in(self) -> float:
        """While the thread that packs is behind, nothing is due before the next look."""
        return self._tails.keeper.due_in() if self._packer.room() else float("inf")

    def _pack(self) -> None:
        if self._due_in() <= 0:
            for job in self._tails.keeper.jobs():
                self._packer.put(job)

    def close(self) -> None:
        """A last look at the rings; what is kept is sent, or spooled, within some seconds."""
        self._listener.close()
        self._tails.poll()
        for job in self._tails.keeper.jobs(everything=True):
            self._packer.put(job)
        self._company.close()
        self._selector.unregister(self._fleet.woken)
        self._fleet.stop(_TELL_S)
        self._packer.stop(_PACK_S)
        self._shipper.stop(_SHIP_S)
        for connection in list(self._connections):
            connection.close()
        for process in self._tails.alive.values():
            process.close()
        self._deaths.close()
        self._selector.close()

    # -- connections

    def _accept(self, _: int) -> None:
        try:
            sock, _ = self._listener.socket.accept()
        except BlockingIOError:
            return
        except OSError as error:
            self._teller.once("accept", f"cannot take connections: {error.strerror}")
            time.sleep(0.02)
            return
        connection = Connection(sock)
        if len(self._connections) >= _MOST_CONNECTIONS:
            connection.close()
            return
        self._connections[connection] = None
        self._selector.register(sock, selectors.EVENT_READ, lambda events: self._serve(connection, events))

    def _serve(self, connection: Connection, events: int) -> None:
        if connection not in self._connections:  # ended in this very turn
            return
        try:
            if events & selectors.EVENT_WRITE:
                connection.flush()
            if events & selectors.EVENT_READ:
                for message in connection.receive():
                    self._answer(connection, message)
        except Garbage as garbage:
            self._counts.refused += 1
            self._teller.once("garbage", f"a connection was closed: {garbage}")
            connection.ended = True
        self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        if connection.ended:
            self._end(connection)
        elif connection in self._connections:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unsent else 0)
            key = self._selector.get_key(connection.socket)
            if key.events != events:
                self._selector.modify(connection.socket, events, key.data)

    def _end(self, connection: Connection) -> None:
        process = self._connections.pop(connection, None)
        self._idle.pop(connection, None)
        self._selector.unregister(connection.socket)
        connection.close()
        if process is not None and process not in self._connections.values():
            self._tails.disconnected(process)

    def _answer(self, connection: Connection, message: Message) -> None:
        match message:
            case Ring():
                self._take_ring(connection, message)
            case SourceFile():
                process = self._connections[connection]
                if process is None:
                    raise Garbage("a source before a ring")
                process.add_source(message.path, self._sources.add(message.data))
            case Idle():
                self._take_idle(connection, message)
            case SetLevel() | Switch():
                connection.send(_line(self._order(message) if self._may_order(connection) else _FOREIGN))
            case Usage():
                process = self._connections[connection]
                if process is None:
                    raise Garbage("a report before a ring")
                process.usage, process.reported = message, time.monotonic()
            case Status():
                connection.send(_line(self.status()))
                if message.watch:
                    self._tell("", Report(_REPORT_S))
            case _:
                raise Garbage("a message that only the agent sends")

    def _take_ring(self, connection: Connection, ring: Ring) -> None:
        descriptor = connection.take_descriptor()
        if descriptor < 0 or self._connections[connection] is not None:
            raise Garbage("a ring without a descriptor, or a second one")
        try:
            process = self._tails.offer(ring, descriptor, connection.pid)
        except (ValueError, OSError) as error:
            self._counts.refused += 1
            connection.send(handover.encode(Refused("bad-ring", str(error))))
            connection.ended = True
            return
        finally:
            os.close(descriptor)
        self._connections[connection] = process
        process.user = connection.uid
        self._idle.pop(connection, None)
        if process.pidfd >= 0 and process.pidfd not in self._selector.get_map():
            self._selector.register(process.pidfd, selectors.EVENT_READ, lambda _: self._died(process))
        connection.send(handover.encode(Ok(__version__)))
        for focus in self._focuses.of(ring.service):
            connection.send(handover.encode(focus))
        if off := self._switches.held(ring.service):
            connection.send(handover.encode(Switch(on=False, service=ring.service, reason=off.reason)))
        self._next_look = time.monotonic()

    def _take_idle(self, connection: Connection, idle: Idle) -> None:
        if self._connections[connection] is not None:
            raise Garbage("a process that records and does not")
        self._idle[connection] = idle
        connection.send(handover.encode(Ok(__version__)))
        if not idle.asleep and not self._switches.held(idle.service):  # it was switched on while nobody listened
            connection.send(handover.encode(Switch(on=True, service=idle.service)))

    def _died(self, process: Process) -> None:
        """Its pidfd says that it is no more."""
        if process.gone:
            return
        for connection, owner in list(self._connections.items()):
            if owner is process:
                self._connections[connection] = None
                self._last_words(connection, process)
        self._tails.end(process)

    def _took_part(self, part: Part) -> None:
        """A kept part of a request that failed: for the thread that packs."""
        self._focuses.took_part(part)
        self._company.took_part(part)

    def _release(self, process: Process) -> None:
        self._deaths.add(process)
        with suppress(KeyError, ValueError):  # it has no pidfd, or was not watched
            self._selector.unregister(process.pidfd)

    def _last_words(self, connection: Connection, process: Process) -> None:
        """Sources that it had sent before it ended."""
        try:
            while not connection.ended and (messages := connection.receive()):
                for message in messages:
                    if isinstance(message, SourceFile):
                        process.add_source(message.path, self._sources.add(message.data))
        except Garbage:
            self._counts.refused += 1

    def _may_order(self, connection: Connection) -> bool:
        """A group that may be recorded here is not for that the master of the others."""
        return connection.uid in {0, os.geteuid()}

    def _order(self, message: SetLevel | Switch) -> dict[str, Any]:
        if isinstance(message, Switch) and message.on:
            self._switches.on(message.service)
        elif isinstance(message, Switch):
            self._switches.off(message.service, message.reason)
        told = 0
        for connection, service in self._services():
            waits = isinstance(message, Switch) and message.on and self._switches.held(service)
            if message.service in {"", service} and not waits:
                connection.send(handover.encode(message))
                self._watch(connection)
                told += 1
        return {"told": told}

    def _tell(self, service: str, message: Focus | Report) -> None:
        """Every recorded process of a service, "" for all."""
        for connection, process in list(self._connections.items()):
            if process is not None and service in {"", process.ring.service}:
                connection.send(handover.encode(message))
                self._watch(connection)

    def _services(self) -> list[tuple[Connection, str]]:
        """Every process that is connected, recorded or not."""
        recorded = [(one, process.ring.service) for one, process in self._connections.items() if process is not None]
        return recorded + [(one, idle.service) for one, idle in self._idle.items()]

    # -- status

    def status(self) -> dict[str, Any]:
        """Sizes in bytes, times in seconds; ``counts`` are since the start."""
        return {
            "agent": __version__,
            "pid": os.getpid(),
            "uptime_s": round(time.monotonic() - self._began, 3),
            "socket": self._settings.agent_socket,
            "endpoint": self._settings.endpoint,
            "processes": [_process(one, self._began) for one in self._tails.alive.values()],
            "idle": [{"service": idle.service, "pid": idle.pid} for idle in self._idle.values()],
            "off": self._switches.state(),
            "remembered": len(self._tails.processes) - len(self._tails.alive),
            "memory": self._tails.memory.state(),
            "ration": self._ration.state(),
            "spool": {"directory": self._settings.spool_dir, **self._outbox.state()},
            "fleet": self._fleet.state(),
            "counts": self._counts.to_json(),
        }


def _process(process: Process, began: float) -> dict[str, Any]:
    return {
        "service": process.ring.service,
        "pid": process.ring.pid,
        "process_uid": process.uid,
        "level": process.level,
        "usage": process.usage.asdict() if process.usage else None,
        "reported_s": round(process.reported - began, 3) if process.usage else None,  # as uptime_s counts
        "connected": process.connected,
        "open_spans": len(process.watch.open),
        "sources": len(process.sources),
        "read_bytes": process.read_bytes,
        "lost_bytes": process.lost_bytes,
    }


def _line(data: dict[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode() + b"\n"

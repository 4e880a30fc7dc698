"""The exchange with the other agents, through the server (docs/fleet.md): one thread that listens, one that tells.

The server being away is no trouble of its own (the shipper says it): what is to be told waits, bounded, and what was
told of late is told again to a server that has begun anew.
"""

from __future__ import annotations

import http.client
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

from aftertrace.agent.ship import Endpoint
from aftertrace.agent.tell import Teller
from aftertrace.wire import fleet as wire
from aftertrace.wire.fleet import Answer, Call, Mark, Part

_TIMEOUT_S = wire.HOLD_S + 10.0
_TELL_TIMEOUT_S = 10.0
_GATHER_S = 0.02  # what comes together is told together
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0
_OLDER_S = 60.0  # until a server without the exchange is asked again
_LEAST_S = 0.02  # between two calls that listen
_MOST = 10_000  # marks, and parts, that wait or were told of late
_ABSENT = {404, 405, 501}

type Heard = Callable[[Answer], None]


class _Away(Exception):
    """No answer, or none that is one."""


class _Line:
    """One kept connection."""

    def __init__(self, where: Endpoint, token: str, timeout: float) -> None:
        self._where, self._timeout = where, timeout
        self._headers = {"Content-Type": "application/json", "User-Agent": "aftertrace-agent"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._connection: http.client.HTTPConnection | None = None
        self._aborted = False

    def ask(self, call: Call) -> tuple[int, Answer | None]:
        """HTTP status, and the answer where it is 200. Raises _Away."""
        for again in (self._connection is not None, False):  # the server may have closed the kept connection
            try:
                return self._ask(call)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.close()
                if not again or self._aborted:
                    raise _Away(str(error) or type(error).__name__) from None
        raise AssertionError

    def _ask(self, call: Call) -> tuple[int, Answer | None]:
        if self._aborted:
            raise OSError("the agent ends")
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request("POST", self._where.prefix + wire.PATH, wire.encode(call), self._headers)
        response = self._connection.getresponse()
        body = response.read(wire.LIMIT + 1)
        if response.will_close or len(body) > wire.LIMIT:
            self.close()
        return response.status, wire.answer(body) if response.status == 200 else None

    def _connect(self) -> http.client.HTTPConnection:
        where = self._where
        if where.secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(where.host, where.port, timeout=self._timeout, context=context)
        return http.client.HTTPConnection(where.host, where.port, timeout=self._timeout)

    def abort(self) -> None:
        """From another thread: whoever waits on it need not any more, and nothing more is asked."""
        self._aborted = True
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class Fleet:
    """``recorded``, ``mark``, ``part``, ``reply`` and ``heard`` are for the agent's loop; ``woken`` is readable when
    there is something to hear."""

    def __init__(self, where: Endpoint, token: str, teller: Teller) -> None:
        self.agent = secrets.token_hex(8)
        self._services: tuple[str, ...] = ()
        self._services_told: tuple[str, ...] = ()
        self._host = socket.gethostname()
        self._teller = teller
        self._listening, self._telling = _Line(where, token, _TIMEOUT_S), _Line(where, token, _TELL_TIMEOUT_S)
        self._changed = threading.Condition()
        self._marks: dict[str, tuple[float, Mark]] = {}  # by trace: when it was made (monotonic), waiting to be told
        self._parts: dict[str, Part] = {}
        self._told: dict[str, tuple[float, Mark | None, Part | None]] = {}
        self._replies: list[Mapping[str, Any]] = []
        self._boot, self._cursor, self._rules = "", 0, ""
        self._heard: SimpleQueue[Answer] = SimpleQueue()
        self.woken, self._waker = socket.socketpair()
        self.woken.setblocking(False)
        self._waker.setblocking(False)
        self._stop = threading.Event()
        self._until = 0.0
        self._state = "away"
        self._threads = [
            threading.Thread(target=self._listen, name="aftertrace-listen", daemon=True),
            threading.Thread(target=self._tell, name="aftertrace-tell", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, patience: float) -> None:
        """Tells what waits for ``patience`` seconds at most."""
        self._until = time.monotonic() + patience
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        self._listening.abort()
        self._threads[1].join(patience)
        self._telling.abort()
        for thread in self._threads:
            thread.join(1.0)
        self.woken.close()
        self._waker.close()

    # -- the loop's side

    def recorded(self, services: set[str]) -> None:
        """What is recorded here now."""
        if services != set(self._services):
            with self._changed:
                self._services = tuple(sorted(services))
                self._changed.notify_all()

    def mark(self, trace: bytes, trigger: str, reason: str) -> None:
        """A trace is kept here: the others are to know."""
        with self._changed:
            self._marks[trace.hex()] = time.monotonic(), Mark(trace.hex(), trigger, reason)
            _bounded(self._marks)
            self._changed.notify_all()

    def part(self, part: Part) -> None:
        """What was had of a trace that is kept somewhere; the newest of a trace is told."""
        with self._changed:
            self._parts[part.trace] = part
            _bounded(self._parts)
            self._changed.notify_all()

    def reply(self, reply: Mapping[str, Any]) -> None:
        """To something that was asked."""
        with self._changed:
            self._replies = [*self._replies, reply][-wire.MOST :]
            self._changed.notify_all()

    def heard(self) -> list[Answer]:
        """All since the last time, oldest first."""
        with suppress(BlockingIOError):
            while self.woken.recv(4096):
                pass
        found: list[Answer] = []
        while not self._heard.empty():
            found.append(self._heard.get())
        return found

    def state(self) -> dict[str, Any]:
        """For the status: on, away (no server answers), older (it has no exchange), refused."""
        with self._changed:
            waiting = len(self._marks) + len(self._parts)
        return {"state": self._state, "agent": self.agent, "waiting": waiting}

    # -- listening

    def _listen(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._stop.is_set():
            began = time.monotonic()
            wait = self._exchange(self._listening, self._call(wire.HOLD_S))
            if wait is None:
                pause = _FIRST_PAUSE_S
                self._stop.wait(max(_LEAST_S - (time.monotonic() - began), 0.0))
                continue
            self._stop.wait(wait or pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
        self._listening.close()

    def _call(self, wait_s: float) -> Call:
        with self._changed:
            return Call(
                self.agent, self._host, self._boot, self._cursor, wait_s, self._rules,
                self._services[: wire.MOST_SERVICES],
            )  # fmt: skip

    def _exchange(self, line: _Line, call: Call) -> float | None:
        """None: it was answered. Else the pause that the answer asks for, 0.0 for ours."""
        try:
            status, answer = line.ask(call)
        except _Away:
            self._state = "away"
            return 0.0
        if answer is not None:
            self._teller.over("fleet")
            self._state = "on"
            self._take(answer, listened=call.wait_s > 0)
            return None
        if status in _ABSENT:
            self._state = "older"
            self._teller.once(
                "fleet", "the server is older than this agent: other agents' kept traces are not heard of"
            )
            return _OLDER_S
        if status in {401, 403}:
            self._state = "refused"
            self._teller.once("fleet", f"the server refuses the exchange with other agents ({status})")
        return _LONGEST_PAUSE_S

    def _take(self, answer: Answer, *, listened: bool) -> None:
        with self._changed:
            if answer.boot != self._boot:
                self._begin_anew(answer.boot)
            if not listened:
                return
            self._cursor = answer.cursor
            if answer.rules is not None:
                self._rules = answer.rules_version
        if answer.marks or answer.asked or answer.rules is not None:
            self._heard.put(answer)
            with suppress(OSError):  # full: it is readable already; closed: the end
                self._waker.send(b"\0")

    def _begin_anew(self, boot: str) -> None:
        """Another server, or the same one after a restart: what was told of late is told again."""
        self._boot, self._cursor, self._rules = boot, 0, ""
        for trace, (told, mark, part) in self._told.items():
            if time.monotonic() - told < wire.REMEMBER_S:
                if mark is not None:
                    self._marks.setdefault(trace, (told, mark))
                if part is not None:
                    self._parts.setdefault(trace, part)
        self._told.clear()

    # -- telling

    def _tell(self) -> None:
        pause = _FIRST_PAUSE_S
        while self._wait():
            call = self._news()
            if self._exchange(self._telling, call) is None:
                self._done(call)
                pause = _FIRST_PAUSE_S
            elif not self._stop.wait(pause):
                pause = min(pause * 2, _LONGEST_PAUSE_S)
            elif self._stop.is_set():
                break
        if self._boot:
            with suppress(_Away):
                self._telling.ask(replace(self._call(0.0), leaves=True))
        self._telling.close()

    def _wait(self) -> bool:
        """Until there is something to tell. False: no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._stop.is_set() or self._has_news())
            news = self._has_news()
        if not self._stop.is_set():
            self._stop.wait(_GATHER_S)
        return news and (not self._stop.is_set() or time.monotonic() < self._until)

    def _has_news(self) -> bool:
        return bool(self._marks or self._parts or self._replies) or self._services != self._services_told

    def _news(self) -> Call:
        now = time.monotonic()
        call = self._call(0.0)
        with self._changed:
            for trace in [trace for trace, (made, _) in self._marks.items() if now - made > wire.REMEMBER_S]:
                del self._marks[trace]  # nobody remembers what it would ask for
            marks = [replace(mark, age_s=now - made) for made, mark in list(self._marks.values())[: wire.MOST]]
            parts = list(self._parts.values())[: wire.MOST]
            return replace(call, marks=tuple(marks), parts=tuple(parts), replies=tuple(self._replies))

    def _done(self, call: Call) -> None:
        """It was taken; what changed meanwhile stays."""
        now = time.monotonic()
        with self._changed:
            self._services_told = call.services if len(call.services) < wire.MOST_SERVICES else self._services
            for mark in call.marks:
                made, held = self._marks.pop(mark.trace, (now, mark))
                _, _, part = self._told.pop(mark.trace, (0.0, None, None))
                self._told[mark.trace] = made, replace(held, age_s=0.0), part
            for part in call.parts:
                if self._parts.get(part.trace) is part:
                    del self._parts[part.trace]
                made, mark_told, _ = self._told.pop(part.trace, (now, None, None))
                self._told[part.trace] = made, mark_told, part
            _bounded(self._told)
            self._replies = [one for one in self._replies if not any(one is told for told in call.replies)]


def _bounded(held: dict[str, Any]) -> None:
    while len(held) > _MOST:
        del held[next(iter(held))]

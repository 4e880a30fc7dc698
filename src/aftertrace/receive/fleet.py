"""The server's side of the exchange between agents (docs/fleet.md): marks in one order, what each agent had of a trace.

All of it is for the event loop's thread. A call that has nothing to hear is held, without a thread of its own. What is
lost when the server ends is rebuilt: marks from the kept ones, and agents tell a new server again what they told of
late.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from aftertrace.errors import BadOtlp, Unavailable
from aftertrace.receive import body
from aftertrace.receive.asking import Asking
from aftertrace.receive.status import JSON
from aftertrace.wire import fleet as wire
from aftertrace.wire.bundle import AgentPart, Coverage
from aftertrace.wire.fleet import Answer, Call, Mark, Part

_LOG = logging.getLogger("aftertrace.receive")
_MOST_AGENTS = 4096
_MOST_MARKS = 20_000
_MOST_SHOWN = 64  # agents named in one trace's coverage
_MOST_HELD = 20_000  # traces whose coverage may still change
_ALIVE_S = 15.0  # an agent that neither listens nor was heard for so long is not asked
_FORGET_S = 600.0
_WRITE_S = 1.0


class Ledger(Protocol):
    """What outlives the server (the store). The future is done when it is durable."""

    def recent_marks(self, seconds: float) -> list[Mark]: ...

    def recent_coverage(self, seconds: float) -> dict[str, Coverage]: ...

    def submit_coverage(self, found: Mapping[str, Coverage]) -> Future[None]: ...


@dataclass(slots=True)
class Agent:
    """One that called. ``seen``: monotonic, s."""

    id: str
    host: str = ""
    services: tuple[str, ...] = ()
    seen: float = 0.0
    listening: int = 0  # calls that are held
    given: set[str] = field(default_factory=set)  # ids of what it was asked


@dataclass(slots=True)
class _Marked:
    """A mark in the server's order: its place in the list is its number."""

    mark: Mark
    by: str  # agent
    made: float  # monotonic, s


@dataclass(slots=True)
class _Held:
    """The coverage of one trace. ``marked``: all agents are told of it; else one had something of it for itself."""

    since: float
    asked: dict[str, AgentPart] = field(default_factory=dict)  # by agent; answered_s < 0: not yet
    marked: bool = False

    def told(self) -> Coverage:
        had = [one for one in self.asked.values() if one.shipped or one.overwritten]
        silent = [one for one in self.asked.values() if one.answered_s < 0]
        nothing = len(self.asked) - len(had) - len(silent)
        return Coverage(len(self.asked), nothing, len(silent), [*had, *silent][:_MOST_SHOWN])


class Fleet:
    """What agents told; ``ledger`` is asked at the start and told of coverage."""

    def __init__(self, ledger: Ledger) -> None:
        self.boot = secrets.token_hex(8)
        self._ledger = ledger
        self._agents: dict[str, Agent] = {}
        self._marks: list[_Marked] = []
        self._base = 0  # number of marks that were let go
        self._marked: dict[str, _Held] = {}  # by trace; the one that changed last is last
        self._unsaved: set[str] = set()
        self._writing: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._closed = False
        self.asking = Asking(self.wake, lambda: [one.id for one in self._alive()])
        self._rebuild()

    def _rebuild(self) -> None:
        now = time.monotonic()
        for trace, known in self._ledger.recent_coverage(wire.REMEMBER_S).items():
            self._marked[trace] = _Held(now, {one.agent: one for one in known.agents})
        self._marks = [_Marked(mark, "", now - mark.age_s) for mark in self._ledger.recent_marks(wire.REMEMBER_S)]
        for one in self._marks:
            self._marked.setdefault(one.mark.trace, _Held(one.made)).marked = True

    # -- HTTP

    async def handle(self, request: Request) -> Response:
        """POST /v1/aftertrace/fleet."""
        try:
            call = wire.call(await body.read(request.stream(), wire.LIMIT))
        except ValueError as error:
            raise BadOtlp("bad-call", f"This is no call of an agent: {error}.") from None
        return Response(wire.encode(await self.call(call)), media_type=JSON)

    async def call(self, call: Call) -> Answer:
        """What the agent is to hear; held for as long as there is nothing. Raises Unavailable."""
        agent = self._meet(call)
        self._take(agent, call)
        loop = asyncio.get_running_loop()
        until = loop.time() + call.wait_s
        agent.listening += 1 if call.wait_s else 0
        stranger = call.boot != self.boot  # it learns at once whom it speaks with
        try:
            while True:
                changed = self._changed
                answer = self._answer(agent, call)
                call = replace(call, boot=answer.boot, cursor=answer.cursor)
                left = until - loop.time()
                news = answer.marks or answer.asked or answer.rules is not None or stranger
                if news or left <= 0 or self._closed:
                    return answer
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), left)
        finally:
            agent.listening -= 1 if call.wait_s else 0
            agent.seen = time.monotonic()

    def wake(self) -> None:
        """Whoever is held looks again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def close(self) -> None:
        """Lets all go who are held, and saves what is not saved."""
        self._closed = True
        self.wake()
        if self._writing is not None:
            self._writing.cancel()
        with suppress(Exception):
            await self._save()

    def agents(self) -> list[dict[str, Any]]:
        """Those that are there."""
        return [{"agent": one.id, "host": one.host, "services": list(one.services)} for one in self._alive()]

    # -- agents

    def _meet(self, call: Call) -> Agent:
        agent = self._agents.get(call.agent)
        if agent is None:
            self._let_go()
            if len(self._agents) >= _MOST_AGENTS:
                raise Unavailable("too-many-agents", f"{_MOST_AGENTS} agents are served.", "Come again later.")
            agent = self._agents[call.agent] = Agent(call.agent)
        agent.host, agent.services, agent.seen = call.host, call.services, time.monotonic()
        return agent

    def _let_go(self) -> None:
        now = time.monotonic()
        for one in [one for one in self._agents.values() if not one.listening and now - one.seen > _FORGET_S]:
            del self._agents[one.id]

    def _alive(self) -> Iterator[Agent]:
        now = time.monotonic()
        return (one for one in self._agents.values() if one.listening or now - one.seen < _ALIVE_S)

    # -- what they tell

    def _take(self, agent: Agent, call: Call) -> None:
        for mark in call.marks:
            self._mark(agent, mark)
        for part in call.parts:
            self._part(agent, part)
        for reply in call.replies:
            self.asking.reply(agent.id, agent.host, reply)
        if call.leaves:
            self._agents.pop(agent.id, None)
        if call.marks:
            self.wake()

    def _mark(self, agent: Agent, mark: Mark) -> None:
        now = time.monotonic()
        held = self._marked.pop(mark.trace, None) or _Held(now - mark.age_s)
        self._marked[mark.trace] = held
        if held.marked and held.asked:
            return
        held.marked = True
        for one in self._alive():
            held.asked.setdefault(one.id, _silent(one))
        self._unsaved.add(mark.trace)
        self._marks.append(_Marked(mark, agent.id, now - mark.age_s))
        over = len(self._marks) - _MOST_MARKS
        if over > _MOST_MARKS // 4:
            del self._marks[:over]
            self._base += over
        self._write_soon()

    def _part(self, agent: Agent, part: Part) -> None:
        held = self._marked.get(part.trace)
        if held is None:
            if not part.shipped and not part.overwritten:
                return
            held = _Held(time.monotonic())
        self._marked.pop(part.trace, None)
        self._marked[part.trace] = held
        known = held.asked.get(agent.id) or _silent(agent)
        held.asked[agent.id] = replace(
            known,
            shipped=sorted({*known.shipped, *part.shipped}),
            overwritten=sorted({*known.overwritten, *part.overwritten}),
            horizon_s=max(known.horizon_s, part.horizon_s),
            answered_s=known.answered_s if known.answered_s >= 0 else round(time.monotonic() - held.since, 3),
        )
        self._unsaved.add(part.trace)
        self._write_soon()

    # -- what they hear

    def _answer(self, agent: Agent, call: Call) -> Answer:
        now = time.monotonic()
        at = call.cursor - self._base if call.boot == self.boot else 0
        found: list[Mark] = []
        end = at = min(max(at, 0), len(self._marks))
        for one in self._marks[at : at + 4 * wire.MOST]:
            if len(found) >= wire.MOST:
                break
            end += 1
            age = now - one.made
            if one.by != agent.id and age < wire.REMEMBER_S:
                found.append(replace(one.mark, age_s=max(age, 0.0)))
        rules = None if call.rules == self.asking.rules_version else self.asking.rules()
        asked = self.asking.for_agent(agent.id, agent.given) if call.wait_s else []
        if rules is not None and not call.wait_s:
            rules = None
        return Answer(self.boot, self._base + end, tuple(found), self.asking.rules_version, rules, tuple(asked))

    # -- what is saved

    def _write_soon(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        while self._unsaved and not self._closed:
            await asyncio.sleep(_WRITE_S)
            try:
                await self._save()
            except Exception as error:  # tried again with the next second
                _LOG.warning("coverage could not be stored yet: %s: %s", type(error).__name__, error)
                await asyncio.sleep(_WRITE_S)

    async def _save(self) -> None:
        unsaved = {trace: self._marked[trace].told() for trace in self._unsaved if trace in self._marked}
        self._unsaved.clear()
        if unsaved:
            try:
                await asyncio.wrap_future(self._ledger.submit_coverage(unsaved))
            except BaseException:
                self._unsaved |= unsaved.keys()
                raise
        now = time.monotonic()
        while self._marked:
            trace = next(iter(self._marked))
            if len(self._marked) <= _MOST_HELD and now - self._marked[trace].since < _FORGET_S:
                break
            if trace in self._unsaved:
                break
            del self._marked[trace]


def _silent(agent: Agent) -> AgentPart:
    return AgentPart(agent.id, agent.host, list(agent.services))

"""One program measured under all tools: fresh processes, slices between them, slices within, paced load."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from aftertrace.cli.bench import records
from aftertrace.cli.bench.catalog import AUTO, BARE, CONTROL, OURS, PAUSED, TRACING, Tool
from aftertrace.cli.bench.found import Found, Latencies, Steady
from aftertrace.cli.bench.servers import Bench, Server, cpu_ns, measured, others, pin
from aftertrace.cli.bench.slices import AtLevel, Loaded, Pair, one_slice, sweep
from aftertrace.errors import AftertraceError

STARTERS = 3  # servers that start at a time
AGENT_LAG_S = 0.3  # until it does what the level before it left
IDLE_S = 1.0  # in which nothing happens
SENT_LATER_S = 5.5  # OpenTelemetry's batches wait for 5 s
_MUST = (BARE, CONTROL)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: generations of processes, sweeps in each, warm-up and paced slices in seconds."""

    generations: int = 2
    sweeps: int = 12
    warm_s: float = 1.0
    governed_s: float = 8.0  # until the governor has settled
    steady_s: float = 2.0
    paced_rounds: int = 6
    paced_s: float = 0.5


QUICK = Plan(generations=1, sweeps=5, warm_s=0.4, governed_s=4.0, steady_s=0.7, paced_rounds=3, paced_s=0.4)

type Say = Callable[[str], None]


def named(tool: Tool, level: str) -> str:
    """A row's name."""
    return f"{tool.name} {level}".strip()


@dataclass(slots=True)
class _State:
    """What a server had used and done at some time (ns, requests), and its sink had got (bytes)."""

    server: Server
    cpu: int
    wall: int
    requests: int
    sent: int

    @classmethod
    def of(cls, bench: Bench, server: Server) -> _State:
        reading = server.ask()
        return cls(server, reading.cpu, reading.wall, reading.requests, bench.sent(server.tool))


@dataclass(slots=True)
class Session:
    """Measures ``found.program``; ``tools`` begin with the bare program and its control. ``say`` takes what is being
    done."""

    bench: Bench
    tools: Sequence[Tool]
    plan: Plan
    say: Say
    found: Found
    servers: list[Server] = field(default_factory=list)
    label: str = ""

    def measure(self) -> None:
        """Raises BenchFailed or Unavailable when the bare program does not run; a tool that does not is left out."""
        for generation in range(self.plan.generations):
            several = f", processes {generation + 1} of {self.plan.generations}" if self.plan.generations > 1 else ""
            self.label = f"{self.found.program.name}{several}"
            back = None
            try:
                self._tell("starting")
                back = self.bench.start_back(self.found.program)
                self._start(f"http://127.0.0.1:{back.port}" if back else "")
                self._generation()
            finally:
                self.bench.stop([*self.servers, *([back] if back else [])])
                self.servers = []

    def _tell(self, text: str) -> None:
        self.say(f"{self.label}: {text}")

    def _generation(self) -> None:
        for number, server in enumerate(self.servers):
            self._tell(f"warming {number + 1} of {len(self.servers)}")
            self._warm(server)
        self.servers = [server for server in self.servers if server.tool.name not in self.found.failed]
        self._between()
        for server in self.servers:
            if server.tool.approach == OURS:
                self._within(server)
                self._steady(server)
        self._paced()

    # -- processes ---------------------------------------------------------------------------------------------------

    def _start(self, back: str) -> None:
        tools = [tool for tool in self.tools if tool.name not in self.found.failed]
        with ThreadPoolExecutor(STARTERS) as starters:
            started = list(starters.map(lambda tool: self._start_one(tool, back), tools))
        self.servers = [server for server in started if server is not None]
        for server in self.servers:
            pin(server.process.pid, measured())

    def _start_one(self, tool: Tool, back: str) -> Server | None:
        try:
            return self.bench.start(self.found.program, tool, back)
        except AftertraceError as error:
            self._failed(tool, error)
            return None

    def _failed(self, tool: Tool, error: AftertraceError) -> None:
        if tool.name in _MUST:
            raise error
        self.found.failed[tool.name] = error.message.splitlines()[-1]

    def _warm(self, server: Server) -> None:
        try:
            self.bench.loaded(server)
            if server.load is not None:
                pin(server.load.pid, others())
            one_slice(Loaded(server), self.plan.governed_s if server.tool.pauses else self.plan.warm_s)
        except AftertraceError as error:
            self._failed(server.tool, error)

    # -- whole processes in turns ------------------------------------------------------------------------------------

    def _between(self) -> None:
        bare, *rest = self.servers
        begun = [_State.of(self.bench, one) for one in self.servers]
        pairs = sweep(
            Loaded(bare),
            [Loaded(one) for one in rest],
            self.plan.sweeps,
            lambda done: self._tell(f"{len(rest)} processes in turns with the bare one, {done} of {self.plan.sweeps}"),
        )
        for name, group in pairs.items():
            self.found.between.setdefault(name, []).append(group)
        if any(one.tool.approach == TRACING for one in rest):
            self._tell("waiting for what is sent later")
            time.sleep(SENT_LATER_S)
        ended = [_State.of(self.bench, one.server) for one in begun]
        time.sleep(IDLE_S)
        for before, after in zip(begun[1:], ended[1:], strict=True):
            self._account(before, after, pairs[before.server.tool.name])

    def _account(self, before: _State, after: _State, pairs: Sequence[Pair]) -> None:
        """What a tool puts off until later: its CPU over all that time, less that of requests as in the slices, less
        what it uses while nothing happens."""
        server, requests = before.server, after.requests - before.requests
        idle = (server.cpu_ns() - after.cpu) / (time.monotonic_ns() - after.wall)
        within = statistics.fmean(pair.mine.cpu for pair in pairs)
        loaded = requests / statistics.fmean(pair.mine.rate for pair in pairs) * 1e9
        resting = max(after.wall - before.wall - loaded, 0.0)
        later = (after.cpu - before.cpu - idle * resting) / requests - within
        self.found.deferred.setdefault(server.tool.name, []).append(later)
        self.found.sent.setdefault(server.tool.name, []).append((after.sent - before.sent) / requests)

    # -- levels in one process ---------------------------------------------------------------------------------------

    def _within(self, server: Server) -> None:
        base, *levels = (PAUSED, AUTO) if server.tool.pauses else server.tool.levels
        sweeps = self.plan.sweeps * 2  # they are few, and these ratios are the ones that can be fine
        server.begin()
        try:
            pairs = sweep(
                AtLevel(server, base, base),
                [AtLevel(server, base, CONTROL), *(AtLevel(server, level, level) for level in levels)],
                sweeps,
                lambda done: self._tell(f"levels in one process, {done} of {sweeps}"),
            )
            server.ask(f"level {AUTO if server.tool.pauses else base}")
        finally:
            server.rest()
        kept = self.found.within.setdefault(server.tool.name, {})
        for name, group in pairs.items():
            kept.setdefault(name, []).append(group)

    def _steady(self, server: Server) -> None:
        """What each level makes the agent do, and leaves in the ring."""
        if self.bench.agent is None:
            return
        for level in server.tool.levels or ("",):
            name = named(server.tool, level)
            self._tell(f"agent and records of {name}")
            if level:
                server.ask(f"level {level}")
            server.begin()
            try:
                time.sleep(AGENT_LAG_S)
                agent, before = cpu_ns(self.bench.agent.pid), server.ask()
                time.sleep(self.plan.steady_s)
                agent, after = cpu_ns(self.bench.agent.pid) - agent, server.ask()
            finally:
                server.rest()
            requests = after.requests - before.requests
            rate = requests / (after.wall - before.wall) * 1e9
            self.found.levels.setdefault(name, []).append(Steady(agent / requests, rate, records.of_requests(server)))

    # -- latency at a rate -------------------------------------------------------------------------------------------

    def _paced(self) -> None:
        """Half of what the bare program can do, to each in turns; ours at each of its levels."""
        if math.isnan(self.found.paced_rate):
            self.found.paced_rate = self.found.bare_rate() / 2
        stops = [(server, level) for server in self.servers for level in (server.tool.levels or ("",))]
        for number in range(self.plan.paced_rounds):
            for server, level in reversed(stops) if number % 2 else stops:
                self._paced_one(server, level, number)
            self._tell(f"latency at half of the bare program's load, {number + 1} of {self.plan.paced_rounds}")

    def _paced_one(self, server: Server, level: str, number: int) -> None:
        if level:
            server.ask(f"level {level}")
        answer = self.bench.paced(server, self.found.paced_rate, self.plan.paced_s, number)
        kept = self.found.latencies.setdefault(named(server.tool, level), Latencies())
        kept.offered += answer["offered"]
        kept.rounds.append(answer["latencies"])

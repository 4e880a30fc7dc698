"""The processes of a measurement: servers with their load, agent, sink, and where each of them may run."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from aftertrace.cli.bench.catalog import ATTACHED, BARE, PROGRAMS, Place, Program, Tool
from aftertrace.cli.demo.processes import Process, Processes, answers, wait_until
from aftertrace.errors import AftertraceError, Unavailable

CONNECTIONS = 4
PACKAGE = "bench_programs"
START_SECONDS = 60.0
ANSWER_SECONDS = 60.0  # a debugged server answers slowly
_NICE = -10
_CPU_CLOCK = 2  # of a whole process, in the clock ids that Linux makes of a pid


class BenchFailed(AftertraceError):
    """The benchmark did not get to its end."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a server is: ns of CPU and of the wall clock, requests begun, bytes recorded or logged."""

    cpu: int
    wall: int
    requests: int
    bytes: int
    port: int = 0  # 0: it does not listen yet


@dataclass(slots=True)
class Server:
    """One program under one tool, with a generator of its own that stands still except in its slices."""

    tool: Tool
    process: Process
    control: socket.socket
    lines: TextIO
    closing: contextlib.ExitStack
    port: int = 0
    load: Process | None = None
    beside: Process | None = None

    def ask(self, words: str = "read") -> Reading:
        """Raises BenchFailed when the server is gone."""
        try:
            self.control.sendall(words.encode() + b"\n")
            return Reading(**json.loads(self.lines.readline()))
        except (OSError, ValueError, TypeError):
            raise BenchFailed(
                "bench-server", f"{self.process.name} ended.", f"Its log says: {last_words(self.process)}"
            ) from None

    def begin(self) -> None:
        """Load on."""
        if self.load is not None:
            self.load.stop(signal.SIGCONT)

    def rest(self) -> None:
        """Load off: what is under way ends, the connections stay."""
        if self.load is not None:
            if self.load.popen.poll() is not None:
                raise BenchFailed("bench-load", f"The load on {self.process.name} ended.", last_words(self.load))
            self.load.stop(signal.SIGSTOP)

    def cpu_ns(self) -> int:
        return cpu_ns(self.process.pid)


def cpu_ns(pid: int) -> int:
    """ns of CPU that a process has used so far, by the kernel's clock of that process."""
    return time.clock_gettime_ns((~pid << 3) | _CPU_CLOCK)


def last_words(process: Process) -> str:
    lines = [line for line in process.log_text().splitlines() if line.strip()]
    return lines[-1] if lines else "nothing"


def _answers(server: Server) -> bool:
    """Whether it serves; False too while it is ending, which the caller sees by itself."""
    try:
        server.port = server.ask().port
    except BenchFailed:
        return False
    return bool(server.port) and answers(f"http://127.0.0.1:{server.port}/")


@dataclass(slots=True)
class Bench:
    """What all measurements share: the programs' copy, sink, agent, the generator of paced load."""

    directory: Path
    processes: Processes
    sink_port: int = 0
    agent: Process | None = None
    wrk: str = field(default_factory=lambda: shutil.which("wrk") or "")
    _paced: socket.socket | None = None
    _count: int = 0

    @property
    def agent_socket(self) -> Path:
        return self.directory / "agent.sock"

    def sent(self, tool: Tool) -> int:
        """Bytes of bodies that the sink got from a tool so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.sink_port}/-/bytes", timeout=10) as answer:
            received: dict[str, int] = json.load(answer)
        return sum(size for path, size in received.items() if path.startswith(tool.sent_as or tool.name))

    def start(self, program: Program, tool: Tool, back: str) -> Server:
        """A server that answers. Raises Unavailable."""
        self._count += 1
        name = f"{program.name}-{tool.name}-{self._count}"
        place = Place(self.directory, f"http://127.0.0.1:{self.sink_port}/{tool.name}", self.agent_socket)
        control = self.directory / f"{self._count}.sock"
        env = {
            **clean_environment(),
            "BENCH_CONTROL": str(control),
            "BENCH_DATA": str(self.directory),
            "BENCH_BACK": back,
            "DJANGO_SETTINGS_MODULE": f"{PACKAGE}.django_settings",
            "PYTHONHASHSEED": "0",  # else two equal processes lay out their dicts differently
            **tool.environment(place),
        }
        words = tool.wrap([sys.executable, "-m", f"{PACKAGE}.serve", program.module])
        process = self.processes.start(name, words, env=env, cwd=self.directory)
        wait_until(control.exists, process, START_SECONDS)
        with contextlib.ExitStack() as stack:
            line = stack.enter_context(socket.socket(socket.AF_UNIX))
            line.settimeout(ANSWER_SECONDS)
            wait_until(lambda: not line.connect_ex(str(control)), process, START_SECONDS)  # it exists before it listens
            server = Server(tool, process, line, stack.enter_context(line.makefile("r")), stack)
            wait_until(lambda: _answers(server), process, START_SECONDS)
            server.beside = self._start_beside(name, tool, process.pid)
            server.closing = stack.pop_all()
        return server

    def _start_beside(self, name: str, tool: Tool, pid: int) -> Process | None:
        """What watches the server from outside, once it does."""
        if tool.beside is None:
            return None
        words, env = tool.beside(pid), clean_environment()
        beside = self.processes.start(f"{name}-beside", words, env=env, cwd=self.directory)
        wait_until(lambda: ATTACHED in beside.log_text(), beside, START_SECONDS)
        return beside

    def start_back(self, program: Program) -> Server | None:
        """The service that the program asks, not measured itself. Raises Unavailable."""
        if not program.back:
            return None
        server = self.start(Program("back", PROGRAMS[0].module, "", ()), Tool(BARE, ""), "")
        pin(server.process.pid, others())
        return server

    def loaded(self, server: Server) -> None:
        """Starts the server's generator, and lets it stand still."""
        if self.wrk:
            words = [self.wrk, "-t1", f"-c{CONNECTIONS}", "-d24h"]
            words.append(f"http://127.0.0.1:{server.port}/")
        else:
            words = [*_script("load"), "closed", str(server.port), str(CONNECTIONS)]
        env = clean_environment()
        server.load = self.processes.start(f"load-{server.process.name}", words, env=env, cwd=self.directory)
        before = server.ask().requests
        deadline = time.monotonic() + START_SECONDS
        while server.ask().requests < before + CONNECTIONS:
            if server.load.popen.poll() is not None or time.monotonic() > deadline:
                raise Unavailable("bench-load", f"No load on {server.process.name}: {last_words(server.load)}")
            time.sleep(0.02)

    def paced(self, server: Server, rate: float, seconds: float, seed: int) -> dict[str, Any]:
        """One slice of paced load. Raises BenchFailed."""
        order = {"port": server.port, "rate": rate, "seconds": seconds, "seed": seed}
        generator = self._generator()
        generator.sendall(json.dumps(order).encode() + b"\n")
        with generator.makefile("r") as lines:
            answer: dict[str, Any] = json.loads(lines.readline() or '{"error": "it ended"}')
        if "error" in answer:
            raise BenchFailed("bench-load", f"Paced load on {server.process.name} failed: {answer['error']}")
        return answer

    def _generator(self) -> socket.socket:
        """The line to the process that makes paced load."""
        if self._paced is None:
            path = self.directory / "paced.sock"
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
                listener.listen()
                listener.settimeout(START_SECONDS)
                words = [*_script("load"), "paced", str(path)]
                load = self.processes.start("load-paced", words, env=clean_environment(), cwd=self.directory)
                self._paced, _ = listener.accept()
            pin(load.pid, others())
        return self._paced

    def stop(self, servers: list[Server]) -> None:
        for server in servers:
            if server.load is not None:
                server.begin()  # a stopped process does not take SIGTERM
            server.closing.close()
        self.processes.stop_some(
            [one for server in servers for one in (server.load, server.beside, server.process) if one]
        )

    def close(self) -> None:
        if self._paced is not None:
            self._paced.close()


@contextlib.contextmanager
def open_bench(directory: Path, *, agent: bool) -> Iterator[Bench]:
    """Sink and agent run; nothing that was started is left at the end."""
    shutil.copytree(
        Path(__file__).with_name("programs"), directory / PACKAGE, ignore=shutil.ignore_patterns("__pycache__")
    )
    with Processes(directory / "logs") as processes:
        bench = Bench(directory, processes)
        try:
            bench.sink_port = _start_sink(bench)
            if agent:
                _start_agent(bench)
            yield bench
        finally:
            bench.close()


def _script(name: str) -> list[str]:
    """A file of this room that needs nothing but Python."""
    return [sys.executable, "-P", str(Path(__file__).with_name(f"{name}.py"))]


def _start_sink(bench: Bench) -> int:
    sink = bench.processes.start("sink", _script("sink"), env=clean_environment(), cwd=bench.directory)
    wait_until(lambda: sink.log_text().strip().isdigit(), sink)
    pin(sink.pid, others())
    return int(sink.log_text())


def _start_agent(bench: Bench) -> None:
    """What it would ship goes to the sink."""
    env = {
        **clean_environment(),
        "AFTERTRACE_AGENT_SOCKET": str(bench.agent_socket),
        "AFTERTRACE_SPOOL_DIR": str(bench.directory / "spool"),
        "AFTERTRACE_ENDPOINT": f"http://127.0.0.1:{bench.sink_port}/agent",
    }
    words = [sys.executable, "-P", "-m", "aftertrace", "agent"]
    bench.agent = bench.processes.start("agent", words, env=env, cwd=bench.directory)
    wait_until(bench.agent_socket.exists, bench.agent)
    pin(bench.agent.pid, others())


def clean_environment() -> Mapping[str, str]:
    """This process's environment, without what would steer a recorder, a tracer or Python."""
    mixed = ("AFTERTRACE_", "OTEL_", "PYTHON", "DD_", "SENTRY_", "LOGFIRE_", "BENCH_", "DJANGO_")
    return {name: value for name, value in os.environ.items() if not name.startswith(mixed)}


# -- where they run --------------------------------------------------------------------------------------------------


def measured() -> set[int]:
    """The core on which all servers run, so that all meet the same one."""
    return {max(os.sched_getaffinity(0))}


def others() -> set[int]:
    """The cores of all else; the same one where there is only one."""
    return (os.sched_getaffinity(0) - measured()) or measured()


def pin(pid: int, cores: set[int]) -> None:
    """All threads that a process has now, those to come inherit it; before others' work, where we may ask for that."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it has just ended, or the host does not let us
            os.sched_setaffinity(int(task.name), cores)
            os.setpriority(os.PRIO_PROCESS, int(task.name), _NICE)

"""What is measured: one server, an agent on each host, four recorded services and a Redis, each started as usual."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from benchmarks.keeping.edges import AGENT_HANG_S
from benchmarks.keeping.hosts import Host, Hosts
from benchmarks.keeping.witness import Witness

from aftertrace.cli import client, status
from aftertrace.cli.demo.processes import Process, Processes, answers, free_ports, wait_until
from aftertrace.errors import AftertraceError
from aftertrace.settings import Settings

ROOT = Path(__file__).parent.parent.parent
APPS = Path(__file__).parent / "apps"
PLACES = {"gateway": "front", "worker": "front", "orders": "middle", "stock": "back"}
_TOKEN = "of-the-harness"
_APP = "benchmarks.keeping.apps"
_UVICORN = ["uvicorn", "--no-access-log", "--log-level", "critical", "--timeout-keep-alive", "60", "--host", "{host}"]
_COMMANDS: dict[str, list[str]] = {
    "stock": [*_UVICORN, "--port", "{port}", f"{_APP}.stock:app"],
    "orders": ["waitress", "--threads", "16", "--listen", "{host}:{port}", f"{_APP}.orders:app"],
    "gateway": [*_UVICORN, "--port", "{port}", f"{_APP}.gateway:app"],
    "worker": ["celery", "-A", f"{_APP}.tasks", "worker", "-P", "solo", "-l", "CRITICAL", "--without-mingle",
               "--without-gossip", "--without-heartbeat", "-n", "worker@here"],
}  # fmt: skip


def ours(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "aftertrace", *words]


@dataclass(slots=True)
class Agent:
    """One host's. ``sums``: counts of those before this one."""

    host: Host
    process: Process | None = None
    last: dict[str, Any] = field(default_factory=dict)  # its last status
    sums: dict[str, int] = field(default_factory=dict)
    deaths: int = 0
    horizon: float = 0.0  # longest
    cpu_s: float = 0.0  # of those before

    @property
    def socket(self) -> Path:
        return self.host.directory / "run" / "agent.sock"

    @property
    def spool(self) -> Path:
        return self.host.directory / "spool"

    def look(self) -> dict[str, Any]:
        """Its status; the last one while none answers."""
        with suppress(AftertraceError):
            self.last = status.ask(self.socket)
            self.horizon = max(self.horizon, float(self.last["memory"]["horizon_s"]))
        return self.last

    def counts(self) -> dict[str, int]:
        found = dict(self.sums)
        for name, count in self.last.get("counts", {}).items():
            found[name] = found.get(name, 0) + int(count)
        return found


@dataclass(slots=True)
class Stage:
    """``recorded`` False: the same services, bare."""

    hosts: Hosts
    directory: Path
    recorded: bool = True
    level: str = "auto"
    witness: Witness = field(default_factory=Witness)
    agents: dict[str, Agent] = field(default_factory=dict)
    services: dict[str, Process] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    processes: Processes = field(init=False)
    server: Process | None = None
    settings: Settings = field(default_factory=Settings)
    restarts: dict[str, int] = field(default_factory=dict)
    _clock_shim: str = ""  # "": hosts have the machine's clock

    def __post_init__(self) -> None:
        self.processes = Processes(self.directory / "logs")

    def __enter__(self) -> Self:
        self.processes.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.processes.stop()
        self.witness.close()
        self.hosts.close()
        shutil.rmtree(self.directory / "store", ignore_errors=True)

    def open(self, prepare: Callable[[Stage], str]) -> str:
        """Starts all of it. Why it was not, where ``prepare`` says so."""
        for name in dict.fromkeys(PLACES.values()):
            host = self.hosts.add(name, self.directory / name)
            self.agents[name] = Agent(host)
        if why_not := prepare(self):
            return why_not
        self._start()
        return ""

    def _start(self) -> None:
        names = ["gateway", "orders", "stock", "redis", "otlp", "api"]
        ports = free_ports(6) if self.hosts.why_not else [8001, 8002, 8003, 6379, 4318, 7070]
        self.ports = dict(zip(names, ports, strict=True))
        self.settings = Settings(server=f"http://{self.hosts.outside}:{self.ports['api']}", token=_TOKEN)
        if self.recorded:
            self.start_server()
            for name in self.agents:
                self.start_agent(name)
        self._start_redis()
        for name in _COMMANDS:
            self.start_service(name)
        for name in _COMMANDS:
            self._wait(name)

    # -- the server and the agents

    def start_server(self) -> None:
        words = ["serve", "--bind", self.hosts.outside, "--store", str(self.directory / "store")]
        words += ["--otlp-port", str(self.ports["otlp"]), "--api-port", str(self.ports["api"])]
        env = {**_environment(), "AFTERTRACE_TOKEN": _TOKEN}
        self.server = self.processes.start("server", ours(*words), env=env, cwd=self.directory)
        wait_until(self._serves, self.server)

    def _serves(self) -> bool:
        try:
            client.ask("ls", settings=self.settings, limit=1)
        except AftertraceError:
            return False
        return True

    def start_agent(self, name: str) -> None:
        agent = self.agents[name]
        words = ["agent", "--socket", str(agent.socket), "--spool", str(agent.spool)]
        words += ["--endpoint", f"http://{self.hosts.outside}:{self.ports['otlp']}"]
        env = {**_environment(), **self._clock(agent.host), "AFTERTRACE_TOKEN": _TOKEN}
        env["AFTERTRACE_HANG_S"] = str(AGENT_HANG_S)
        command = agent.host.words(ours(*words))
        agent.process = self.processes.start(f"agent-{name}", command, env=env, cwd=self.directory)
        wait_until(lambda: bool(_asked(agent.socket)), agent.process)

    def kill_agent(self, name: str) -> None:
        agent = self.agents[name]
        agent.look()
        assert agent.process is not None
        agent.cpu_s += cpu_seconds(agent.process.pid)
        agent.process.kill()
        agent.sums, agent.last = agent.counts(), {}
        agent.deaths += 1

    # -- the services

    def address(self, service: str) -> str:
        return self.agents[PLACES[service]].host.address

    def _start_redis(self) -> None:
        host = self.agents["middle"].host
        place = self.directory / "redis"
        place.mkdir()
        words = ["redis-server", "--port", str(self.ports["redis"]), "--bind", host.address, "--save", ""]
        words += ["--protected-mode", "no", "--dir", str(place)]
        process = self.processes.start("redis", host.words(words), env=_environment(), cwd=place)
        wait_until(lambda: _listens(host.address, self.ports["redis"]), process)

    def start_service(self, name: str) -> None:
        agent = self.agents[PLACES[name]]
        host, port = agent.host, self.ports.get(name, 0)
        words = [part.format(host=host.address, port=port) for part in _COMMANDS[name]]
        command = [sys.executable, "-m", *words]
        if self.recorded:
            command = ours("run", "--service", name, "--level", self.level, "--", *command)
        command = host.words(command)
        env = {**_environment(), **self._clock(host), "AFTERTRACE_AGENT_SOCKET": str(agent.socket)}
        env |= {"AFTERTRACE_ROOT": str(APPS), "C_FORCE_ROOT": "1", "PYTHONWARNINGS": "ignore"}
        env["ORDERS"] = f"http://{self.address('orders')}:{self.ports['orders']}"
        env["STOCK"] = f"http://{self.address('stock')}:{self.ports['stock']}"
        env["REDIS"] = f"redis://{self.address('orders')}:{self.ports['redis']}"
        self.services[name] = self.processes.start(name, command, env=env, cwd=ROOT)
        if self.recorded and not self.witness.watch(name, self.services[name].pid):
            raise RuntimeError(f"{name} is not recorded; its log: {self.services[name].log}")

    def _wait(self, name: str) -> None:
        process = self.services[name]
        if name in self.ports:
            url = f"http://{self.address(name)}:{self.ports[name]}/healthz"
            wait_until(lambda: answers(url), process)
        else:
            wait_until(lambda: _waits_for_work(self.address("orders"), self.ports["redis"]), process)

    def end_service(self, name: str, number: signal.Signals) -> None:
        os.kill(self.services[name].pid, number)
        self.services[name].popen.wait(30)

    def supervise(self) -> None:
        """Starts again what has ended, as an init would."""
        if not self.recorded:
            return
        for name, agent in self.agents.items():
            ended = agent.process is not None and agent.process.popen.poll() is not None
            if ended:
                self.start_agent(name)
        for name, process in list(self.services.items()):
            if process.popen.poll() is not None:
                self.restarts[name] = self.restarts.get(name, 0) + 1
                self.start_service(name)

    # -- clocks

    def own_clocks(self) -> str:
        """Each host's processes will see the real time with a shift of their own (clock.c); why not, where there is no
        compiler. The machine's clock is never touched."""
        library = self.directory / "clock.so"
        words = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(Path(__file__).parent / "clock.c"), "-ldl"]
        try:
            subprocess.run(words, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            return f"no shim for clocks can be compiled: {error}"
        for name in self.agents:
            self.jump(name, 0)
        self._clock_shim = str(library)
        return ""

    def _clock(self, host: Host) -> dict[str, str]:
        shim = self._clock_shim
        return {"LD_PRELOAD": shim, "KEEPING_CLOCK": str(host.directory / "clock")} if shim else {}

    def jump(self, name: str, seconds: int) -> None:
        """What the processes of a host see of the real time, from now on: so far from the machine's."""
        shift = self.agents[name].host.directory / "clock"
        with shift.open("r+b" if shift.exists() else "wb") as file:  # written in place: it is mapped
            file.write(struct.pack("=q", seconds))

    # -- looks

    def look(self) -> None:
        for agent in self.agents.values() if self.recorded else ():
            agent.look()

    def quiet(self, seconds: float) -> bool:
        """Waits until no agent has anything more to send. False: that was not so in time."""
        until, calm, before = time.monotonic() + seconds, 0, ""
        while time.monotonic() < until:
            self.look()
            waiting = sum(one.last["spool"]["waiting"] + one.last["spool"]["files"] for one in self.agents.values())
            waiting += sum(one.last["fleet"]["waiting"] for one in self.agents.values())
            sent = json.dumps([one.last["counts"]["requests"] for one in self.agents.values()])
            calm = calm + 1 if not waiting and sent == before else 0
            before = sent
            if calm >= 6:
                return True
            time.sleep(0.5)
        return False


def cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _environment() -> dict[str, str]:
    """Ours without what would change what is measured."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AFTERTRACE_", "OTEL_"))}
    paths = [str(Path(one).absolute()) for one in kept.get("PYTHONPATH", "").split(os.pathsep) if one]
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(paths)}


def _asked(path: Path) -> Mapping[str, Any]:
    try:
        return status.ask(path)
    except AftertraceError:
        return {}


def _listens(host: str, port: int) -> bool:
    with socket.socket() as asked:
        asked.settimeout(1.0)
        return asked.connect_ex((host, port)) == 0


def _waits_for_work(host: str, port: int) -> bool:
    """Whether somebody waits at the queue: a client of Redis that is blocked."""
    with suppress(OSError), socket.create_connection((host, port), 2) as line:
        line.sendall(b"INFO clients\r\n")
        return b"blocked_clients:0" not in line.recv(1 << 16)
    return False


def start_load(plan: Mapping[str, Any], log: Path) -> subprocess.Popen[str]:
    words: Sequence[str] = [sys.executable, "-m", "benchmarks.keeping.load"]
    pipe = subprocess.PIPE
    with log.open("ab") as errors:
        load = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=errors, text=True, cwd=ROOT)
    assert load.stdin is not None
    load.stdin.write(json.dumps(plan) + "\n")
    load.stdin.flush()
    return load

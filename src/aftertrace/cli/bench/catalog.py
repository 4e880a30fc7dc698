"""What is measured: the programs, and the tools that they run under."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aftertrace.settings import LEVELS

BARE, CONTROL, OURS = "bare", "control", "aftertrace"
BASE_LEVEL = "spans"  # the level that the others are paired with, inside one process
PAUSED, AUTO = "paused", "auto"  # auto is paired with itself while its events are off

BREAKPOINTS, LOGGING, TRACING, KERNEL = "breakpoints", "logging", "tracing", "eBPF"  # the page of approaches


@dataclass(frozen=True, slots=True)
class Program:
    """``module`` of the programs, ``about`` in a few words; ``needs`` are the packages that it imports."""

    name: str
    module: str
    about: str
    needs: tuple[str, ...]
    back: bool = False  # asks a second service


PROGRAMS = (
    Program("fastapi-hello", "hello", "FastAPI, one line of JSON", ("fastapi", "uvicorn")),
    Program("fastapi-pricing", "pricing", "FastAPI, plain Python of about a millisecond", ("fastapi", "uvicorn")),
    Program("flask-orm", "flask_shelf", "Flask, SQLAlchemy on SQLite, template", ("flask", "sqlalchemy", "waitress")),
    Program("django-orm", "django_shelf", "Django, its ORM on SQLite, template", ("django", "waitress")),
    Program(
        "asyncio-call", "calling", "asyncio service that calls another", ("fastapi", "uvicorn", "httpx"), back=True
    ),
    Program("cpu-bound", "computing", "recursion and nested loops", ("fastapi", "uvicorn")),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server runs and what it may talk to."""

    directory: Path
    sink: str  # address of the sink, own path of this server included
    agent_socket: Path


type Environment = Callable[[Place], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Tool:
    """``wrap`` gives the command that starts Python's words under the tool; ``missing`` says why it cannot."""

    name: str
    about: str
    approach: str = ""
    wrap: Callable[[list[str]], list[str]] = lambda python: python
    environment: Environment = lambda _: {}
    needs: tuple[str, ...] = ()
    sent_as: str = ""  # how the paths at the sink begin of one that knows only a host
    levels: tuple[str, ...] = ()  # that are switched inside the process, each a row; the first is the base
    pauses: bool = False  # its events can be switched off and on inside the process
    beside: Callable[[int], list[str]] | None = None  # a command that watches the server's pid; it says ATTACHED

    def missing(self) -> str:
        """The first package or command that is not installed; "" when all are."""
        return next((name for name in self.needs if not installed(name)), "")


def installed(name: str) -> bool:
    """A package, or with a slash before it a command."""
    if name.startswith("/"):
        return shutil.which(name[1:], path=_scripts()) is not None
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _scripts() -> str:
    """Commands of this very installation first."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def _beside(command: str) -> Callable[[list[str]], list[str]]:
    return lambda python: [shutil.which(command, path=_scripts()) or command, *python]


def _recorded(level: str, *options: str) -> Callable[[list[str]], list[str]]:
    words = [sys.executable, "-P", "-m", "aftertrace", "run", "--service", "bench", "--level", level, *options]
    return lambda python: [*words, "--exclude", "*/serve.py", "--exclude", "*/control.py", "--", *python]


def _recorded_env(place: Place) -> dict[str, str]:
    return {"AFTERTRACE_AGENT_SOCKET": str(place.agent_socket)}


def _otel_env(place: Place) -> dict[str, str]:
    return {
        "OTEL_SERVICE_NAME": "bench",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": place.sink,
    }


def _ddtrace_env(place: Place) -> dict[str, str]:
    return {
        "DD_SERVICE": "bench",
        "DD_TRACE_AGENT_URL": place.sink.rpartition("/")[0],  # it takes no path: its own paths tell its bytes apart
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
        "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    }


def _sentry_env(place: Place) -> dict[str, str]:
    scheme, _, rest = place.sink.partition("://")
    return {"BENCH_TOOL": "sentry", "SENTRY_DSN": f"{scheme}://key@{rest}/1"}


def _logfire_env(place: Place) -> dict[str, str]:
    return {"BENCH_TOOL": "logfire", "BENCH_SINK": place.sink, "LOGFIRE_TOKEN": "bench"}


ATTACHED = "attached"
_SWITCHES = """
BEGIN {{ printf("attached\\n"); }}
tracepoint:sched:sched_switch /pid == {pid}/ {{ @off[tid] = nsecs; }}
tracepoint:sched:sched_switch /@off[args->next_pid]/ {{
    @waited = hist((nsecs - @off[args->next_pid]) / 1000); delete(@off[args->next_pid]);
}}
"""


def _bpftrace(pid: int) -> list[str]:
    """How long each thread waited, from the scheduler's own events. They fire for every process of the host: what the
    filter costs there, the bare program pays too. tracefs is mounted in a namespace of its own where it is not yet."""
    mounted = 'mount -t tracefs nodev /sys/kernel/tracing 2>/dev/null; exec bpftrace -e "$0"'
    return ["unshare", "-m", "sh", "-c", mounted, _SWITCHES.format(pid=pid)]


def _tool_env(name: str) -> Environment:
    return lambda _: {"BENCH_TOOL": name}


def _logging_env(place: Place) -> dict[str, str]:
    return {"BENCH_TOOL": "logging", "BENCH_LOG": str(place.directory / "debug.log")}


def tools() -> tuple[Tool, ...]:
    """All of them in the table's order, installed or not; the first is what the others are compared with."""
    inside = tuple(level for level in LEVELS if level != AUTO)
    found = [Tool(BARE, "the program alone"), Tool(CONTROL, "the program alone, once more")]
    found += [
        Tool(
            OURS,
            "aftertrace run",
            OURS,
            _recorded(BASE_LEVEL, "--budget", "100%"),
            _recorded_env,
            levels=inside,
        )
    ]
    found.append(Tool(f"{OURS} {AUTO}", "aftertrace run", OURS, _recorded(AUTO), _recorded_env, pauses=True))
    return (*found, *_others())


def _others() -> list[Tool]:
    otel = ("/opentelemetry-instrument", "opentelemetry.exporter.otlp.proto.http")
    return [
        Tool("opentelemetry", "opentelemetry-instrument, OTLP in batches", TRACING,
             _beside("opentelemetry-instrument"), _otel_env, otel),
        Tool("ddtrace", "ddtrace-run", TRACING, _beside("ddtrace-run"), _ddtrace_env, ("ddtrace",),
             sent_as="v0."),
        Tool("sentry", "sentry_sdk, every request traced", TRACING, environment=_sentry_env, needs=("sentry_sdk",)),
        Tool("logfire", "logfire, OTLP in batches", TRACING, environment=_logfire_env, needs=("logfire",),
             sent_as="v1"),
        Tool("logging", "a DEBUG line per call to a file", LOGGING, environment=_logging_env),
        Tool("viztracer", "every call into its ring, never written", environment=_tool_env("viztracer"),
             needs=("viztracer",)),
        Tool("ebpf", "bpftrace: how long threads wait", KERNEL, needs=("/bpftrace", "/unshare"), beside=_bpftrace),
        Tool("breakpoint", "sys.settrace debugger (bdb), one breakpoint that never hits", BREAKPOINTS,
             environment=_tool_env("breakpoint")),
    ]  # fmt: skip

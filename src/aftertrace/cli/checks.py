"""What ``aftertrace doctor`` looks at, one function a check: each answers with findings and raises nothing."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from aftertrace import __version__
from aftertrace.errors import AftertraceError
from aftertrace.record import connection, memory, resource
from aftertrace.record.program import Program
from aftertrace.record.roots import Rules, entry_directories, module_file, rules
from aftertrace.record.run import Command
from aftertrace.settings import Settings, most
from aftertrace.wire import handover, switches

type State = Literal["ok", "warn", "bad"]

_WAIT_S = 2.0
_PROBE_S = 20.0
_ALSO_FROM = {"service": "OTEL_SERVICE_NAME"}
_SECRET = {"token"}


@dataclass(frozen=True, slots=True)
class Finding:
    """``check`` is a stable slug; ``hint`` says what to do, "" when nothing is to be done."""

    check: str
    state: State
    message: str
    hint: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)


def python() -> Iterator[Finding]:
    name = f"{sys.implementation.name} {sys.version.partition(' ')[0]} at {sys.executable}"
    if sys.implementation.name != "cpython":
        yield Finding("python", "bad", f"{name}: only CPython can be recorded.", "Use CPython 3.12 or later.")
    elif sys.version_info >= (3, 15):
        yield Finding(
            "python", "warn", f"{name} is newer than what aftertrace was tried on.", "3.12 to 3.14 are known."
        )
    else:
        yield Finding("python", "ok", name)


def recorder(settings: Settings, found: Rules) -> Iterator[Finding]:
    """Starts the recorder here, as it would start in a program, and stops it again."""
    try:
        from aftertrace import _native  # noqa: PLC0415  # that it cannot be loaded is a finding
        from aftertrace.record import boundaries  # noqa: PLC0415  # it needs the extension
    except ImportError as error:
        hint = "Install aftertrace anew in this environment: pip install --force-reinstall aftertrace"
        yield Finding("native", "bad", f"The C extension cannot be loaded: {error}.", hint)
        return
    if _native.status()["recording"]:  # under `aftertrace run`
        yield from _parts(_native.status(), _native.FORMAT_VERSION)
        yield from _boundaries(boundaries.report())
        return
    ring = memory.ring_bytes(settings.ring_bytes)
    size = memory.definitions_bytes(ring)
    try:
        _native.start(most(settings.level), ring_bytes=ring, defs_bytes=size, **found.asdict())
    except (OSError, RuntimeError, ValueError) as error:
        yield Finding("ring", "bad", f"No ring of {ring >> 10} KiB can be had: {error}.", "AFTERTRACE_RING_BYTES=1MiB")
        return
    status = _native.status()
    _native.stop()
    yield from _parts(status, _native.FORMAT_VERSION)


def _parts(status: dict[str, Any], version: int) -> Iterator[Finding]:
    yield Finding("native", "ok", f"The C extension is loaded, format {version}.")
    if status["frames"] == "fast":
        yield Finding("frames", "ok", "Locals are read straight from the interpreter's frames.")
    else:
        text = "Locals are read through the public API: this Python's frames are not as expected. Slower, never wrong."
        if sys.version_info >= (3, 14):
            text = "Locals are read through the public API: frames of 3.14 are not known yet. Slower, never wrong."
        yield Finding("frames", "warn", text, "Use a released CPython 3.12 or 3.13; unset AFTERTRACE_FRAMES.")
    if status["tool_id"] >= 0:
        yield Finding("monitoring", "ok", f"sys.monitoring's tool id {status['tool_id']} is free.")
    else:
        text = "No tool id of sys.monitoring is free: spans only."
        yield Finding("monitoring", "bad", text, "End other debuggers, profilers and coverage in the program.")
    size = f"{status['ring_bytes'] >> 10} KiB"
    if status["memory"] == "memfd":
        yield Finding("ring", "ok", f"A ring of {size} in a memfd.")
    else:
        yield Finding("ring", "warn", f"A ring of {size} in a file in /dev/shm.", "This kernel refuses memfd_create.")


def agent(settings: Settings) -> Iterator[Finding]:
    """Who listens, and whether it may have what this user's processes record."""
    path = Path(settings.agent_socket)
    try:
        connection.look(settings.agent_socket, connection.trusted(settings))
    except (OSError, ValueError) as error:
        if why := connection.trouble(settings.agent_socket, error):
            yield Finding("agent", "bad", f"What is recorded here reaches no agent: {why}.")
            return
    hint = "Start one: aftertrace up, or aftertrace agent. AFTERTRACE_AGENT_SOCKET says where it listens."
    try:
        status = ask_agent(path)
    except OSError as error:
        said = error.strerror or str(error)
        yield Finding("agent", "warn", f"No agent answers at {path} ({said}): nothing that is recorded is kept.", hint)
    except ValueError as error:
        yield Finding("agent", "bad", f"What answers at {path} is no agent of ours: {error}.", hint)
    else:
        told = ", ".join(f"{key} {value}" for key, value in status.items() if isinstance(value, (str, int, float)))
        yield Finding("agent", "ok", f"An agent answers at {path}{': ' + told if told else ''}.")


def switched(settings: Settings) -> Iterator[Finding]:
    """Services that somebody has switched off, or that died early twice."""
    now = time.time()
    for off in switches.read(switches.path(settings.agent_socket), connection.trusted(settings)):
        if off.holds(off.service, off.argv, off.user, now):
            what = f"{off.service!r} is" if off.service else "All services are"
            which = f" ({' '.join(off.argv)})" if off.argv else ""
            until = f" until {time.strftime('%H:%M', time.localtime(off.until))}" if off.until else ""
            text = f"{what} switched off{which}{until}: {off.reason}."
            yield Finding("off", "warn", text, f"aftertrace on {off.service or '--all'}")


def endings() -> Iterator[Finding]:
    """Whether the agent can tell a crash from an ordinary end."""
    release = tuple(int("0" + "".join(filter(str.isdigit, part))) for part in os.uname().release.split(".")[:2])
    if release < (6, 15):
        text = (
            "Before Linux 6.15 an agent often cannot tell which signal ended a process: two early deaths may be missed."
        )
        yield Finding(
            "deaths", "warn", text, "aftertrace off SERVICE, or AFTERTRACE_ENABLED=0, stops recording by hand."
        )


def ask_agent(path: Path) -> dict[str, Any]:
    """The agent's status. OSError: nobody answers; ValueError: not in our words."""
    lines = handover.Lines()
    with handover.connect(path, _WAIT_S) as agent_side:
        handover.send(agent_side, handover.Status())
        while True:
            data, descriptors = handover.receive(agent_side)
            handover.drop(descriptors)
            if not data:
                raise ValueError("it closed the connection")
            for line in lines.feed(data):
                status = json.loads(line)
                if not isinstance(status, dict):
                    raise ValueError("its status is no object")  # noqa: TRY004  # broken data
                return status


def server(settings: Settings) -> Iterator[Finding]:
    """Questions go to one address, recordings to another."""
    for check, address, variable, what in (
        ("server", settings.server, "AFTERTRACE_SERVER", "questions"),
        ("endpoint", settings.endpoint, "AFTERTRACE_ENDPOINT", "recordings"),
    ):
        hint = f"Start one: aftertrace up. {variable} says where it is."
        try:
            _knock(address)
        except ValueError:
            yield Finding(check, "bad", f"{variable}={address!r} is no http address.", "http://HOST:PORT")
        except OSError as error:
            said = error.strerror or str(error)
            yield Finding(check, "warn", f"Nobody takes {what} at {address}: {said}.", hint)
        else:
            yield Finding(check, "ok", f"A server takes {what} at {address}.")
            if check == "server":
                yield from _grpc(address)


def _grpc(address: str) -> Iterator[Finding]:
    """Whether the server that answers there takes OTLP/gRPC; nothing of one that does not say."""
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=_WAIT_S) as answer:  # noqa: S310  # the person's own setting
            otlp = json.load(answer).get("otlp", {})
    except (OSError, ValueError, AttributeError, http.client.HTTPException):
        return
    if otlp.get("grpc"):
        yield Finding("grpc", "ok", f"It takes OTLP/gRPC at {otlp['grpc']}.")
    elif otlp.get("no_grpc"):
        hint = "Spans of other services can come over OTLP/HTTP. --grpc-port chooses another port."
        yield Finding("grpc", "warn", f"It takes no OTLP/gRPC: {otlp['no_grpc']}", hint)


def _knock(address: str) -> None:
    """OSError: nobody listens; ValueError: no address."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    socket.create_connection((parts.hostname, port), timeout=_WAIT_S).close()


def settings_in_force(settings: Settings) -> list[dict[str, Any]]:
    """Each setting with its value and where it comes from."""
    found: list[dict[str, Any]] = []
    for name, value in (settings.asdict() | {"budget": settings.share(settings.level)}).items():
        names = [f"AFTERTRACE_{name.upper()}", *([_ALSO_FROM[name]] if name in _ALSO_FROM else [])]
        origin = next((variable for variable in names if os.environ.get(variable)), "default")
        shown: Any = "***" if name in _SECRET and value else value
        if isinstance(shown, (Path, tuple)):
            shown = str(shown) if isinstance(shown, Path) else list(shown)
        found.append({"name": name, "value": shown, "origin": origin})
    return found


def command(found: Command, settings: Settings) -> Iterator[Finding]:
    """Whether this command would be recorded, and under which name."""
    if not found.python:
        text = f"{found.executable} is no Python program: Python that it starts in its environment is recorded."
        yield Finding("command", "warn", text)
        return
    program = Program(found.python)
    if program.isolated:
        flags = ", ".join(dict.fromkeys(program.isolated))
        text = f"{found.executable} starts Python with {flags}: it reads no environment and cannot be recorded."
        yield Finding("command", "bad", text, "Start it without, or call aftertrace.install() in the program.")
    else:
        yield Finding(
            "command", "ok", f"{found.executable} would be recorded as {resource.service(settings, program)!r}."
        )
    yield from _interpreter(found.python[0])


_PROBE = """
import json, aftertrace._native, aftertrace
from aftertrace.record import boundaries
print(json.dumps([aftertrace.__version__, boundaries.probe()]))
"""


def _interpreter(executable: str) -> Iterator[Finding]:
    """Its aftertrace, and what that makes of the libraries there."""
    try:
        done = subprocess.run([executable, "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_S, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding("interpreter", "bad", f"{executable} does not start: {error}.")
        return
    try:
        version, lines = json.loads((done.stdout.splitlines() or [""])[-1])
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["it failed"])[-1]
        hint = f"Install it there: {executable} -m pip install aftertrace"
        yield Finding("interpreter", "bad", f"{executable} has no working aftertrace: {last}.", hint)
        return
    if version != __version__:
        text = f"{executable} has aftertrace {version}; this is {__version__}."
        yield Finding("interpreter", "warn", text, "Install the same version in both.")
    else:
        yield Finding("interpreter", "ok", f"{executable} has aftertrace {version}.")
    yield from _boundaries([tuple(line) for line in lines])


def _boundaries(lines: list[tuple[str, str, str]]) -> Iterator[Finding]:
    """What becomes spans, and which library is not as it was expected, or has made us fail."""
    there, waiting = (
        {name.rpartition(".")[0] or name for name, found, _ in lines if found == state}
        for state in ("installed", "waiting")
    )
    text = f"Recorded at the border: {', '.join(sorted(there)) or 'nothing'}"
    later = f"; once they are imported: {', '.join(sorted(waiting - there))}" if waiting - there else ""
    yield Finding("boundaries", "ok", f"{text}{later}.")
    for name, state, detail in lines:
        if state == "skipped":
            hint = "It runs as it does without us. Is its version one that is newer than this aftertrace?"
            yield Finding("boundary", "warn", f"{name} makes no spans: {detail}.", hint)
        elif detail and state == "installed":
            yield Finding("boundary", "warn", f"{name}: {detail}.", "The program did not notice; please report it.")


def code_rules(settings: Settings, program: Program) -> Rules:
    return rules(settings, program, entry_directories(program))


def why_user(words: list[str]) -> list[dict[str, Any]]:
    """For each path or module: its file, whether it is user code, and the rule that says so."""
    from aftertrace import _native  # noqa: PLC0415  # that it cannot be loaded is a finding

    found: list[dict[str, Any]] = []
    for word in words:
        path = _file(word)
        user, rule = _native.why_user(path) if path else (False, "no such file or module")
        found.append({"name": word, "path": path, "user": user, "rule": rule})
    return found


def _file(word: str) -> str:
    if "/" in word or Path(word).exists():
        return str(Path(word).absolute()) if Path(word).exists() else ""
    return module_file(word, [str(Path.cwd())])


def told(error: AftertraceError) -> Finding:
    return Finding(error.slug, "bad", error.message, error.hint)

"""Runs a program bare and recorded, and holds what its rings say against what the program saw of itself.

A program calls ``witness.here(tag)``: its own stack of user frames and its current trace go to a file. Bare and
recorded they must be the same, and the recording must tell, for each such call, the same callers in the same trace.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from taking import Agent, Process
from telling import Story

from aftertrace.record.run import SITE

LATE = "after the end"  # tags of what runs after the last atexit handler, when recording has ended

# Beside the program, so that it is user code.
WITNESS = '''
import os, sys
_HOME = os.path.dirname(os.path.abspath(__file__)) + "/"
_DEPTH = 8
_file = os.open(os.environ["WITNESS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
_tracer = None


def saw(tag, callers, trace):
    return tag


def here(tag):
    """What is true here: user frames, innermost first, and the current trace."""
    names, frame = [], sys._getframe().f_back
    while frame is not None and len(names) < _DEPTH:
        if frame.f_code.co_filename.startswith(_HOME):
            names.append(frame.f_code.co_qualname)
        frame = frame.f_back
    trace = _api.get_current_span().get_span_context().trace_id if _tracer else 0
    callers, trace = "<".join(names), f"{trace:x}" if trace else ""
    os.write(_file, f"{tag}|{callers}|{trace}\\n".encode())
    saw(tag, callers, trace)


def within(number):
    """A span of the trace with this number; bare, OpenTelemetry's own no-op one."""
    global _api, _tracer
    from opentelemetry import trace as _api
    _tracer = _tracer or _api.get_tracer("witness")
    parent = _api.NonRecordingSpan(_api.SpanContext(number, number, True, _api.TraceFlags(1)))
    return _tracer.start_as_current_span(f"work {number}", context=_api.set_span_in_context(parent))
'''


@dataclass
class Ran:
    """One run: what everybody can see of it, and what the witness wrote (tag|callers|trace)."""

    code: int
    out: str
    err: str
    seen: Counter[str]
    processes: list[Process] = field(default_factory=list)
    stories: list[Story] = field(default_factory=list)


class Lab:
    """A directory with a program, and an agent that reads what it records."""

    def __init__(self, home: Path, sockets: Path) -> None:
        self.home, self._sockets = home, sockets
        self._count = 0
        (home / "witness.py").write_text(WITNESS)

    def write(self, text: str, name: str = "app.py") -> Path:
        path = self.home / name
        path.write_text(textwrap.dedent(text))
        return path

    def environment(self, agent: Agent | None, seen: Path, **more: str) -> dict[str, str]:
        """The one that `aftertrace run` makes, or none of it."""
        drop = ("AFTERTRACE_", "OTEL_", "PYTHON", "UVICORN", "WEB_CONCURRENCY", "GUNICORN")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(drop)}
        kept |= {"WITNESS": str(seen), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
        if agent is not None:
            kept |= {
                "PYTHONPATH": SITE,
                "AFTERTRACE_LEVEL": "lines",
                "AFTERTRACE_BUDGET": "1",
                "AFTERTRACE_ROOT": str(self.home),
                "AFTERTRACE_AGENT_SOCKET": str(agent.path),
                "AFTERTRACE_DEFAULT_SERVICE": "app",
                "AFTERTRACE_RING_BYTES": "8MiB",
            }
        return kept | more

    def agent(self) -> Agent:
        self._count += 1
        return Agent(self._sockets / f"{self._count}.sock")

    def bare(self, words: list[str], **env: str) -> Ran:
        return self._run(words, None, env)

    def recorded(self, words: list[str], **env: str) -> Ran:
        agent = self.agent()
        try:
            ran = self._run(words, agent, env)
            ran.processes = agent.all_closed()
            ran.stories = [Story(process) for process in ran.processes]
            return ran
        finally:
            agent.close()

    def both(self, words: list[str], **env: str) -> tuple[Ran, Ran]:
        """Bare and recorded, at the same time."""
        found: list[Ran] = []
        thread = threading.Thread(target=lambda: found.append(self.bare(words, **env)))
        thread.start()
        recorded = self.recorded(words, **env)
        thread.join()
        return found[0], recorded

    def _run(self, words: list[str], agent: Agent | None, env: dict[str, str]) -> Ran:
        seen = self.home / ("seen.bare" if agent is None else "seen.recorded")
        seen.unlink(missing_ok=True)
        done = subprocess.run(
            words,
            cwd=self.home,
            env=self.environment(agent, seen, **env),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Ran(done.returncode, done.stdout, done.stderr, witnessed(seen))

    def same(self, text: str, **env: str) -> Ran:
        """The program runs bare and recorded alike, and the recording is right; the recorded run."""
        self.write(text)
        bare, recorded = self.both([sys.executable, "app.py"], **env)
        assert recorded.code == bare.code
        assert plain(recorded.out) == plain(bare.out)
        assert plain(recorded.err) == plain(bare.err)
        alike(recorded, bare)
        check(recorded)
        return recorded


def alike(recorded: Ran, bare: Ran) -> None:
    """The same stacks at the same places, and the same traces: more of them, where the recorder carries a span on."""
    assert Counter(map(untraced, recorded.seen.elements())) == Counter(map(untraced, bare.seen.elements()))
    assert not [line for line in (bare.seen - recorded.seen) if not line.endswith("|")]


def check(ran: Ran) -> None:
    """The rings tell what the witness saw, each once, and nothing that does not fit."""
    told = Counter(line for story in ran.stories for line in story.witnessed())
    assert told == Counter({line: count for line, count in ran.seen.items() if not line.startswith(LATE)})
    for story in ran.stories:
        story.check()


def witnessed(path: Path) -> Counter[str]:
    return Counter(path.read_text().splitlines()) if path.exists() else Counter()


def untraced(line: str) -> str:
    return line.rpartition("|")[0]


# What faulthandler tells of the recorder: its thread, and its extension among the others.
_OURS = re.compile(
    r"Thread 0x[0-9a-f]+ [^\n]*\n(  <no Python frame>\n|(  File [^\n]*aftertrace/record/[^\n]*\n)+)\n"
    r"|\nExtension modules: aftertrace[^\n]*\n"
)


def plain(text: str) -> str:
    return re.sub(r"0x[0-9a-f]+", "0x", _OURS.sub("", text))


def wait(condition: object, seconds: float = 30.0) -> Iterator[None]:
    """``for _ in wait(...)``: goes on until the body breaks."""
    until = time.monotonic() + seconds
    while True:
        yield
        assert time.monotonic() < until, condition
        time.sleep(0.02)

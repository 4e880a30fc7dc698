"""Instructions per request, counted by valgrind's callgrind: what no neighbour on the machine disturbs.

The server runs under callgrind, bare and recorded; the recorded one is switched from level to level. Instructions are
not time, but the same program at two levels differs by what the recorder added, and here a thousandth can be seen.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aftertrace.cli.bench.catalog import BARE, CONTROL, OURS, Place, Program, Tool, tools
from aftertrace.cli.bench.load import Connection
from aftertrace.cli.bench.servers import PACKAGE, Bench, BenchFailed, Server, clean_environment
from aftertrace.errors import NotInstalled
from aftertrace.record.run import environment, resolve
from aftertrace.settings import from_environment
from aftertrace.show.console import Console

WARM, COUNTED = 60, 40  # requests: until CPython has specialised the code, and then
FUNCTIONS = 14  # of ours that are named
COMMAND_SECONDS = 120.0
_NAMED = re.compile(r"\((\d+)\)(?: (.*))?")


@dataclass(frozen=True, slots=True)
class Counted:
    """Instructions per request of one program in one state; ``ours``: those of the extension itself, ``functions``: its
    functions that have most."""

    program: str
    state: str
    total: float
    ours: float
    functions: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "program": self.program,
            "state": self.state,
            "instructions_per_request": round(self.total),
            "in_extension": round(self.ours),
            "functions": {name: round(count) for name, count in self.functions.items()},
        }


def measure(bench: Bench, program: Program, back: str, say: Callable[[str], None]) -> list[Counted]:
    """Bare, bare once more, and each level. Raises NotInstalled without valgrind, BenchFailed, Unavailable."""
    if shutil.which("valgrind") is None:
        raise NotInstalled("no-valgrind", "Instructions are counted by valgrind.", "apt-get install valgrind")
    counted = []
    for tool in (_under_callgrind(BARE), _under_callgrind(OURS)):
        say(f"{program.name}: {tool.name} under callgrind, starting")
        server = bench.start(program, tool, back)
        try:
            _callgrind("--instr=on", server)
            for state in tool.levels or (BARE, CONTROL):
                say(f"{program.name}: {state}")
                counted.append(_count(bench, program, server, state, level=bool(tool.levels)))
        finally:
            bench.stop([server])
    return counted


def _under_callgrind(name: str) -> Tool:
    """The tool as in the catalogue, but valgrind becomes the program: what `run` would put into the environment is
    there before."""
    known = next(tool for tool in tools() if tool.name == name)

    def wrap(python: list[str]) -> list[str]:
        words = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=callgrind.%p"]
        return [*words, *python]

    def recorded(place: Place) -> Mapping[str, str]:
        given = {"AFTERTRACE_ROOT": str(place.directory), "AFTERTRACE_AGENT_SOCKET": str(place.agent_socket)}
        given |= {"AFTERTRACE_LEVEL": known.levels[0], "AFTERTRACE_BUDGET": "100%", "AFTERTRACE_SERVICE": "bench"}
        given["AFTERTRACE_EXCLUDE"] = "*/serve.py,*/control.py"
        words = [sys.executable, "-m", f"{PACKAGE}.serve"]
        return {**given, **environment(given, from_environment(given), resolve(words))}

    return Tool(
        name, known.about, wrap=wrap, environment=recorded if known.levels else lambda _: {}, levels=known.levels
    )


def _count(bench: Bench, program: Program, server: Server, state: str, *, level: bool) -> Counted:
    if level:
        server.ask(f"level {state}")
    connection = Connection.open(server.port)
    try:
        _ask(connection, WARM)
        _callgrind("--zero", server)
        _ask(connection, COUNTED)
        before = set(bench.directory.glob("callgrind.*"))
        _callgrind("--dump", server)
    finally:
        connection.socket.close()
    [made] = set(bench.directory.glob("callgrind.*")) - before
    total, by_function = read_profile(made)
    made.unlink()
    ours = Counter({name: count / COUNTED for (library, name), count in by_function.items() if "_native." in library})
    return Counted(program.name, state, total / COUNTED, float(sum(ours.values())), dict(ours.most_common(FUNCTIONS)))


def _ask(connection: Connection, requests: int) -> None:
    for _ in range(requests):
        connection.ask(0.0)
        while not connection.answered():
            pass


def _callgrind(order: str, server: Server) -> None:
    """Raises BenchFailed when the process does not take it."""
    words = ["callgrind_control", order, str(server.process.pid)]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=COMMAND_SECONDS, env=dict(clean_environment()), check=False
    )
    if done.returncode or "Error" in done.stdout + done.stderr:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
        raise BenchFailed("bench-callgrind", f"{' '.join(words)}: {said[0]}")


# -- callgrind's files -----------------------------------------------------------------------------------------------


def read_profile(path: Path) -> tuple[int, Counter[tuple[str, str]]]:
    """Instructions of a dump, all and by (library, function): its own, without what it calls.

    The format: https://valgrind.org/docs/manual/cl-format.html. Names are given once and then by number; the line after
    ``calls=`` is the callee's.
    """
    own: Counter[tuple[str, str]] = Counter()
    libraries: dict[str, str] = {}
    functions: dict[str, str] = {}
    library = function = ""
    callee = False
    for line in path.read_text().splitlines():
        if line.startswith("ob="):
            library = _name(line[3:], libraries)
        elif line.startswith("fn="):
            function = _name(line[3:], functions)
        elif line.startswith("cob="):
            _name(line[4:], libraries)
        elif line.startswith("cfn="):
            _name(line[4:], functions)
        elif line.startswith("calls="):
            callee = True
        elif line[:1] in "0123456789+-*" and line:
            if not callee:
                own[library, function] += int(line.split()[1])
            callee = False
    return sum(own.values()), own


def _name(text: str, known: dict[str, str]) -> str:
    found = _NAMED.fullmatch(text)
    if found is None:
        return text
    number, name = found.groups()
    if name:
        known[number] = name
    return known.get(number, number)


# -- as text ---------------------------------------------------------------------------------------------------------


def render(counted: Sequence[Counted], console: Console) -> str:
    lines = []
    for program in dict.fromkeys(one.program for one in counted):
        rows = [one for one in counted if one.program == program]
        bare = rows[0].total
        lines.append(console.bold(program) + "  instructions per request")
        for one in rows:
            state = "bare, again" if one.state == CONTROL else one.state
            share = f"{one.total / bare:.4f}" if one is not rows[0] else ""
            extension = f"in the extension {one.ours:>12,.0f}" if one.ours else ""
            lines.append(f"  {state:12} {one.total:>14,.0f}  {share:>8}  {extension}".rstrip())
        most = rows[-2] if len(rows) > 1 else rows[-1]
        lines += [console.dim(f"  at {most.state}, in the extension:")] if most.functions else []
        lines += [console.dim(f"    {count:>12,.0f}  {name}") for name, count in most.functions.items()]
        lines.append("")
    return "\n".join(lines).rstrip()

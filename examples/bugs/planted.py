"""The programs with planted bugs: copies that run, free of marks, and what is wrong with each.

A program's directory holds its services, ``program.json`` (what to start), ``traffic.py`` (who asks) and ``truth.json``
(what is wrong). ``# bug`` marks the line in the source; neither the mark nor ``truth.json`` is in a copy that runs.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aftertrace.cli.demo.processes import Processes, Shop, Wrap, free_ports, wait_until
from aftertrace.cli.demo.variants import Truth, Variant

HERE = Path(__file__).resolve().parent
MARK = re.compile(r"\s*# bug$", re.MULTILINE)
NOT_COPIED = shutil.ignore_patterns("__pycache__", "truth.json", "*.pyc")
_TRUTH = 1  # a program has one: its number among the variant's truths


@dataclass(frozen=True, slots=True)
class Bug:
    """A copy that runs. ``kind``: exception, wrong or slow; ``customer``: what they see; ``seen``: what a test sees."""

    name: str
    kind: str
    customer: str
    seen: dict[str, Any]
    variant: Variant

    @property
    def truth(self) -> Truth:
        return self.variant.truths[_TRUTH]


def names() -> list[str]:
    return sorted(path.parent.name for path in HERE.glob("*/program.json"))


def plant(name: str, target: Path) -> Bug:
    """Copies a program into the new directory ``target``. Raises ValueError unless one line of it is marked."""
    source = HERE / name
    declared = json.loads((source / "truth.json").read_text())
    shutil.copytree(source, target, ignore=NOT_COPIED)
    shutil.copy(HERE / "driver.py", target)
    marked = [(path, line) for path in sorted(target.rglob("*.py")) for line in _unmark(path)]
    if len(marked) != 1:
        raise ValueError(f"{name}: {len(marked)} lines are marked, not one")
    path, line = marked[0]
    text = path.read_text()
    truth = Truth(
        fault=_TRUTH,
        title=declared["title"],
        service=declared["service"],
        path=str(path.relative_to(target)),
        line=line,
        function=_function(text, line),
        source=text.split("\n")[line - 1].strip(),
        name=declared.get("name", ""),
        value=declared.get("value"),
    )
    manifest = json.loads((target / "program.json").read_text())
    variant = Variant(target, None, manifest, {_TRUTH: truth})
    return Bug(name, declared["kind"], declared["customer"], declared["seen"], variant)


def _unmark(path: Path) -> list[int]:
    """Takes the marks out of a file, and gives their lines."""
    text = path.read_text()
    found = [text.count("\n", 0, hit.end()) + 1 for hit in MARK.finditer(text)]
    if found:
        path.write_text(MARK.sub("", text))
    return found


def _function(text: str, line: int) -> str:
    functions = [
        node.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return functions[-1] if functions else ""


@dataclass(slots=True)
class Program(Shop):
    """The processes of one program, and a Redis of its own where it wants one."""

    def start(self, ports: Sequence[int]) -> None:
        """Raises Unavailable."""
        if self.variant.manifest.get("redis"):
            ports = list(ports)
            self._start_redis(ports.pop())
        self.env["DATA_DIR"] = str(self.data)
        Shop.start(self, ports)

    def _start_redis(self, port: int) -> None:
        words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.env["REDIS_URL"] = f"redis://127.0.0.1:{port}/0"
        cwd = self.processes.logs
        redis = self.processes.start("redis", ["redis-server", *words], env=self.env, cwd=cwd)
        wait_until(lambda: _listens(port), redis)


def open_program(bug: Bug, data: Path, processes: Processes, env: dict[str, str], wrap: Wrap | None = None) -> Program:
    """Starts a program, every service behind ``wrap``. Raises Unavailable."""
    program = Program(bug.variant, data, processes, dict(env))
    if wrap is not None:
        program.wrap = wrap
    program.start(free_ports(sum("url" in one for one in program.services) + 1))
    return program


def _listens(port: int) -> bool:
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex(("127.0.0.1", port)) == 0

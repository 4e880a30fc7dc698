"""``aftertrace bench``: what recording costs here, beside what people would use instead."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from aftertrace.cli.bench import catalog, report, text
from aftertrace.cli.bench import instructions as count
from aftertrace.cli.bench.catalog import BARE, CONTROL, PROGRAMS, Program, Tool
from aftertrace.cli.bench.found import Found
from aftertrace.cli.bench.instructions import Counted
from aftertrace.cli.bench.servers import open_bench
from aftertrace.cli.bench.session import QUICK, Plan, Session
from aftertrace.cli.demo.processes import terminated_cleanly
from aftertrace.errors import NotInstalled
from aftertrace.show.console import console

_TOOLS = tuple(tool.name for tool in catalog.tools() if tool.name not in {BARE, CONTROL})


@click.command("bench")
@click.option("--quick", is_flag=True, help="A first look: a sixth of the time, and more noise.")
@click.option("--only", multiple=True, type=click.Choice([one.name for one in PROGRAMS]),
              help="This program only. Repeatable.")  # fmt: skip
@click.option("--tool", "tools", multiple=True, type=click.Choice(_TOOLS), help="This tool only. Repeatable.")
@click.option("--png", type=click.Path(path_type=Path, dir_okay=False), help="The tables as a picture, too.")
@click.option("--instructions", is_flag=True, help="Count instructions per request instead, under valgrind.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(
    only: tuple[str, ...], tools: tuple[str, ...], png: Path | None, *, quick: bool, instructions: bool, as_json: bool
) -> None:
    """What recording costs on this machine: web programs, each bare, recorded, and under the tools that are installed.

    Servers run in processes of their own and are loaded from others; all ratios are of neighbouring slices of a tenth
    of a second. Where two equal programs differ by more than a tool costs, it says so.
    """
    chosen = [one for one in PROGRAMS if not only or one.name in only]
    _parts(chosen)
    if instructions:
        _count_instructions(chosen, as_json=as_json)
        return
    usable = _usable([tool for tool in catalog.tools() if not tools or tool.name in {*tools, BARE, CONTROL}])
    found: list[Found] = []
    progress = Progress()
    interrupted = False
    with terminated_cleanly():
        try:
            _measure(chosen, usable, QUICK if quick else Plan(), progress, found)
        except KeyboardInterrupt:
            interrupted = True
    progress.end("interrupted: this is what was measured until then" if interrupted else "")
    _answer(found, usable, png, as_json=as_json)
    if interrupted:
        raise click.Abort


def _usable(tools: Sequence[Tool]) -> list[Tool]:
    missing = {tool.name: name for tool in tools if (name := tool.missing())}
    if missing:
        click.echo(f"not installed, so not measured: {', '.join(missing)}", err=True)
    return [tool for tool in tools if tool.name not in missing]


def _parts(programs: Sequence[Program]) -> None:
    """Raises NotInstalled without what the programs import."""
    for name in dict.fromkeys(name for one in programs for name in one.needs):
        if not catalog.installed(name):
            raise NotInstalled(
                "no-bench-parts", f"The benchmark needs {name}.", "Install it: pip install 'aftertrace[bench]'."
            )


def _measure(
    programs: Sequence[Program], tools: Sequence[Tool], plan: Plan, progress: Progress, found: list[Found]
) -> None:
    recorded = any(tool.approach == catalog.OURS for tool in tools)
    with _directory() as directory, open_bench(directory, agent=recorded) as bench:
        if not bench.wrk:
            progress.end("wrk is not installed: the load comes from a generator of our own")
        for number, program in enumerate(programs):
            found.append(Found(program))
            progress.prefix = f"[{number + 1}/{len(programs)}] "
            Session(bench, tools, plan, progress.say, found[-1]).measure()


def _count_instructions(programs: Sequence[Program], *, as_json: bool) -> None:
    progress = Progress()
    counted: list[Counted] = []
    interrupted = False
    with terminated_cleanly():
        try:
            with _directory() as directory, open_bench(directory, agent=True) as bench:
                for program in programs:
                    back = bench.start_back(program)
                    address = f"http://127.0.0.1:{back.port}" if back else ""
                    counted += count.measure(bench, program, address, progress.say)
                    bench.stop([back] if back else [])
        except KeyboardInterrupt:
            interrupted = True
    progress.end("interrupted: this is what was counted until then" if interrupted else "")
    if as_json:
        click.echo(json.dumps({"machine": report.machine(), "instructions": [one.to_json() for one in counted]}))
    else:
        click.echo(count.render(counted, console()))
    if interrupted:
        raise click.Abort


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="aftertrace-bench-", ignore_cleanup_errors=True) as name:
        yield Path(name).resolve()


def _answer(found: Sequence[Found], tools: Sequence[Tool], png: Path | None, *, as_json: bool) -> None:
    tables = [table for one in found if (table := report.table(one)) is not None]
    page, machine = report.approaches(tables, tools), report.machine()
    if png is not None and tables:
        from aftertrace.cli.bench import picture  # noqa: PLC0415  # Pillow, only when it is wanted

        picture.draw(tables, page, machine, png)
        click.echo(f"picture: {png}", err=True)
    if as_json:
        answer = {"machine": machine, "programs": [one.to_json() for one in tables]}
        click.echo(json.dumps({**answer, "approaches": [one.to_json() for one in page]}))
    elif tables:
        click.echo(text.render(tables, page, machine, console()))


class Progress:
    """One line on stderr that is written over, or a line each where nobody watches."""

    def __init__(self) -> None:
        self.prefix = ""
        self._live = sys.stderr.isatty()
        self._last = ""

    def say(self, what: str) -> None:
        line = self.prefix + what
        if self._live:
            click.echo(f"\r\033[K{line}", nl=False, err=True)
        elif line.rpartition(",")[0] != self._last:
            click.echo(line, err=True)
            self._last = line.rpartition(",")[0]

    def end(self, line: str) -> None:
        if self._live:
            click.echo("\r\033[K", nl=False, err=True)
        if line:
            click.echo(line, err=True)

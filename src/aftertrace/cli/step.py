"""``aftertrace step``: a debugger's prompt over a recorded request."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import click

from aftertrace.cli import client
from aftertrace.cli.answers import forgiving_output, json_option
from aftertrace.errors import AftertraceError, NotFound
from aftertrace.reconstruct.build import build
from aftertrace.reconstruct.text import duration
from aftertrace.show import step
from aftertrace.show.console import console
from aftertrace.show.session import Session
from aftertrace.show.words import place, tidy
from aftertrace.wire.bundle import TraceData

_PROMPT = "(step) "


@click.command("step")
@click.argument("reference", metavar="[ID]", default="last")
@click.option("--at", "where", default="", help="Begin at: cause, raise, end, STEP, ADDRESS, FILE:LINE, FUNCTION.")
@json_option
@click.pass_context
def command(ctx: click.Context, reference: str, where: str, *, as_json: bool) -> None:
    """Step through the request ID, forward and back, over all services it touched.

    ID: a trace id or a prefix of one, a span id, or last. In a pipe commands are read from stdin, a line each;
    with --json each answer is one JSON object, the first being the place where it begins. The exit code is that of the
    last command.
    """
    trace = client.bundle(reference)
    ctx.exit(debug(trace, lambda: client.ask("why", reference=trace.trace_id), where, as_json=as_json))


def debug(trace: TraceData, why: Callable[[], dict[str, Any]], where: str, *, as_json: bool) -> int:
    """A session over a trace, to its end; the exit code. ``why`` is asked when the cause is wanted."""
    session = Session(build(trace), lambda: _cause(why()))
    terminal = not as_json and sys.stdin.isatty() and sys.stdout.isatty()
    forgiving_output()
    if not as_json:
        _greet(session)
    _begin(session, where)
    answers = _Answers(as_json=as_json)
    answers.put({"command": "", **session.here()})
    return _converse(session, answers, terminal=terminal)


def _cause(why: dict[str, Any]) -> str:
    """The address of the step at which it went wrong, as ``why`` says."""
    cause = why.get("cause") or {}
    if not cause.get("address"):
        raise NotFound("no-cause", "`why` found no cause in what was recorded.", "Begin at the raise: --at raise")
    where = place(str(cause.get("path", "")), int(cause.get("line") or 0))
    click.echo(f"cause: {tidy(str(cause.get('service', '')))}  {where}  {tidy(str(cause.get('source', '')))}", err=True)
    return str(cause["address"])


def _begin(session: Session, where: str) -> None:
    if not where:
        return
    try:
        session.go(where)
    except AftertraceError as error:
        if where != "cause":
            raise
        click.echo(f"{error.message} This is the raise:", err=True)
        try:
            session.go("raise")
        except NotFound as none:
            click.echo(f"{none.message} This is the start:", err=True)


def _greet(session: Session) -> None:
    execution = session.cursor.execution
    services = dict.fromkeys(span.service for span in execution.spans.values())
    took = execution.steps[-1].time_ns - execution.steps[0].time_ns
    way = " > ".join(services or dict.fromkeys(process.service for process in execution.processes))
    count = len(execution.gaps)
    gaps = f", {count} gap{'' if count == 1 else 's'}" if count else ""
    click.echo(
        f"{execution.trace_id}  {way}  {len(execution.steps):,} steps in {duration(took)}{gaps}; help: ?", err=True
    )


class _Answers:
    """Where they go: text for people, or one line of JSON each."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def put(self, answer: dict[str, Any]) -> None:
        if self._as_json:
            print(json.dumps(answer, separators=(",", ":")), flush=True)
            return
        text = step.render(answer, console())
        if text:
            print(text, flush=True)


def _converse(session: Session, answers: _Answers, *, terminal: bool) -> int:
    """The exit code of the last command."""
    if terminal:
        _prepare_line_editing(session)
    code = 0
    while (line := _read(terminal=terminal)) is not None:
        if not terminal and not line.strip():
            continue  # repeating is for fingers
        try:
            answer = session.run(line)
            answers.put(answer)
        except KeyboardInterrupt:
            click.echo("cancelled", err=True)
            continue
        code = answer.get("exit_code", 0)
        if answer["answer"] == "quit":
            break
    return 0 if terminal else code


def _read(*, terminal: bool) -> str | None:
    """The next line; None at the end."""
    if not terminal:
        return sys.stdin.readline() or None
    while True:
        try:
            return input(_PROMPT)
        except EOFError:
            print()
            return None
        except KeyboardInterrupt:
            print()


def _prepare_line_editing(session: Session) -> None:
    """Up and down through this session's lines, Tab for names. Nothing is written to disk: lines hold values."""
    try:
        import readline  # noqa: PLC0415  # only for a terminal; not in every build of Python
    except ImportError:
        return

    def complete(_: str, number: int) -> str | None:
        found = session.complete(readline.get_line_buffer()[: readline.get_endidx()])
        return found[number] if number < len(found) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" ")
    libedit = getattr(readline, "backend", "") == "editline"
    readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")

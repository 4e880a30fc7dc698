"""``aftertrace open``: an exported request, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aftertrace.cli import step
from aftertrace.cli.answers import following, json_option, put
from aftertrace.errors import UsageError
from aftertrace.explain import questions
from aftertrace.explain.opened import Opened
from aftertrace.show import show, why
from aftertrace.wire import bundle

_ROWS = 200


@click.command("open")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("what", type=click.Choice(["show", "why", "step"]), default="show")
@click.option("--at", "where", default="", help="step: begin at cause, raise, end, STEP, ADDRESS, FILE:LINE, FUNCTION.")
@click.option("--limit", default=_ROWS, show_default=True, type=click.IntRange(1, 10_000), help="show: rows at most.")
@json_option
@click.pass_context
def command(ctx: click.Context, file: Path, what: str, where: str, limit: int, *, as_json: bool) -> None:
    """A request that was exported to FILE: as a tree, explained (why), or stepped through. No server is needed."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(
            "bad-file", f"{file} cannot be read: {error.strerror}.", "aftertrace export makes one."
        ) from None
    trace = bundle.load(data)
    sources = Opened(trace)

    def ask(question: str, **parameters: Any) -> dict[str, Any]:
        return questions.find(question).ask(sources, reference=trace.trace_id, **parameters).to_json()

    if what == "step":
        ctx.exit(step.debug(trace, lambda: ask("why"), where, as_json=as_json))
    if what == "why":
        put(ask("why"), why.render, as_json=as_json)
        following(f"open {file} step --at cause", f"open {file} show", as_json=as_json)
    else:
        put(ask("show", limit=limit), show.render, as_json=as_json)
        following(f"open {file} why", f"open {file} step", as_json=as_json)

"""``aftertrace run``: a Python program under the recorder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aftertrace.record.install import override
from aftertrace.record.run import command as become
from aftertrace.settings import LEVELS, from_environment


@click.command("run", context_settings={"allow_interspersed_args": False})
@click.option("--service", help="Name of the service [AFTERTRACE_SERVICE, OTEL_SERVICE_NAME, else from the command].")
@click.option(
    "--level",
    type=click.Choice(LEVELS),
    help="How much is recorded; auto: lines, within the budget [AFTERTRACE_LEVEL, else auto].",
)
@click.option(
    "--budget", help="CPU share that recording code may cost [AFTERTRACE_BUDGET, else 2% at auto, 100% at others]."
)
@click.option("--include", multiple=True, help="Also user code: a glob of paths, or a dotted module. Repeatable.")
@click.option("--exclude", multiple=True, help="Never user code: a glob of paths, or a dotted module. Repeatable.")
@click.option("--root", type=click.Path(path_type=Path), help="The project's tree [the working directory].")
@click.option("--agent-socket", type=click.Path(path_type=Path), help="Where the agent listens.")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD ...")
def command(words: tuple[str, ...], include: tuple[str, ...], exclude: tuple[str, ...], **given: Any) -> None:
    """Run a Python program under the recorder: a script, `python -m ...`, or a command such as uvicorn.

    aftertrace becomes the program: same process, signals, exit code, stdin and stdout. What it starts is recorded too.
    """
    settings = override(from_environment(), include=include or None, exclude=exclude or None, **given)
    become(list(words), settings, lambda sentence: click.echo(f"aftertrace: {sentence}", err=True))

"""``aftertrace top``: a live view of what recording costs."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import click

from aftertrace.cli import watch
from aftertrace.cli.terminal import Ended, Terminal
from aftertrace.errors import AftertraceError
from aftertrace.settings import from_environment
from aftertrace.show import top
from aftertrace.show.console import Console, console
from aftertrace.show.top import Chosen
from aftertrace.show.usage import History, View

_EACH_S = 1.0


@click.command("top")
@click.option("--service", default="", help="Only this service's processes.")
@click.option("--once", is_flag=True, help="One table instead of the live view.")
@click.option("--socket", type=click.Path(path_type=Path), help="The agent's socket [AFTERTRACE_AGENT_SOCKET].")
@click.option("--json", "as_json", is_flag=True, help="Once, as one line of JSON.")
def command(service: str, socket: Path | None, *, once: bool, as_json: bool) -> None:
    """What recording costs in each process, live: budget, levels, functions, rings.

    Where stdout is no terminal: one table, once all processes have reported.
    """
    path = (socket or Path(from_environment().agent_socket)).absolute()
    live = not once and not as_json and sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    if live:
        _live(path, service)
        return
    view = watch.looks(path, service)[-1]
    click.echo(json.dumps(view.to_json()) if as_json else "\n".join(top.table(view, console())))


def _live(path: Path, service: str) -> None:
    history = History(service)
    view = watch.look(path, history)  # that nobody is there is said before the screen is taken
    colour = console().colour
    try:
        with Terminal() as terminal:
            _show(terminal, path, history, view, colour=colour)
    except Ended:
        return


def _show(terminal: Terminal, path: Path, history: History, view: View, *, colour: bool) -> None:
    chosen, trouble, next_look = Chosen(), "", time.monotonic() + _EACH_S / 2
    while True:
        columns, lines = terminal.size()
        terminal.draw(top.screen(view, chosen, Console(columns, colour), lines, trouble))
        for key in terminal.keys(next_look - time.monotonic()):
            if key == "q":
                return
            chosen = _pressed(key, chosen, view)
        if time.monotonic() >= next_look:
            try:
                view, trouble = watch.look(path, history), ""
            except AftertraceError as error:
                trouble = error.message
            next_look = time.monotonic() + _EACH_S


def _pressed(key: str, chosen: Chosen, view: View) -> Chosen:
    match key:
        case "down" | "j":
            return chosen.move(view, 1)
        case "up" | "k":
            return chosen.move(view, -1)
        case "s":
            return chosen.next_sort()
        case "?" | "h":
            return replace(chosen, help=not chosen.help)
        case "\x1b":
            return replace(chosen, help=False)
        case _:
            return chosen

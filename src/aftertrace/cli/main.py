"""``aftertrace``: the commands by name, each imported when it is asked for, and errors as a person should meet them."""

from __future__ import annotations

import importlib
import json
import sys
from typing import NoReturn

import click

from aftertrace import __version__
from aftertrace.errors import AftertraceError

_COMMANDS = {
    "bench": "Measure what recording costs on this machine, beside what you would use instead.",
    "diff": "Where a request parts from healthy ones, or from one other: first other branch or value.",
    "doctor": "Say whether programs can be recorded here, and what is in the way.",
    "run": "Run a Python program under the recorder.",
    "agent": "The per-host agent alone: remembers minutes of this host's processes, ships what is kept.",
    "demo": "A shop of four processes under the recorder: faults, and why they happened.",
    "keep": "Keep what fits a rule from now on, what agents remember now, or one request.",
    "off": "End the recording of a service within seconds, without a restart.",
    "on": "Record a service again.",
    "find": "Where, in all recorded requests, a condition on spans, calls, lines and values held.",
    "export": "One request as a file that needs no server; values by shape unless asked.",
    "groups": "Kept failures by cause: how many, since when, which versions and routes.",
    "ls": "Kept requests, newest first.",
    "show": "One request as a tree over its services.",
    "step": "Step through a request, forward and back, over all services it touched.",
    "open": "An exported request: its tree, its cause, the debugger.",
    "serve": "Receive, store and answer: the server without an agent.",
    "status": "How the agent on this machine is: its processes, its memory, what it shipped.",
    "top": "What recording costs in each process, live: budget, levels, functions, rings.",
    "why": "The cause of a failed request, as a short verified chain.",
    "up": "Server and agent on this machine, until Ctrl-C.",
}


class _Lazy(click.Group):
    """A command's module is imported only when it runs or is asked for help: `aftertrace` itself stays light."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's signature)
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = ("switch", cmd_name) if cmd_name in {"off", "on"} else (cmd_name, "command")
        command = getattr(importlib.import_module(f"aftertrace.cli.{module}"), attribute)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 (click's signature)
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="aftertrace")
def cli() -> None:
    """A trace-based debugger for distributed Python."""


def main() -> NoReturn:
    """Runs the command line. Exit codes: the error's own (errors.py), 130 after Ctrl-C."""
    try:
        code = cli.main(standalone_mode=False)
    except AftertraceError as error:
        _tell(error)
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _tell(error: AftertraceError) -> None:
    if "--json" in sys.argv:
        print(json.dumps(error.to_json()))
        return
    click.echo(f"error: {error.slug}: {error.message}", err=True)
    if error.hint:
        click.echo(f"hint: {error.hint}", err=True)

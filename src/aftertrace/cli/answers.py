"""What the commands that show answers share: JSON or text on stdout, the next useful command on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import click

from aftertrace.errors import Unavailable
from aftertrace.show.console import Console, console

json_option = click.option("--json", "as_json", is_flag=True, help="The answer as JSON.")


def put(answer: dict[str, Any], render: Callable[[dict[str, Any], Console], str], *, as_json: bool) -> None:
    """One answer on stdout."""
    if as_json:
        print(json.dumps(answer, separators=(",", ":")))
        return
    forgiving_output()
    try:
        text = render(answer, console())
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise Unavailable(
            "other-version",
            "The server's answer is not one that this aftertrace can show.",
            "Server and command line are of different versions: upgrade the older one, or take --json.",
        ) from None
    if text:
        click.echo(text, color=True)  # the console has decided already


def forgiving_output() -> None:
    """A stdout that has no arrows writes question marks, and does not fail."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")


def following(*commands: str, as_json: bool) -> None:
    """The next useful commands, on stderr; a program that takes JSON needs none."""
    if as_json:
        return
    click.echo("next: " + " | ".join(f"aftertrace {command}" for command in commands), err=True)

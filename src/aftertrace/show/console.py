"""A terminal's width and colours, or none: what every renderer writes through."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

import click

_NARROWEST, _WIDEST = 40, 200


@dataclass(frozen=True, slots=True)
class Console:
    """``width`` in columns; without ``colour`` text comes out as it went in."""

    width: int = 100
    colour: bool = False

    def paint(self, text: str, colour: str = "", *, bold: bool = False, dim: bool = False) -> str:
        if not self.colour or not text:
            return text
        return click.style(text, fg=colour or None, bold=bold or None, dim=dim or None)

    def dim(self, text: str) -> str:
        return self.paint(text, dim=True)

    def bold(self, text: str) -> str:
        return self.paint(text, bold=True)

    def bad(self, text: str) -> str:
        """An error, an exception."""
        return self.paint(text, "red")

    def good(self, text: str) -> str:
        """A value that is new here."""
        return self.paint(text, "green")

    def name(self, text: str) -> str:
        """A service."""
        return self.paint(text, "cyan")

    def doubt(self, text: str) -> str:
        """A gap, something left out or not known."""
        return self.paint(text, "yellow")


def console(stream: TextIO | None = None, env: Mapping[str, str] | None = None) -> Console:
    """For stdout (or another stream): colours only on a terminal, and not with NO_COLOR set or TERM=dumb."""
    stream, env = stream or sys.stdout, os.environ if env is None else env
    terminal = stream.isatty()
    columns = shutil.get_terminal_size((100, 24)).columns if terminal or env.get("COLUMNS") else 100
    colour = (terminal or bool(env.get("FORCE_COLOR"))) and not env.get("NO_COLOR") and env.get("TERM") != "dumb"
    return Console(min(max(columns, _NARROWEST), _WIDEST), colour)

"""What the demo tells: a failure as its log shows it, then what was recorded of it."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import click

TRACEBACK = "Traceback (most recent call last):"
SHOWN_LINES = 8  # of a stack trace: its end says what there is to know
_TAIL = re.compile(r"^(?:\s|[\w.]*(?:Error|Exception|Operation|Exit)\b)")


@dataclass(frozen=True, slots=True)
class Teller:
    """Talks to a person; ``write`` takes one line."""

    write: Callable[[str], None]

    def title(self, text: str) -> None:
        self.write("")
        self.write(click.style(text, bold=True))

    def says(self, text: str) -> None:
        """A sentence or two, folded to the terminal."""
        width = min(shutil.get_terminal_size((100, 24)).columns, 110)
        for line in textwrap.wrap(text, width - 2, break_on_hyphens=False, break_long_words=False):
            self.write(f"  {line}")

    def shows(self, output: str) -> None:
        """What a command or a log printed."""
        for line in output.rstrip("\n").split("\n"):
            self.write(f"    {line}")

    def command(self, words: str, output: str) -> None:
        """A command as a person would type it, and what it printed."""
        self.write("")
        self.write(f"    {click.style('$', dim=True)} {click.style(words, bold=True)}")
        self.shows(output)


def last_traceback(log: str) -> list[str]:
    """The last lines of the last stack trace in a log, its exception included; [] without one."""
    _, found, rest = log.rpartition(TRACEBACK)
    if not found:
        return []
    lines: list[str] = []
    for line in rest.lstrip("\n").split("\n"):
        if lines and not _TAIL.match(line):
            break
        lines.append(line.rstrip())
    return [line for line in lines if line.strip(" ^~")][-SHOWN_LINES:]

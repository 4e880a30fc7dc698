"""What the demo tells: of each fault what people saw, what its log says, and what was recorded of it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

from aftertrace.cli.demo.acts import Happened
from aftertrace.show.console import Console

TRACEBACK = "Traceback (most recent call last):"
SHOWN_LINES = 8  # of a stack trace: its end says what there is to know
_WIDEST = 110
_TAIL = re.compile(r"^(?:\s|[\w.]*(?:Error|Exception|Operation|Exit)\b)")
_ACCESS = re.compile(r'"[A-Z]+ \S+ HTTP/')  # uvicorn's line about a request
_LINES = 2  # of a log without a stack trace

# What people did, and what came of it. Words in braces: of traffic.py's report.
_SAW = {
    1: "Somebody in a country that the shop does not serve checks out: {status}.",
    2: "Somebody checks out with a coupon: {status}, but {paid_money} to pay, as without it.",
    3: "An office looks at its cart of 120 positions: {status} after {took_ms} ms; with one it took {with_one_ms}.",
    4: "{buyers} people want the last piece at the same moment: {sold} get it, now {left} are left.",
    5: "Somebody buys the expensive machine: {status}, but the invoice never comes.",
    6: "The process that takes stock is killed (SIGKILL) meanwhile: {status}.",
}
_NO_TRACE = {
    2: "There is no stack trace: the exception was swallowed. All that {name} logged of it:",
    3: "There is no stack trace: nothing failed. All that {name} logged of it:",
    4: "There is no stack trace: nothing failed. All that {name} logged of it:",
    6: "There is no stack trace: {name} was killed. Its log ends with the request before:",
}


@dataclass(frozen=True, slots=True)
class Teller:
    """Talks to a person; ``write`` takes one line."""

    write: Callable[[str], None]
    console: Console

    @property
    def shown(self) -> Console:
        """For what commands print: it is set in a little."""
        return Console(min(self.console.width, _WIDEST) - 4, self.console.colour)

    def title(self, text: str) -> None:
        self.write("")
        self.write(self.console.bold(text))

    def says(self, text: str, first: str = "") -> None:
        """A sentence or two, folded to the terminal; ``first``: before them."""
        indent = " " * (2 + len(first))
        width = min(self.console.width, _WIDEST) - 2
        for line in textwrap.wrap(
            text,
            width,
            initial_indent=f"  {first}",
            subsequent_indent=indent,
            break_on_hyphens=False,
            break_long_words=False,
        ):
            self.write(line)

    def shows(self, output: str) -> None:
        """What a command or a log printed."""
        for line in output.rstrip("\n").split("\n"):
            self.write(f"    {line}")

    def command(self, words: str, output: str) -> None:
        """A command as a person would type it, and what it printed."""
        self.write("")
        self.write(f"    {self.console.dim('$')} {self.console.bold(words)}")
        self.shows(output)


def saw(happened: Happened) -> str:
    """What somebody did, and what came of it."""
    report = happened.report
    return _SAW[happened.truth.fault].format(**report, paid_money=f"{report.get('paid', 0) / 100:.2f}")


def without(happened: Happened) -> tuple[str, list[str]]:
    """What a person would have had without a recording, in a sentence, and the lines of the log."""
    log, name, fault = happened.log.log_text(), happened.log.name, happened.truth.fault
    if fault not in _NO_TRACE:
        return f"The stack trace alone, from {name}'s log:", first_traceback(log[happened.begin :])
    said = _lines(log[happened.begin : happened.end]) or _lines(log[: happened.end])[-1:]
    told = [line for line in said if not _ACCESS.search(line)]
    return _NO_TRACE[fault].format(name=name), told[-_LINES:] or said[-1:]


def _lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]


def first_traceback(log: str) -> list[str]:
    """The last lines of the first stack trace in a log, its exception included; [] without one."""
    _, found, rest = log.partition(TRACEBACK)
    if not found:
        return []
    lines: list[str] = []
    for line in rest.lstrip("\n").split("\n"):
        if lines and not _TAIL.match(line):
            break
        lines.append(line.rstrip())
    shown = [line for line in lines if line.strip(" ^~")][-SHOWN_LINES:]
    return shown[next((at for at, line in enumerate(shown) if line.startswith("  File")), 0) :]

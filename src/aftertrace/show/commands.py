"""The words of a debugger's session: one table, which the session obeys and ``help`` shows."""

from __future__ import annotations

import difflib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """``argument`` is how ``help`` writes what may follow, "" for nothing."""

    name: str
    short: tuple[str, ...]
    argument: str
    group: str
    help: str

    def usage(self) -> str:
        return f"{self.name} {self.argument}".strip()


_FORWARD, _BACK, _STACK, _VALUES, _PLACES = "forward", "backward", "stack", "values", "places"

COMMANDS = (
    Command("next", ("n",), "[N]", _FORWARD, "the next line of this function, over calls"),
    Command("step", ("s",), "[N]", _FORWARD, "into the next call, also into the next service"),
    Command("out", ("o",), "[N]", _FORWARD, "on until this function has ended, to its caller"),
    Command("continue", ("c",), "[N]", _FORWARD, "to the next breakpoint, else to the end"),
    Command("into", ("i",), "[N]", _FORWARD, "on into the next service that is called from here"),
    Command("raise", ("x",), "[N]", _FORWARD, "to the next exception that was raised"),
    Command("back", ("b",), "[N]", _BACK, "the line before, over calls"),
    Command("reverse-step", ("rs",), "[N]", _BACK, "the line before, into calls from their ends"),
    Command("reverse-out", ("ro",), "[N]", _BACK, "to the line that called this function"),
    Command("reverse-continue", ("rc", "rb"), "[N]", _BACK, "to the breakpoint before, else to the start"),
    Command("reverse-raise", ("rx",), "[N]", _BACK, "to the exception before"),
    Command("where", ("w", "bt"), "", _STACK, "who called whom, over all services"),
    Command("up", ("u",), "[N]", _STACK, "look at the caller"),
    Command("down", ("d",), "[N]", _STACK, "look at the callee"),
    Command("locals", ("l",), "", _VALUES, "all names of this function and what they hold"),
    Command("args", ("a",), "", _VALUES, "what this function was called with"),
    Command("print", ("p",), "EXPR", _VALUES, "an expression over recorded values; no code of the program runs"),
    Command("history", ("h",), "NAME", _VALUES, "every value that a name held, and which step wrote it"),
    Command("wrote", ("wr",), "NAME", _VALUES, "to the line that wrote what a name holds now"),
    Command("list", ("source", "ls"), "[N]", _PLACES, "the source, N lines up and down"),
    Command("break", ("br",), "[PLACE [if EXPR]]", _PLACES, "stop there, in both directions; alone: all"),
    Command("delete", ("del",), "N", _PLACES, "take a breakpoint away"),
    Command("goto", ("g",), "PLACE", _PLACES, "to any step, also: start, end, raise, cause"),
    Command("spans", ("sp",), "", _PLACES, "the request as a tree of spans"),
    Command("gaps", (), "", _PLACES, "what was not recorded, and why"),
    Command("help", ("?",), "[COMMAND]", _PLACES, "this"),
    Command("quit", ("q", "exit"), "", _PLACES, "end (Ctrl-D)"),
)
PLACE = "PLACE: FILE:LINE or a function; for goto also the number or the address of a step"
BY_NAME = {name: command for command in COMMANDS for name in (command.name, *command.short)}


def nearest(word: str) -> str:
    """A hint for a word that is no command."""
    close = difflib.get_close_matches(word, BY_NAME, 1)
    return f"Did you mean {close[0]}? `help` lists them all." if close else "`help` lists them."

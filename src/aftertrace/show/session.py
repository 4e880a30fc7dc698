"""A debugger's session over a recorded request: one line of words in, one plain answer out.

The terminal, ``--json`` and whatever comes later (an editor, an agent) speak to the same session. Each answer has
``command`` (the words), ``answer`` (which kind it is) and that kind's fields, made by ``reconstruct/view.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aftertrace.errors import AftertraceError, NotFound, UsageError
from aftertrace.explain import show
from aftertrace.reconstruct import view
from aftertrace.reconstruct.cursor import Cursor, Stop
from aftertrace.reconstruct.execution import Execution, Gap
from aftertrace.show.commands import BY_NAME, COMMANDS, PLACE, Command, nearest

type Answer = dict[str, Any]

_MANY = 100_000  # repetitions of one movement


class Session:
    """``cause`` asks for the address of the step at which it went wrong; NotFound when there is none."""

    def __init__(self, execution: Execution, cause: Callable[[], str] | None = None) -> None:
        self.cursor = Cursor(execution)
        self._cause = cause
        self._last = ""
        self._moves: dict[str, Callable[[], Stop]] = {
            "next": self.cursor.next,
            "step": self.cursor.into_calls,
            "out": self.cursor.out,
            "back": self.cursor.back_over,
            "reverse-step": self.cursor.back,
            "reverse-out": self.cursor.back_out,
            "continue": self.cursor.forward,
            "reverse-continue": self.cursor.backward,
            "into": self.cursor.into_service,
            "raise": self.cursor.to_raise,
            "reverse-raise": lambda: self.cursor.to_raise(forward=False),
        }
        self._others: dict[str, Callable[[str], Answer]] = {
            "up": lambda words: self._select(self.cursor.up, "This is the outermost frame.", words),
            "down": lambda words: self._select(self.cursor.down, "This is the innermost frame.", words),
            "where": lambda _: {"answer": "stack", "stack": view.stack(self.cursor)},
            "locals": lambda _: {"answer": "locals", "locals": view.locals_of(self.cursor)},
            "args": lambda _: {"answer": "locals", "locals": view.arguments_of(self.cursor)},
            "print": self._print,
            "history": self._history,
            "wrote": self._wrote,
            "list": self._list,
            "break": self._break,
            "delete": self._delete,
            "goto": self._goto,
            "spans": self._spans,
            "gaps": lambda _: {"answer": "gaps", "gaps": view.gaps(self.cursor)},
            "help": self._help,
            "quit": lambda _: {"answer": "quit"},
        }

    def run(self, line: str) -> Answer:
        """The answer to one line; an empty one repeats the last. A failure is an answer too: ``error``."""
        line = line.strip() or self._last
        try:
            answer = self._run(line)
        except AftertraceError as error:
            answer = {"answer": "error", **error.to_json(), "exit_code": error.exit_code}
        return {"command": line, **answer}

    def _run(self, line: str) -> Answer:
        word, _, words = line.partition(" ")
        if not word:
            return self.here()
        command = BY_NAME.get(word)
        if command is None:
            raise UsageError("unknown-command", f"There is no command {word[:40]!r}.", nearest(word))
        self._last = line
        words = words.strip()
        if command.name in self._moves:
            return self._move(command, words)
        if words and not command.argument:
            raise UsageError("unknown-words", f"{command.name} takes no {words[:40]!r}.", f"Write: {command.usage()}")
        return self._others[command.name](words)

    # -- movements

    def here(self) -> Answer:
        """Where the session stands."""
        return self._stopped(Stop(self.cursor.step, "step"), self.cursor.index)

    def _stopped(self, stop: Stop, came_from: int) -> Answer:
        before = self.cursor.execution.steps[came_from]
        service = self.cursor.execution.processes[before.process].service
        return {"answer": "stop", "from": {"service": service, "step": came_from}, **view.stop(self.cursor, stop)}

    def _move(self, command: Command, words: str) -> Answer:
        if words and not (words.isdecimal() and len(words) < 8 and 0 < int(words) <= _MANY):
            raise UsageError("bad-count", f"{words[:40]!r} is not a number of times.", f"Write: {command.usage()}")
        came_from = self.cursor.index
        gaps: list[Gap] = []
        for _ in range(int(words or 1)):
            stop = self._moves[command.name]()
            gaps += stop.gaps
            if stop.reason not in {"step", "breakpoint", "raise"}:
                break
        return self._stopped(Stop(stop.step, stop.reason, stop.breakpoint, gaps), came_from)

    def _select(self, move: Callable[[], bool], end: str, words: str) -> Answer:
        if words and not (words.isdecimal() and len(words) < 8):
            raise UsageError("bad-count", f"{words[:40]!r} is not a number of frames.", "Write: up, or up 3")
        moved = 0
        while moved < int(words or 1) and move():
            moved += 1
        if not moved:
            raise NotFound("no-such-frame", end, "`where` shows the stack.")
        return self.here()

    def _goto(self, words: str) -> Answer:
        came_from = self.cursor.index
        return self._stopped(self.go(words), came_from)

    def go(self, where: str) -> Stop:
        """To ``start``, ``end``, ``raise``, ``cause``, a step's number or address, FILE:LINE or a function."""
        cursor = self.cursor
        if where == "start":
            return cursor.goto_start()
        if where == "end":
            return cursor.goto(cursor.flow.stops[-1])
        if where == "raise":
            return cursor.goto_failure()
        if where == "cause":
            return cursor.goto_address(self._ask_cause())
        if where.isdecimal():
            return self._to_step(where)
        if where.count(".") == 2 and ":" not in where and "/" not in where:
            return cursor.goto_address(where)
        if not where:
            raise UsageError("no-place", "goto where?", f"Write: {BY_NAME['goto'].usage()}")
        stop = cursor.run_to(where)
        return stop if stop.reason != "nothing there" else cursor.run_to(where, forward=False)

    def _ask_cause(self) -> str:
        if self._cause is None:
            raise NotFound("no-cause", "Nobody is there who could say the cause.", "Go to the raise: goto raise")
        return self._cause()

    def _to_step(self, words: str) -> Stop:
        count = len(self.cursor.execution.steps)
        if len(words) > 12 or int(words) >= count:
            raise NotFound("no-such-step", f"There is no step {words[:20]}.", f"Steps are 0 to {count - 1:,}.")
        return self.cursor.goto(int(words))

    # -- questions

    def _print(self, words: str) -> Answer:
        if not words:
            raise UsageError("no-expression", "print what?", "Write: print EXPR, for example print len(cart) > 2")
        result = self.cursor.evaluate(words)
        return {"answer": "value", "expression": words, "unknown": result.unknown, **(view.value(result.value) or {})}

    def _history(self, words: str) -> Answer:
        return {"answer": "history", **view.history(self.cursor, self._name("history", words))}

    def _wrote(self, words: str) -> Answer:
        came_from = self.cursor.index
        return self._stopped(self.cursor.goto_write(self._name("wrote", words)), came_from)

    @staticmethod
    def _name(command: str, words: str) -> str:
        if not words.isidentifier():
            raise UsageError("bad-name", f"{words[:40]!r} is not a name.", f"Write: {BY_NAME[command].usage()}")
        return words

    def _list(self, words: str) -> Answer:
        if words and not (words.isdecimal() and len(words) < 6):
            raise UsageError("bad-count", f"{words[:40]!r} is not a number of lines.", "Write: list, or list 30")
        found = view.source(self.cursor, int(words or 10))
        if found is None:
            raise NotFound("no-source", "The text of this file was not recorded.", "`locals` and `where` work without.")
        return {"answer": "source", "source": found}

    def _spans(self, words: str) -> Answer:  # noqa: ARG002 (all have the same signature)
        found = show.shown(self.cursor.execution, limit=200, calls=False).to_json()
        return {"answer": "spans", **found, "current": self.cursor.step.span_id}

    # -- stopping places

    def _break(self, words: str) -> Answer:
        if words:
            where, _, condition = words.partition(" if ")
            self.cursor.add_breakpoint(where, condition.strip())
        return self._breakpoints()

    def _breakpoints(self) -> Answer:
        points = [
            {"number": one.number, "where": one.where, "condition": one.condition, "hits": len(one.hits)}
            for one in self.cursor.breakpoints
        ]
        return {"answer": "breakpoints", "breakpoints": points}

    def _delete(self, words: str) -> Answer:
        if not words.isdecimal() or len(words) > 8:
            raise UsageError("bad-number", f"{words[:40]!r} is not a breakpoint's number.", "Write: delete N")
        self.cursor.remove_breakpoint(int(words))
        return self._breakpoints()

    @staticmethod
    def _help(words: str) -> Answer:
        if words and words not in BY_NAME:
            raise UsageError("unknown-command", f"There is no command {words[:40]!r}.", nearest(words))
        chosen = [BY_NAME[words]] if words else COMMANDS
        listed = [{"usage": one.usage(), "short": one.short, "help": one.help, "group": one.group} for one in chosen]
        return {"answer": "help", "commands": listed, "place": PLACE}

    # -- what could be meant

    def complete(self, line: str) -> list[str]:
        """Words that could stand in place of the last one of an unfinished line."""
        first, space, rest = line.lstrip().partition(" ")
        if not space:
            return sorted(one.name for one in COMMANDS if one.name.startswith(first))
        command = BY_NAME.get(first)
        if command is None:
            return []
        text = rest.rpartition(" ")[2]
        return [word for word in self._words(command) if word.startswith(text)]

    def _words(self, command: Command) -> list[str]:
        if command.name in {"print", "history", "wrote"}:
            return sorted({one.binding.name for one in self.cursor.locals()})
        if command.name in {"break", "goto"}:
            codes = [frame.code for frame in self.cursor.execution.frames.values()]
            places = {one.name for one in codes} | {one.path.rpartition("/")[2] + ":" for one in codes}
            return sorted(places | ({"start", "end", "raise", "cause"} if command.name == "goto" else set()))
        return sorted(one.name for one in COMMANDS) if command.name == "help" else []

"""Who waits for a task or a thread: an event loop or nobody calls it, and who made it is not recorded.

One walk over the steps finds, for each such frame, the frame of the same part of the request that was suspended or
blocked when it began: the one that last ran a line with its name in it. Where no line names it, the frame that all
others that wait are called from; if there are several, nobody is named rather than somebody wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from aftertrace.reconstruct.execution import Execution, Frame, Step, StepKind
from aftertrace.reconstruct.tree import SpanTree

type Key = tuple[int, int]  # (process, activation)
type Part = tuple[int, str]  # (process, span with which a part of the request begins)

_COROUTINE, _ITERABLE_COROUTINE = 0x80, 0x100  # co_flags (CPython, code.h)
_WORD = re.compile(r"\w+")
_DEFINES = re.compile(r"\s*(async\s+def|def|class)\b")
_CANDIDATES = 20  # frames that wait at once and are looked at
_DEEP = 1000  # coroutines that await each other


def is_coroutine(frame: Frame) -> bool:
    return bool(frame.code.flags & (_COROUTINE | _ITERABLE_COROUTINE))


@dataclass(slots=True)
class _Met:
    """What ran so far in one part of the request."""

    recent: dict[Key, int] = field(default_factory=dict)  # frames by when they ran last -> that step
    naming: dict[str, list[Key]] = field(default_factory=dict)  # name -> frames that ran a line with it, in turns


class Tasks:
    """``waiting``: for each frame that has no caller of its own, who waits for it, and that one's step at the time."""

    def __init__(self, execution: Execution, tree: SpanTree, lines: Callable[[Frame], list[str]]) -> None:
        self._execution = execution
        self._tree = tree
        self._lines = lines
        self._named: dict[tuple[int, str, int], tuple[str, ...]] = {}
        self._roots = dict(self._find_roots())
        self._names = {frame.code.name for frame, _ in self._roots.values()}
        self.waiting: dict[Key, tuple[Frame, int]] = dict(self._walk()) if self._roots else {}

    def _find_roots(self) -> Iterator[tuple[Key, tuple[Frame, Frame | None]]]:
        """Frames that no recorded code called, or a coroutine that a loop runs; with the frame that runs the loop."""
        for key, frame in self._execution.frames.items():
            if frame.first_step >= 0:
                own = self._execution.caller_at(frame, frame.first_step)
                if own is None or (is_coroutine(frame) and not is_coroutine(own)):
                    yield key, (frame, own)

    def _walk(self) -> Iterator[tuple[Key, tuple[Frame, int]]]:
        parts: dict[Part, _Met] = {}
        for step in self._execution.steps:
            frame = self._execution.frame(step)
            if frame is None:
                continue
            key = (step.process, step.activation)
            entry = self._tree.entry(frame.span_id)
            if not entry:
                continue
            met = parts.setdefault((step.process, entry), _Met())
            if step.index == frame.first_step and key in self._roots:
                found = self._who(met, frame, self._roots[key][1])
                if found is not None:
                    yield key, found
            self._note(met, key, frame, step)

    def _note(self, met: _Met, key: Key, frame: Frame, step: Step) -> None:
        met.recent.pop(key, None)
        met.recent[key] = step.index
        if step.kind is StepKind.LINE:
            for name in self._names_on(frame, step.line):
                holders = met.naming.setdefault(name, [])
                if not holders or holders[-1] != key:
                    holders.append(key)

    def _names_on(self, frame: Frame, line: int) -> tuple[str, ...]:
        """Names of tasks that a line of source mentions without defining them."""
        place = (frame.process, frame.code.path, line)
        if place not in self._named:
            lines = self._lines(frame)
            text = lines[line - 1] if 0 < line <= len(lines) else ""
            words = () if _DEFINES.match(text) else _WORD.findall(text)
            self._named[place] = tuple(self._names.intersection(words))
        return self._named[place]

    def _who(self, met: _Met, frame: Frame, loop: Frame | None) -> tuple[Frame, int] | None:
        for key in self._living(met.naming.get(frame.code.name, []), frame.first_step):
            other = self._execution.frames[key]
            if self._could(other, frame, loop):
                return other, met.recent[key]
        return self._only(met, frame, loop)

    def _living(self, keys: list[Key], at: int) -> Iterator[Key]:
        """The last first; those that have ended are forgotten when they are met last."""
        while keys and self._execution.frames[keys[-1]].last_step < at:
            keys.pop()
        yield from (key for key in reversed(keys) if self._execution.frames[key].last_step >= at)

    def _could(self, other: Frame, frame: Frame, loop: Frame | None) -> bool:
        if other is frame or other is loop:
            return False
        return loop is None or (is_coroutine(other) and self._runner(other, frame.first_step) is loop)

    def _runner(self, frame: Frame, at: int) -> Frame | None:
        """The frame that runs the loop in which a coroutine is awaited."""
        current: Frame | None = frame
        for _ in range(_DEEP):
            if current is None or not is_coroutine(current):
                return current
            current = self._execution.caller_at(current, at)
        return None

    def _only(self, met: _Met, frame: Frame, loop: Frame | None) -> tuple[Frame, int] | None:
        """The innermost of those that wait, if they all wait for each other."""
        for key in [key for key in met.recent if self._execution.frames[key].last_step < frame.first_step]:
            del met.recent[key]
        if len(met.recent) > _CANDIDATES:
            return None
        waiting = [self._execution.frames[key] for key in reversed(met.recent)]
        waiting = [one for one in waiting if one.code != frame.code and self._could(one, frame, loop)]
        if not waiting:
            return None
        above = set()
        current: Frame | None = waiting[0]
        while current is not None and (current.process, current.activation) not in above:
            above.add((current.process, current.activation))
            current = self._execution.caller_at(current, frame.first_step)
        if any((one.process, one.activation) not in above for one in waiting):
            return None
        return waiting[0], met.recent[waiting[0].process, waiting[0].activation]

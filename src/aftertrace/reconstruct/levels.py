"""At which level code was recorded (D6): of each call, and what of a process was shed while the request ran."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Literal

from aftertrace.reconstruct import text
from aftertrace.reconstruct.execution import Code, Frame, Shed
from aftertrace.wire.definitions import CAUSES, EXCEPTIONS, LevelChange
from aftertrace.wire.recording import Clocks

CALLS, LINES = 1, 2
_ALL = 3  # events of exceptions
MOST_SHED = 1000  # of one process; the agent sends fewer

type FrameLevel = Literal["lines", "calls", "mixed"]

_at = attrgetter("ticks")


def level_at(base: int, changes: Sequence[LevelChange], ticks: int) -> int:
    """The level at a moment; ``base`` before all changes, which are in their order."""
    at = bisect_right(changes, ticks, key=_at)
    return changes[at - 1].level if at else base


def between(base: int, changes: Sequence[LevelChange], first: int, last: int) -> tuple[int, int]:
    """The lowest and the highest level from one moment to another."""
    levels = [level_at(base, changes, first)]
    at = bisect_right(changes, first, key=_at)
    levels += [one.level for one in changes[at : bisect_right(changes, max(first, last), key=_at)]]
    return min(levels), max(levels)


def went_below(
    base: int, changes: Sequence[LevelChange], level: int, first: int, last: int
) -> tuple[bool, LevelChange | None]:
    """Whether it was below a level at some moment from ``first`` to ``last``, and the change since which it was, the
    last time; None: from the beginning."""
    below, since, found, found_since = base < level, None, False, None
    for number, change in enumerate(changes[: bisect_right(changes, max(first, last), key=_at)]):
        if change.level < level and not below:
            below, since = True, change
        elif change.level >= level:
            below = False
        until = changes[number + 1].ticks if number + 1 < len(changes) else last + 1
        if below and until > first:
            found, found_since = True, since
    if not changes or changes[0].ticks > first:
        found = found or base < level
    return found, found_since


def of_frame(
    base: int, changes: Sequence[LevelChange], first: int, last: int, *, lines: bool
) -> tuple[FrameLevel, LevelChange | None]:
    """At which level a call was recorded that ran from ``first`` to ``last``, and the change because of which it was
    not at lines. ``lines``: there are LINEs of it, which outweighs what was said of levels."""
    if not changes:
        return ("lines" if lines or base >= LINES else "calls"), None
    lowest, _ = between(base, changes, first, last)
    if lowest >= LINES:
        return "lines", None
    _, since = went_below(base, changes, LINES, first, last)
    return ("mixed" if lines else "calls"), since


def cause(change: LevelChange | None) -> str:
    """``budget``, ``start``, ``long``, "" where none is known."""
    return CAUSES.get(change.cause, "") if change is not None else ""


def shed(
    process: int,
    base: int,
    changes: Mapping[int, Sequence[LevelChange]],
    *,
    codes: Mapping[int, Code],
    seen: set[int],
    window: tuple[int, int],
    clocks: Clocks,
) -> list[Shed]:
    """What was not recorded at all at some moment of a time (ticks), newest first; ``seen``: codes with calls here."""
    found: list[Shed] = []
    first, last = window
    for number, own in changes.items():
        everything = number == EXCEPTIONS
        was, since = went_below(_ALL if everything else base, own, _ALL if everything else CALLS, first, last)
        if not was:
            continue
        code = codes.get(number)
        found.append(
            Shed(
                process=process,
                what="exceptions" if everything else "function",
                function="" if everything else code.qualname if code is not None else f"code {number}",
                path=code.path if code is not None and not everything else "",
                line=code.first_line if code is not None and not everything else 0,
                level=between(_ALL if everything else base, own, first, last)[0],
                partly=number in seen,
                cause=cause(since),
                since_ns=clocks.realtime(since.ticks) if since is not None else 0,
            )
        )
    found.sort(key=lambda one: (one.what, -one.since_ns, one.path, one.line, one.function))
    return found[:MOST_SHED]


_REASONS = {
    "budget": "over the budget",
    "cold": "to stay within the budget",
    "focus": "to stay within the budget",
    "start": "no budget was left when it was first called",
    "long": "it has more than 2,000 lines",
    "level": "its process is at level calls",
}


def reason(cause: str) -> str:
    """A cause in words, "" where none is known."""
    return _REASONS.get(cause, "")


def since(cause: str, since_ns: int) -> str:
    """``over the budget since 12:03:04``, "" where neither is known. In UTC."""
    moment = text.clock(since_ns) if since_ns else ""
    return " ".join(one for one in (reason(cause), f"since {moment}" if moment else "") if one)


def of_call(frame: Frame) -> str:
    """What of a call's lines is missing, and why: ``lines of this call were not recorded: over the budget since
    12:03:04``; "" for nothing."""
    if frame.level == "lines":
        return ""
    said = "lines of this call were not recorded" if frame.level == "calls" else "not all lines of it were recorded"
    why = since(frame.cause, frame.since_ns)
    return f"{said}: {why}" if why else said


_EVENTS = {
    2: "handled exceptions",
    1: "raised and handled exceptions (only calls that they ended are)",
    0: "exceptions",
}


def of_shed(one: Shed) -> str:
    """What was shed, and why: ``fib (orders.py:3) not recorded: over the budget since 12:03:04``."""
    what = one.function if one.what == "function" else _EVENTS.get(one.level, "some exceptions")
    where = f" ({one.path.rpartition('/')[2]}:{one.line})" if one.path else ""
    why = since(one.cause, one.since_ns)
    return f"{what}{where} not recorded" + (f": {why}" if why else "")

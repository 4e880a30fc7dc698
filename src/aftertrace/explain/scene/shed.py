"""What a request's recordings left out to stay within the budget, per service: in words, and as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from aftertrace.explain.cause.hops import End, Kind
from aftertrace.reconstruct import levels
from aftertrace.reconstruct.execution import Execution, Frame, Shed

MOST = 200  # functions that an answer lists for a service
_NAMED = 3


def services(execution: Execution) -> dict[str, dict[str, Any]]:
    """Of each service with a recording: its calls, how many of them are without lines, what was shed, and ``says``,
    which is "" where nothing was."""
    names = dict.fromkeys(one.service for one in execution.processes)
    return {name: _service(execution, name) for name in names}


def _service(execution: Execution, name: str) -> dict[str, Any]:
    own = {index for index, one in enumerate(execution.processes) if one.service == name}
    shed = [one for one in execution.shed if one.process in own]
    frames = [frame for frame in execution.frames.values() if frame.process in own]
    asked = [frame for frame in frames if frame.cause != "level"]  # of those at level calls by wish nothing was shed
    counts = {level: sum(frame.level == level for frame in asked) for level in ("calls", "mixed")}
    functions = _once(one for one in shed if one.what == "function")
    exceptions = [one for one in shed if one.what == "exceptions"]
    return {
        "calls": len(frames),
        "calls_only": sum(frame.level == "calls" for frame in frames),
        "in_part": counts["mixed"],
        "functions": [_function(one) for one in functions[:MOST]],
        "functions_count": len(functions),
        "exceptions": [_exceptions(one) for one in exceptions],
        "says": _says(functions, counts, len(frames), exceptions),
    }


def _once(found: Iterable[Shed]) -> list[Shed]:
    """A function of several processes once, as the first of them shed it."""
    once: dict[tuple[str, str, int], Shed] = {}
    for one in found:
        known = once.setdefault((one.function, one.path, one.line), one)
        if 0 < one.since_ns < known.since_ns:
            once[one.function, one.path, one.line] = one
    return list(once.values())


def _function(one: Shed) -> dict[str, Any]:
    return {
        "function": one.function,
        "path": one.path,
        "line": one.line,
        "partly": one.partly,
        "cause": one.cause,
        "since_ns": one.since_ns,
        "says": levels.since(one.cause, one.since_ns),
    }


def _exceptions(one: Shed) -> dict[str, Any]:
    return {"level": one.level, "cause": one.cause, "since_ns": one.since_ns, "says": levels.of_shed(one)}


def lost(one: Shed) -> End:
    """The end of a search at a call of which nothing was recorded."""
    return _end(one, f"{one.function}() gave it, and was not recorded")


def raised(one: Shed) -> End:
    """The same where the exception came out of it."""
    return _end(one, f"it was raised in {one.function}(), which was not recorded")


def because(unknown: str, frame: Frame) -> str:
    """What is unknown of a frame, and why, where not all its lines were recorded."""
    why = levels.since(frame.cause, frame.since_ns)
    if frame.level == "lines":
        return unknown
    return f"{unknown} in {frame.code.qualname}: its lines were not recorded" + (f", {why}" if why else "")


def _end(one: Shed, says: str) -> End:
    why = levels.since(one.cause, one.since_ns)
    unknown = f"what {one.function}() did: it was not recorded" + (f", {why}" if why else "")
    return End(Kind.SHED, says + (f": {why}" if why else ""), unknown=unknown)


def _says(functions: Sequence[Shed], counts: dict[str, int], calls: int, exceptions: Sequence[Shed]) -> str:
    """One line: ``fib, hot and 2 more functions not recorded, over the budget since 12:03:04; 3 of 9 calls without
    lines``."""
    said = []
    if functions:
        named = ", ".join(one.function for one in functions[:_NAMED])
        more = len(functions) - _NAMED
        named += f" and {more:,} more functions" if more > 1 else " and 1 more function" if more == 1 else ""
        first = min(functions, key=lambda one: one.since_ns or 1 << 62)
        why = levels.since(first.cause, first.since_ns)
        said.append(f"{named} not recorded" + (f" ({why})" if why else ""))
    if counts["calls"]:
        said.append(f"{counts['calls']:,} of {calls:,} calls without lines")
    if counts["mixed"]:
        said.append(f"{counts['mixed']:,} with a part of their lines")
    if exceptions:
        said.append(levels.of_shed(min(exceptions, key=lambda one: one.level)))
    return "; ".join(said)


def events_of(execution: Execution, service: str) -> str:
    """Which events of exceptions a service did not record, "" for none."""
    found = [one for one in execution.shed if one.what == "exceptions"]
    own = [one for one in found if execution.processes[one.process].service == service]
    return levels.of_shed(min(own, key=lambda one: one.level)) if own else ""


FOCUS_MINUTES = 30  # agent/focus.py


def next_failure(execution: Execution, failed: Sequence[str], shed: dict[str, dict[str, Any]]) -> str:
    """Why the same failure will show more when it comes again, or what it takes; "" where nothing was missing."""
    names = [one for one in dict.fromkeys(failed) if one in shed and (shed[one]["says"] or shed[one]["calls_only"])]
    if not names:
        return ""
    asked = {one.service: one.level for one in execution.processes if one.level in {"calls", "spans"}}
    if all(one in asked for one in names):
        return f"{', '.join(names)} runs at level {asked[names[0]]}: --level auto (the default) records lines too"
    where = "in every process of " + ", ".join(names)
    said = f"more is recorded: what took part in this is at lines {where} for {FOCUS_MINUTES} minutes from the failure"
    paths = {frame.code.path for frame in execution.frames.values()}
    others = [one for one in names for known in shed[one]["functions"] if known["path"] not in paths]
    long = any(frame.cause == "long" for frame in execution.frames.values())
    said += "; not code of more than 2,000 lines" if long else ""
    return f"{said}; for the rest raise the budget (--budget)" if others else said


def has(execution: Execution, frame: Frame) -> bool:
    """Whether calls of a frame's function were not recorded at some moment: this one's end may be missing for that."""
    own = (frame.process, frame.code.path, frame.code.first_line, frame.code.qualname)
    return any((one.process, one.path, one.line, one.function) == own for one in execution.shed)

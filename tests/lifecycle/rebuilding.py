"""Traces as they are rebuilt of what a run's processes recorded, against what the witness saw."""

from __future__ import annotations

from collections import Counter

from lab import LATE, Ran

from aftertrace.reconstruct.build import build
from aftertrace.reconstruct.execution import Execution, Frame
from aftertrace.wire.bundle import TraceData

LARGE = 400_000  # bytes of a trace whose rebuilding takes too long for a test


def rebuilt(ran: Ran, trace: str) -> Execution:
    """The execution of one trace, of all processes that have part of it."""
    recordings = [story.recording(trace) for story in ran.stories if trace in story.traces()]
    return build(TraceData(trace, [], [], recordings, {}, []))


def check_rebuilt(ran: Ran) -> None:
    """Each call of the witness in a trace is a frame, once, with its tag, on callers that it saw."""
    sizes = Counter[str]()
    for story in ran.stories:
        for _, trace, _, data in story.process.slices:
            sizes[trace] += len(data)
    for trace in [trace for trace, size in sizes.items() if trace and size < LARGE]:
        execution = rebuilt(ran, trace)
        assert not execution.gaps, execution.gaps
        told = Counter(_tag(execution, frame) for frame in _saws(execution))
        seen = Counter[str]()
        chains: dict[str, set[str]] = {}
        for line, count in ran.seen.items():
            tag, callers, number = line.split("|")
            if number and number == trace.lstrip("0") and not tag.startswith(LATE):
                seen[tag] += count
                chains.setdefault(tag, set()).add(callers)
        assert told == seen
        for frame in _saws(execution):
            chain = "<".join(_callers(execution, frame)[1:])
            assert any(callers.startswith(chain) for callers in chains[_tag(execution, frame)]), chain


def _saws(execution: Execution) -> list[Frame]:
    return [frame for frame in execution.frames.values() if frame.code.name == "saw"]


def _tag(execution: Execution, frame: Frame) -> str:
    return str(execution.locals_at(frame, frame.first_step)["tag"].value.scalar)


def _callers(execution: Execution, frame: Frame) -> list[str]:
    found: list[str] = []
    above = execution.caller_at(frame, frame.first_step)
    while above is not None and len(found) < 9:
        found.append(above.code.qualname)
        above = execution.caller_at(above, frame.first_step)
    return found

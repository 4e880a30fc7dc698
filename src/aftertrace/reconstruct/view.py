"""A debugger's stop as plain data: what ``step --json`` prints and what the terminal shows are the same."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from aftertrace.model import SpanKind, Value
from aftertrace.reconstruct import levels, text
from aftertrace.reconstruct.cursor import Cursor, StackEntry, Stop
from aftertrace.reconstruct.execution import Binding, Frame, StepKind
from aftertrace.reconstruct.flow import Border
from aftertrace.reconstruct.lines import numbers
from aftertrace.wire import values

_SAID = {
    StepKind.RETURN: "returns",
    StepKind.YIELD: "yields",
    StepKind.RAISE: "raises",
    StepKind.UNWIND: "ends with the exception",
    StepKind.START: "begins",
    StepKind.SPAN_END: "has the answer",
    StepKind.THROW: "gets thrown in",
}


def stop(cursor: Cursor, at: Stop, around: int = 4) -> dict[str, Any]:
    """A stop: place, what happens there, source ``around`` it, names that changed, gaps passed on the way."""
    step = cursor.step
    stack = cursor.stack()
    place = _place(cursor, stack[cursor.selected]) if cursor.selected < len(stack) else None
    process = cursor.execution.processes[step.process]
    return {
        "address": step.address,
        "step": step.index,
        "steps": len(cursor.execution.steps),
        "reason": at.reason,
        "breakpoint": at.breakpoint.number if at.breakpoint else None,
        "kind": step.kind.value,
        "says": _SAID.get(step.kind, ""),
        "value": value(step.value),
        "exception": value(cursor.origins.value(step)),
        "text": step.text,
        "last_of_process": cursor.is_last_of_process(),
        "time_ns": step.time_ns,
        "since_start_ns": step.time_ns - cursor.execution.steps[0].time_ns,
        "service": process.service,
        "pid": process.pid,
        "thread": step.thread,
        "span_id": step.span_id,
        "span": _span_name(cursor),
        "place": place,
        "depth": len(stack),
        "selected": cursor.selected,
        "source": source(cursor, around),
        "changed": [local(one.binding) for one in cursor.locals() if one.changed],
        "deleted": cursor.deleted(),
        "gaps": [{"reason": gap.reason, "detail": gap.detail} for gap in at.gaps],
    }


def value(one: Value | None, width: int = 200) -> dict[str, Any] | None:
    """A value: as text, and in full."""
    if one is None:
        return None
    return {"text": text.of(one, width), "type": one.type, "value": values.to_json(one)}


def local(binding: Binding) -> dict[str, Any]:
    """A name, what it holds, and the line and step that wrote it."""
    return {
        "name": binding.name,
        **(value(binding.value) or {}),
        "line": binding.line or None,
        "step": binding.written_at,
    }


def locals_of(cursor: Cursor) -> list[dict[str, Any]]:
    """All names of the selected frame."""
    return [{**local(one.binding), "changed": one.changed} for one in cursor.locals()]


def history(cursor: Cursor, name: str, most: int = 100) -> dict[str, Any]:
    """The values of a name, ``most`` of them around ``now``, the one that it holds at this step; how many there are."""
    found = cursor.history(name)
    held = bisect_right(found, cursor.index, key=lambda one: one.written_at)
    first = max(min(held - most // 2, len(found) - most), 0)
    shown = found[first : first + most]
    values = [
        {**local(one), "address": cursor.execution.steps[one.written_at].address, "now": number == held - 1}
        for number, one in enumerate(shown, first)
    ]
    return {"name": name, "values": values, "earlier": first, "later": len(found) - first - len(shown)}


def stack(cursor: Cursor) -> list[dict[str, Any]]:
    """The stack, innermost first; ``border`` says how one came from the entry before it to this one."""
    return [
        {**_place(cursor, entry), "border": border(entry.border), "selected": number == cursor.selected}
        for number, entry in enumerate(cursor.stack())
    ]


def border(one: Border | None) -> dict[str, Any] | None:
    if one is None:
        return None
    span = one.span
    return {
        "kind": one.kind,
        "name": span.name if span else "",
        "span_id": span.span_id if span else "",
        "text": _border_text(one),
    }


def _border_text(one: Border) -> str:
    if one.span is None:
        return "a task or thread of its own"
    if one.span.kind is SpanKind.PRODUCER:
        return f"queue: {one.span.name}"
    url = one.span.attributes.get("url.full") or one.span.attributes.get("http.url")
    method = one.span.attributes.get("http.request.method") or one.span.attributes.get("http.method")
    return f"{method!s} {url!s}" if url and method else one.span.name


def _place(cursor: Cursor, entry: StackEntry) -> dict[str, Any]:
    code = entry.frame.code
    return {
        "service": entry.service,
        "function": code.qualname,
        "path": code.path,
        "line": entry.line,
        "activation": entry.frame.activation,
        "source": _line_text(cursor, entry.frame, entry.line),
        "complete": entry.frame.complete,
        "level": entry.frame.level,
        "not_recorded": levels.of_call(entry.frame),
    }


def _line_text(cursor: Cursor, frame: Frame, line: int) -> str:
    lines = cursor.flow.source_lines(frame)
    return lines[line - 1].strip() if 0 < line <= len(lines) else ""


def _span_name(cursor: Cursor) -> str:
    span = cursor.execution.spans.get(cursor.step.span_id)
    return span.name if span else ""


def source(cursor: Cursor, around: int) -> dict[str, Any] | None:
    """The lines around the selected frame's, each with whether it had run by now, and what it wrote last.

    ``ran`` is None where it may have run unrecorded; None instead of lines: the text that ran is not known.
    """
    entries = cursor.stack()
    if cursor.selected >= len(entries):
        return None
    entry = entries[cursor.selected]
    lines = cursor.flow.source_lines(entry.frame)
    if not lines:
        return None
    ran = cursor.flow.lines(entry.frame)
    all_lines = cursor.flow.has_lines(entry.frame) and entry.frame.level == "lines"
    return {
        "path": entry.frame.code.path,
        "current": entry.line,
        "lines": [
            {
                "line": n,
                "text": lines[n - 1],
                "ran": ran.ran(n, cursor.index) or (False if all_lines else None),
                "wrote": [local(one) for one in ran.wrote(n, cursor.index)],
            }
            for n in numbers(entry.line, around, len(lines))
        ],
    }


def arguments_of(cursor: Cursor) -> list[dict[str, Any]]:
    """What the selected frame was called with."""
    return [{**local(one.binding), "changed": one.changed} for one in cursor.arguments()]


def gaps(cursor: Cursor) -> list[dict[str, Any]]:
    """All that was not recorded; ``step`` after which it is missing, None: not at one step."""
    execution = cursor.execution
    processes = execution.processes
    found = [
        {
            "service": processes[gap.process].service if gap.process >= 0 else "",
            "reason": gap.reason,
            "detail": gap.detail,
            "step": gap.after_step if gap.after_step >= 0 else None,
        }
        for gap in execution.gaps
    ]
    return found + [
        {
            "service": processes[one.process].service,
            "reason": "shed",
            "detail": levels.of_shed(one),
            "step": None,
        }
        for one in execution.shed
    ]

"""``show``: one request as a tree over its services."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aftertrace.errors import UsageError
from aftertrace.explain import outline
from aftertrace.explain.outline import LeftOut
from aftertrace.explain.question import Parameter, Question, Sources
from aftertrace.explain.scene import coverage, shed
from aftertrace.model import LogRecord, Span
from aftertrace.reconstruct import levels, text
from aftertrace.reconstruct.build import build
from aftertrace.reconstruct.execution import Execution, Frame, Step, StepKind
from aftertrace.reconstruct.raises import Origins

MOST = 10_000  # rows
_ARGUMENT, _ARGUMENTS, _RESULT, _TEXT = 32, 6, 60, 300  # columns, arguments, columns, characters


@dataclass(frozen=True, slots=True)
class Shown:
    """The answer, as plain data."""

    data: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return self.data


def ask(sources: Sources, *, reference: str, limit: int) -> Shown:
    """The request behind an id, at most ``limit`` (1 .. 10,000) rows of it."""
    if not 1 <= limit <= MOST:
        raise UsageError("bad-limit", f"limit={limit} is not between 1 and {MOST}.", "Step through it for the rest.")
    return shown(build(sources.trace(sources.resolve(reference))), limit=limit)


def shown(execution: Execution, *, limit: int, calls: bool = True) -> Shown:
    """``rows`` in order, each with its ``depth`` and ``type``: span, call, log, keep, gap, left_out. Times in ns."""
    began, origins = _began(execution), Origins(execution)
    found, left_out = outline.rows(execution, limit, calls=calls)
    ended = max([*(span.end_ns for span in execution.spans.values()), *_ends(execution)], default=began)
    return Shown(
        {
            "trace_id": execution.trace_id,
            "began_ns": began,
            "duration_ns": ended - began,
            "services": _services(execution),
            "coverage": coverage.told(execution),
            "spans": len(execution.spans),
            "calls": len(execution.frames),
            "steps": len(execution.steps),
            "keeps": [
                {"trigger": keep.trigger, "reason": keep.reason, "service": keep.service} for keep in execution.keeps
            ],
            "gaps": [
                {
                    "service": execution.processes[gap.process].service if gap.process >= 0 else "",
                    "reason": gap.reason,
                    "detail": gap.detail,
                }
                for gap in execution.gaps
            ],
            "rows": [{"depth": row.depth, **_row(execution, origins, row.content, began)} for row in found],
            "left_out": left_out,
        }
    )


def _began(execution: Execution) -> int:
    times = [span.start_ns for span in execution.spans.values()]
    times += [execution.steps[0].time_ns] if execution.steps else []
    return min(times, default=0)


def _ends(execution: Execution) -> list[int]:
    return [execution.steps[-1].time_ns] if execution.steps else []


def _services(execution: Execution) -> list[dict[str, Any]]:
    """In the order in which the request reached them. ``level`` is "" where nothing but spans is known; ``shed``
    what was not recorded to stay within the budget, None without a recording."""
    names = dict.fromkeys([*(span.service for span in execution.spans.values())])
    active = {step.process for step in execution.steps if step.activation}
    names.update(dict.fromkeys(one.service for index, one in enumerate(execution.processes) if index in active))
    found = []
    missing = shed.services(execution)
    for name in names:
        own = [(index, one) for index, one in enumerate(execution.processes) if one.service == name]
        found.append(
            {
                "service": name,
                "level": next((one.level for index, one in own if index in active), ""),
                "pids": [one.pid for index, one in own if index in active],
                "skew_ns": next((one.skew_ns for _, one in own if one.skew_ns), 0),
                "shed": missing.get(name),
            }
        )
    return found


def _row(execution: Execution, origins: Origins, content: outline.Content | LeftOut, began: int) -> dict[str, Any]:
    match content:
        case Span():
            return _span(content, began)
        case Frame():
            return _call(execution, origins, content, began)
        case LogRecord():
            return {
                "type": "log",
                "at_ns": content.time_ns - began,
                "severity": content.severity,
                "logger": content.scope,
                "service": content.resource.service,
                "text": str(content.body)[:_TEXT],
            }
        case Step():
            return _event(execution, content, began)
        case LeftOut():
            return {"type": "left_out", "count": content.count, "labels": [list(one) for one in content.labels]}


def _span(span: Span, began: int) -> dict[str, Any]:
    return {
        "type": "span",
        "span_id": span.span_id,
        "name": span.name,
        "kind": span.kind.name.lower(),
        "service": span.service,
        "at_ns": span.start_ns - began,
        "duration_ns": span.end_ns - span.start_ns if span.end_ns else None,
        "status": span.status.name.lower(),
        "message": span.status_message[:_TEXT],
        "http_status": _http_status(span),
        "detail": _detail(span)[:_TEXT],
        "exceptions": [
            {
                "type": str(event.attributes.get("exception.type", "")),
                "message": str(event.attributes.get("exception.message", ""))[:_TEXT],
            }
            for event in span.events
            if event.name == "exception"
        ][:3],
    }


def _http_status(span: Span) -> int:
    found = span.attributes.get("http.response.status_code", span.attributes.get("http.status_code"))
    return found if isinstance(found, int) else 0


_DETAILS = ("url.full", "http.url", "db.query.text", "db.statement", "messaging.destination.name", "url.path")


def _detail(span: Span) -> str:
    """What it was about, beyond its name. A command of Redis does not tell what it is by itself, as SQL does, nor does
    a connection."""
    told = span.attributes
    found = next((str(told[key]) for key in _DETAILS if told.get(key)), "")
    system = told.get("db.system.name") or told.get("db.system")
    if not system or (found and system != "redis"):
        return found
    return f"{system!s} {found or told.get('server.address', '')!s}".rstrip()


def _call(execution: Execution, origins: Origins, frame: Frame, began: int) -> dict[str, Any]:
    first, last = execution.steps[frame.first_step], execution.steps[frame.last_step]
    ended = last.kind in {StepKind.RETURN, StepKind.UNWIND}
    raised = origins.value(last) if last.kind is StepKind.UNWIND else None
    first_raise = origins.of(last) if last.kind is StepKind.UNWIND else None
    return {
        "type": "call",
        "function": frame.code.qualname,
        "path": frame.code.path,
        "line": frame.code.first_line,
        "service": execution.processes[frame.process].service,
        "at_ns": first.time_ns - began,
        "duration_ns": last.time_ns - first.time_ns if ended else None,
        "arguments": _arguments(execution, frame),
        "returned": text.of(last.value, _RESULT) if last.kind is StepKind.RETURN and last.value else "",
        "raised": text.of(raised, _RESULT) if raised else "an exception" if last.kind is StepKind.UNWIND else "",
        "raised_here": first_raise is not None and first_raise.activation == frame.activation,
        "raised_line": last.line if last.kind is StepKind.UNWIND else 0,
        "complete": frame.complete,
        "level": frame.level,
        "cause": frame.cause,
        "not_recorded": levels.of_call(frame),
        "ended": ended,
        "end_shed": not ended and frame.level == "mixed" and shed.has(execution, frame),
        "address": first.address,
    }


def _arguments(execution: Execution, frame: Frame) -> list[list[str]]:
    """``[name, value as text]``, as they were passed."""
    found = []
    for name in frame.code.arguments[:_ARGUMENTS]:
        history = execution.history(frame, name)
        if history and frame.complete and history[0].written_at <= frame.first_step:
            found.append([name, text.of(history[0].value, _ARGUMENT)])
    if len(frame.code.arguments) > _ARGUMENTS:
        found.append(["", f"… {len(frame.code.arguments) - _ARGUMENTS} more"])
    return found


def _event(execution: Execution, step: Step, began: int) -> dict[str, Any]:
    service = execution.processes[step.process].service
    common = {"type": step.kind.value, "at_ns": step.time_ns - began, "service": service}
    if step.kind is StepKind.LOG:
        return {**common, "severity": 0, "logger": "", "text": step.text[:_TEXT]}
    return {**common, "text": step.text[:_TEXT]}


QUESTION = Question(
    name="show",
    help="One request as a tree over its services: spans, calls, logs, exceptions, gaps.",
    parameters=(
        Parameter(
            "reference",
            "A trace id or a prefix of one, a span id, a link or log line with one, a request's id, or last.",
        ),
        Parameter("limit", f"How many rows at most, up to {MOST}.", int, 200),
    ),
    ask=ask,
)

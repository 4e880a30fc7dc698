"""What was found out about a request, as plain data: what ``why --json`` says (docs: WHY)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from aftertrace.explain.cause.failure import Failure, Failures
from aftertrace.explain.cause.finding import Finding
from aftertrace.explain.cause.hops import Link, Origin
from aftertrace.explain.cause.inquiry import Inquiry
from aftertrace.explain.scene import coverage, shed, texts
from aftertrace.explain.scene.scene import Scene
from aftertrace.model import LogRecord, Span, Value
from aftertrace.reconstruct import text, view
from aftertrace.reconstruct.execution import Frame, Step
from aftertrace.reconstruct.text import short_type

_ERROR = 17  # OTLP severity


class Telling:
    """The inquiry as JSON."""

    def __init__(self, scene: Scene, failures: Failures, found: Inquiry) -> None:
        self.scene = scene
        self.execution = scene.execution
        self.failures = failures
        self.found = found
        self.shed = shed.services(self.execution)

    def data(self) -> dict[str, Any]:
        cause = self._cause()
        return {
            "trace_id": self.execution.trace_id,
            "request": self._request(),
            "kept": [
                {"trigger": keep.trigger, "reason": keep.reason, "service": keep.service}
                for keep in self.execution.keeps
            ],
            "coverage": self._coverage(),
            "cause": cause,
            "also": [self._origin(one) for one in self.found.verdict.others],
            "chain": self._chain(),
            "finding": self._finding(),
            "failure": self._failure(),
            "ruled_out": list(self._ruled_out()),
            "unknown": list(dict.fromkeys(self._unknown(cause))),
            "next_failure": shed.next_failure(self.execution, [one.service for one in self.found.failures], self.shed),
            "next": self._next(cause),
        }

    def _request(self) -> dict[str, Any]:
        spans = list(self.execution.spans.values())
        root = next(iter(self.scene.flow.tree.roots), None)
        ended = root.end_ns if root is not None and root.end_ns else max([one.end_ns for one in spans], default=0)
        finding = self.found.finding
        if finding is not None and root is not None and not root.end_ns:  # what it took so far
            ended = root.start_ns + finding.details.get("duration_ns", 0)
        return {
            "name": root.name if root is not None else "",
            "http_status": _status(root) if root is not None else 0,
            "services": list(dict.fromkeys(one.service for one in spans)),
            "time_ns": root.start_ns if root is not None else 0,
            "duration_ns": max(ended - root.start_ns, 0) if root is not None and ended else 0,
        }

    def _coverage(self) -> dict[str, Any]:
        processes = self.execution.processes
        recorded = {process.service: process.level for process in processes}
        told = coverage.told(self.execution)
        return {
            **told,
            "services": [
                {
                    "service": one.service,
                    "state": one.state,
                    "level": recorded.get(one.service, ""),
                    "shed": self.shed.get(one.service),
                }
                for one in coverage.services(self.execution)
            ],
            "recorded": told["answered"],
            "gaps": [
                {
                    "service": processes[gap.process].service if gap.process >= 0 else "",
                    "reason": gap.reason,
                    "detail": gap.detail,
                }
                for gap in self.execution.gaps
            ],
        }

    # -- cause, chain, failure

    def _finding(self) -> dict[str, Any] | None:
        """What was wrong though nothing failed: its kind, and the details of that kind."""
        finding = self.found.finding
        return {"kind": finding.kind, **finding.details} if finding is not None else None

    def _cause(self) -> dict[str, Any]:
        if self.found.finding is not None:
            return self._of_finding(self.found.finding)
        if self.found.death is not None:
            fatal = self.found.death
            values = [self._value(name, value) for name, value in fatal.values]
            return {
                "status": "likely" if fatal.doubts else "verified",
                **self._link(fatal.links[0]),
                "says": fatal.says,
                "doubts": fatal.doubts,
                "values": values,
            }
        verdict = self.found.verdict
        if verdict.status == "unknown" or verdict.origin is None:
            return {"status": "unknown", **_NOWHERE, "says": verdict.says, "doubts": verdict.doubts, "values": []}
        return {
            "status": verdict.status,
            **self._origin(verdict.origin),
            "says": verdict.says,
            "doubts": verdict.doubts,
        }

    def _of_finding(self, finding: Finding) -> dict[str, Any]:
        values = [self._value(name, value) for name, value in finding.values]
        where = self._link(finding.links[0]) if finding.links else _NOWHERE
        told = {"status": finding.status, "says": finding.says, "doubts": finding.doubts, "values": values}
        return {**where, **told}

    def _origin(self, origin: Origin) -> dict[str, Any]:
        made = origin.made
        shown = [self._value(name, value) for name, value in self._inputs(origin)]
        return {**self._link(made), "says": origin.end.says, "values": shown}

    def _inputs(self, origin: Origin) -> Iterator[tuple[str, Value]]:
        """What the line that made the value worked with."""
        for node in texts.inputs(origin.point.node):
            for one in [node, *texts.arguments(node)] if isinstance(node, ast.Call) else [node]:
                value = self.scene.evaluate(origin.point, one)
                if value is not None and not isinstance(one, ast.Constant):
                    yield ast.unparse(one), value

    def _chain(self) -> list[dict[str, Any]]:
        """From the cause to the failure that was seen."""
        links = self.found.death.links[:0:-1] if self.found.death is not None else []
        origin = self.found.verdict.origin
        if origin is not None:
            links = list(reversed(origin.links))
            links = links[1:] if self.found.verdict.status != "unknown" and len(links) > 1 else links
        elif self.found.death is None and self.found.failures:
            links = [one for one in [self._raise_link(self.found.failures[-1])] if one is not None]
        if self.found.finding is not None:
            links = self.found.finding.links[1:]
        chain = [self._link(one) for one in _thin(links)]
        if self.found.death is not None:
            chain.append({**self._link(self.found.death.links[0]), "says": "killed"})
        if chain and self.found.failures and self.found.death is None:
            chain[-1]["says"] = self._exception(self.found.failures[-1])
        for failure in reversed(self.found.failures[:-1]):
            link = self._raise_link(failure)
            if link is not None:
                chain.append({**self._link(link), "says": self._passed(failure)})
        return chain

    def _passed(self, failure: Failure) -> str:
        span = self.execution.spans.get(failure.entry)
        status = _status(span) if span is not None else 0
        answered = f"{failure.service} answered {status}" if status else f"{failure.service} failed"
        kind = short_type(failure.exception.type) if failure.exception is not None else ""
        return f"{kind}: {answered}" if kind else answered

    def _raise_link(self, failure: Failure) -> Link | None:
        step, frame = failure.raised, failure.frame
        return Link(frame, step.line, step.index, "", None, ran=step.index) if step is not None and frame else None

    def _failure(self) -> dict[str, Any]:
        if not self.found.failures:
            return {"kind": "none", **_NOWHERE, "exception": "", "says": "nothing failed"}
        last = self.found.failures[-1]
        kind = "death" if last.died else "exception" if last.raised is not None else "answer"
        link = self.found.death.links[0] if self.found.death is not None else self._raise_link(last)
        where = self._link(link) if link is not None else {**_NOWHERE, "service": last.service}
        says = f"{last.service} died" if last.died else self._exception(last)
        exception = last.exception.type if last.exception is not None else ""
        return {"kind": kind, **where, "exception": exception, "says": says}

    def _exception(self, failure: Failure) -> str:
        """``KeyError: 'CH-'``"""
        value = failure.exception
        if value is None:
            return f"{failure.service} answered an error"
        shown = ", ".join(text.of(one, 60) for one in value.items[:3])
        return f"{short_type(value.type)}: {shown}" if shown else short_type(value.type)

    def _link(self, link: Link) -> dict[str, Any]:
        own = link.of is None  # addresses are of this request
        ran = self.scene.step(link.ran).address if own and 0 <= link.ran < len(self.execution.steps) else ""
        border = {"kind": link.border.kind, "says": link.border.says} if link.border is not None else None
        return {
            **self._place(link.of or self.scene, link.frame, link.line),
            **self._value(link.name, link.value),
            "address": self.scene.step(link.step).address if own else "",
            "line_address": ran,
            "says": link.says,
            "border": border,
        }

    def _place(self, scene: Scene, frame: Frame, line: int) -> dict[str, Any]:
        return {
            "service": scene.execution.processes[frame.process].service,
            "path": frame.code.path,
            "line": line,
            "function": frame.code.qualname,
            "source": scene.source_line(frame, line),
        }

    def _value(self, name: str, value: Value | None) -> dict[str, Any]:
        return {"name": name, "value": view.value(value, 80)}

    # -- the rest

    def _ruled_out(self) -> Iterator[str]:
        others = self.failures.others(self.found.failures)
        whole = not any(one["says"] for one in self.shed.values())
        if self.found.failures and not others and not self.execution.shed:
            yield "no other exception in the request"
        if self.found.finding is not None:
            yield from self.found.finding.ruled_out
        if self._certainty() == "verified":
            yield from (f"{one}: not on this way" for one in self._beside())
        for entry in self.found.also_failed:
            span = self.execution.spans.get(entry)
            yield f"{span.service if span else 'another part'} failed too, by itself"
        if not self.execution.gaps and self.found.failures and whole:
            yield "nothing lost in the recording"

    def _certainty(self) -> str:
        return self.found.finding.status if self.found.finding is not None else self.found.verdict.status

    def _beside(self) -> Iterator[str]:
        """Handled exceptions and ERROR logs that are no part of what was found: ruled out where that is proven."""
        told = {link.step for link in self.found.finding.links} if self.found.finding is not None else set()
        others = self.failures.others(self.found.failures)
        for step in [one for one in others if one.index not in told][:3]:
            name = short_type(step.value.type) if step.value is not None else "an exception"
            yield f"{name} in {self._where(step)}, handled"
        errors = [one for one in self.execution.logs if one.severity >= _ERROR and not one.event_name]
        for log in self._unrelated(errors)[:3]:
            said = text.shorten(text.printable(f"{log.body!s}"), 40)
            yield f"ERROR log of {log.resource.service} ({said})"

    def _unrelated(self, errors: list[LogRecord]) -> list[LogRecord]:
        """Those that show neither the exception nor where it was raised."""
        names = [short_type(one.exception.type) for one in self.found.failures if one.exception is not None]
        return [
            log
            for log in errors
            if not any(name in f"{log.body!s} {log.attributes.get('exception.type', '')!s}" for name in names)
            and not log.attributes.get("exception.type")
        ]

    def _where(self, step: Step) -> str:
        frame = self.execution.frame(step)
        service = self.execution.processes[step.process].service
        return f"{service} {frame.code.qualname}:{step.line}" if frame is not None else service

    def _unknown(self, cause: dict[str, Any]) -> Iterator[str]:
        yield from self.found.unknown
        if self.found.verdict.status == "likely":
            yield from self.found.verdict.doubts
        recorded = {process.service for process in self.execution.processes}
        if cause["status"] != "verified":
            yield from (f"what part this had: {one}" for one in self._beside())
            for service, one in self.shed.items():
                if one["says"]:
                    yield f"{service}: {one['says']}"
        for service in self._request()["services"]:
            if service not in recorded:
                yield f"what {service} did: it sent spans, no recording"

    def _next(self, cause: dict[str, Any]) -> list[str]:
        short = self.execution.trace_id[:8]
        where = " --at cause" if cause["address"] else " --at raise" if self.found.failures else ""
        flag = " --shed" if any(one["functions"] for one in self.shed.values()) else ""
        more = self.found.finding.next if self.found.finding is not None else []
        last = [f"diff {short}", f"show {short}{flag}"]
        return list(dict.fromkeys([f"step {short}{where}", *more, *(reversed(last) if flag else last)]))


_NOWHERE: dict[str, Any] = {
    "service": "", "path": "", "line": 0, "function": "", "source": "", "name": "", "value": None,
    "address": "", "line_address": "", "border": None,
}  # fmt: skip


def _thin(links: list[Link]) -> list[Link]:
    """One for each line that follows another: the one nearer to the failure, its border kept."""
    found: list[Link] = []
    for link in links:
        before = found[-1] if found else None
        if before is not None and before.frame is link.frame and before.line == link.line:
            border = link.border or before.border
            name, value = link.name or before.name, link.value or before.value
            found[-1] = replace(link, name=name, value=value, border=border)
        else:
            found.append(link)
    return found


def _status(span: Span) -> int:
    status = span.attributes.get("http.response.status_code")
    return status if isinstance(status, int) else 0

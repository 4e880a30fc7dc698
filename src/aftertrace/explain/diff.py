"""``diff``: where a request parts from healthy ones, or from one other, and what sets it apart from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aftertrace.errors import UsageError
from aftertrace.explain.compared.aligned import Parted, Side, parted
from aftertrace.explain.compared.contexts import Contexts, Function
from aftertrace.explain.compared.differ import Contrast, Count, Difference, contrast
from aftertrace.explain.compared.profile import RESULT, Profile, profile
from aftertrace.explain.compared.statistics import fisher
from aftertrace.explain.question import Parameter, Question, Sources
from aftertrace.explain.scene import shed
from aftertrace.explain.scene.company import Company, group_of
from aftertrace.explain.scene.scene import Scene
from aftertrace.reconstruct import text, view
from aftertrace.reconstruct.build import build
from aftertrace.reconstruct.execution import StepKind

MOST = 50  # differences of an answer
_MEMBERS = 12
_VARYING = 8  # siblings that say which values are others in every request, where it is compared with one other
_SHOWN = 4  # values of healthy requests
_WIDTH = 60


@dataclass(frozen=True, slots=True)
class Diff:
    """The answer, as plain data."""

    data: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return self.data


def ask(sources: Sources, *, reference: str, other: str) -> Diff:
    """Against the healthy siblings, or against ``other``. UsageError: it is the same request."""
    trace_id = sources.resolve(reference)
    return diff(sources, trace_id, sources.resolve(other) if other else "")


def diff(sources: Sources, trace_id: str, other: str = "") -> Diff:
    """By full ids."""
    if trace_id == other:
        hint = "Name another one, or leave it out: healthy requests of the same route are taken then."
        raise UsageError("same-request", f"{trace_id[:8]} is compared with itself.", hint)
    scene = Scene(build(sources.trace(trace_id)))
    company = Company(sources, trace_id)
    contexts = Contexts()
    subject = profile(scene, contexts)
    siblings = company.siblings(_VARYING) if other else company.siblings()
    healthy = [profile(one, contexts) for one in siblings]
    if other:
        against = profile(Scene(build(sources.trace(other))), contexts)
        varying = contrast(contexts, subject, [], healthy).varying if len(healthy) > 1 else set[tuple[int, str]]()
        found = contrast(contexts, subject, [], [against])
        return Diff(_Telling(contexts, subject, found, [against], []).pair(varying))
    failing = [profile(one, contexts) for one in company.members(group_of(scene.execution), _MEMBERS)]
    found = contrast(contexts, subject, failing, healthy)
    if company.left_out():
        found.cut.append(f"{company.left_out()} more siblings were left out: the recordings are long")
    return Diff(_Telling(contexts, subject, found, healthy, failing).cohort())


class _Telling:
    """A comparison as JSON."""

    def __init__(
        self,
        contexts: Contexts,
        subject: Profile,
        found: Contrast,
        healthy: Sequence[Profile],
        failing: Sequence[Profile],
    ) -> None:
        self.contexts, self.subject, self.found = contexts, subject, found
        self.healthy, self.failing = healthy, failing
        self.scene = subject.scene
        self.kind = "siblings"

    def cohort(self) -> dict[str, Any]:
        first = self._difference(self.found.first) if self.found.first is not None else None
        return self._data(first)

    def pair(self, varying: set[tuple[int, str]]) -> dict[str, Any]:
        self.kind = "request"
        there = self.healthy[0].scene
        found = parted(self.contexts, self.scene, there, varying)
        self.found.differences = [
            one
            for one in self.found.differences
            if one.held is None or (one.fact.context, one.held.place.name) not in varying
        ]
        return self._data(self._parted(found) if found is not None else None)

    def _data(self, first: dict[str, Any] | None) -> dict[str, Any]:
        execution = self.scene.execution
        root = next(iter(self.scene.flow.tree.roots), None)
        status = root.attributes.get("http.response.status_code") if root is not None else None
        short = execution.trace_id[:8]
        return {
            "trace_id": execution.trace_id,
            "request": {
                "name": root.name if root is not None else "",
                "http_status": status if isinstance(status, int) else 0,
                "services": list(dict.fromkeys(span.service for span in execution.spans.values())),
            },
            "against": {
                "kind": self.kind,
                "trace_ids": [one.scene.execution.trace_id for one in self.healthy],
                "group": group_of(self.scene.execution) if self.failing else "",
                "failing": [one.scene.execution.trace_id for one in self.failing],
            },
            "first": first,
            "differences": [self._difference(one) for one in self.found.differences[:MOST]],
            "differences_count": len(self.found.differences),
            "compared": self.found.compared,
            "least_p": self._least(),
            "coverage": self._coverage(),
            "cut": self.found.cut,
            "unknown": list(self._unknown(first)),
            "next": [
                *([f"step {short} --at {first['address']}"] if first and first["address"] else []),
                f"why {short}",
            ],
        }

    def _least(self) -> float | None:
        """The p of what every failing request has and no healthy one: it cannot be better with so many."""
        if self.kind == "request" or not self.healthy:
            return None
        return fisher(1 + len(self.failing), 0, 0, len(self.healthy))

    # -- one difference

    def _difference(self, one: Difference) -> dict[str, Any]:
        function = self.contexts.found[one.fact.context].function if one.fact.context >= 0 else None
        line = self._line(one, function)
        return {
            "kind": "count" if one.times[0] else "not-run" if one.index < 0 else one.fact.kind,
            **self._place(function, line),
            "service": function.service if function is not None else _service(one),
            "says": self._says(one),
            "name": one.held.place.name if one.held is not None else "",
            "trait": one.trait,
            "here": view.value(one.held.value, _WIDTH) if one.held is not None else None,
            "there": [{**(view.value(value, _WIDTH) or {}), "count": count} for value, count in one.there],
            "lines": one.lines,
            "failing": _count(one.failing),
            "healthy": _count(one.healthy),
            "p": one.p if self.kind == "siblings" else None,
            "q": one.q if self.kind == "siblings" else None,
            "also": one.also,
            "address": self.scene.step(one.index).address if 0 <= one.index < len(self.scene.execution.steps) else "",
        }

    def _line(self, one: Difference, function: Function | None) -> int:
        what = one.fact.what
        if one.held is not None:
            line = one.held.place.line
            return line or self.scene.step(one.held.step).line or (function.first_line if function else 0)
        if one.fact.kind == "line" and one.lines:
            return one.lines[0]
        if isinstance(what, tuple) and one.fact.kind in {"branch", "raised", "handled"}:
            return int(what[1] if one.fact.kind == "branch" else what[0])
        return function.first_line if function is not None else 0

    def _place(self, function: Function | None, line: int) -> dict[str, Any]:
        if function is None:
            return {"path": "", "function": "", "line": 0, "source": ""}
        source = self._source(function, line)
        return {"path": function.path, "function": function.qualname, "line": line, "source": source}

    def _source(self, function: Function, line: int) -> str:
        for one in (self.subject, *self.healthy):
            for index, process in enumerate(one.scene.execution.processes):
                if process.service == function.service and (found := one.scene.text(index, function.path)) is not None:
                    return found.line(line)
        return ""

    def _says(self, one: Difference) -> str:
        what = one.fact.what
        if one.times[0]:
            return f"{self._what(one)} {one.times[0]:,}x; at most {one.times[1]:,}x in a healthy request"
        match one.fact.kind:
            case "value" if one.held is not None:
                own = f"{_name(one.held.place.name)} = {text.of(one.held.value, _WIDTH)}{_trait(one)}"
                return f"{own}; {self._others(one)}"
            case "branch" if isinstance(what, tuple):
                to = " or ".join(f":{line}" for line in one.lines)
                after = f"after :{what[0]} " if what[0] else "begins "
                return f"{after}goes to :{what[1]}" + (f"; {self._them()} {to}" if to else "")
            case "raised" if isinstance(what, tuple):
                return f"raises {text.short_type(what[1])}"
            case "handled" if isinstance(what, tuple):
                return f"handles {text.short_type(what[1])}" if what[1] else "handles an exception"
            case "line":
                return f"does not run {_ranges(one.lines)}"
            case _:
                return f"{'does not run' if one.index < 0 else 'runs'} {self._what(one)}"

    def _them(self) -> str:
        return "the other to" if self.kind == "request" else "healthy ones to"

    def _what(self, one: Difference) -> str:
        if one.fact.kind == "statement" and isinstance(one.fact.what, tuple):
            return text.shorten(text.printable(one.fact.what[1]), 100)
        return f"{self.contexts.found[one.fact.context].function.qualname}()" if one.fact.context >= 0 else ""

    def _others(self, one: Difference) -> str:
        shown = [f"{text.of(value, 30)}{f' {count}x' if count > 1 else ''}" for value, count in one.there[:_SHOWN]]
        who = "there" if self.kind == "request" else "healthy"
        return f"{who}: {', '.join(shown)}{', ...' if len(one.there) > _SHOWN else ''}"

    # -- against one other

    def _parted(self, found: Parted) -> dict[str, Any]:
        frame, there = found.here.frame, found.there
        service = self.scene.execution.processes[frame.process].service
        function = Function(service, frame.code.path, frame.code.qualname, frame.code.first_line)
        line = found.here.line or found.line
        value = view.value(found.here.value, _WIDTH)
        against = view.value(there.value, _WIDTH) if there is not None else None
        return {
            "kind": found.kind,
            "service": function.service,
            **self._place(function, found.line if found.kind in {"branch", "rounds"} else line),
            "says": _parted_says(found),
            "name": found.name,
            "here": value,
            "there": [{**against, "count": 1}] if against is not None else [],
            "here_line": {"line": line, "source": self._source(function, line)},
            "lines": [there.line] if there is not None and there.line else [],
            "there_line": {"line": there.line, "source": self._source(function, there.line)} if there else None,
            "address": found.here.step.address,
            "there_address": there.step.address if there is not None else "",
            "also": 0,
            "healthy": {"count": 0, "of": 1},
        }

    # -- what they could be compared by

    def _coverage(self) -> dict[str, Any]:
        """Of each service of the subject how it and how many of the others are recorded."""
        here = _levels(self.subject)
        there = [_levels(one) for one in self.healthy]
        services = {
            name: {
                "here": level,
                "lines": sum(one.get(name) == "lines" for one in there),
                "part": sum(one.get(name) == "part" for one in there),
                "of": len(there),
            }
            for name, level in here.items()
        }
        return {"services": services, "says": list(_coverage_says(services))}

    def _unknown(self, first: dict[str, Any] | None) -> list[str]:
        if not self.healthy:
            return ["what sets it apart: no healthy request of its routes was kept"]
        if first is None:
            return ["where it parts from them: nothing that was recorded of it is missing in all of them"]
        return []


def _parted_says(found: Parted) -> str:
    there = found.there
    match found.kind:
        case "value":
            value = text.of(there.value, _WIDTH) if there is not None and there.value is not None else "not known"
            own = text.of(found.here.value, _WIDTH) if found.here.value is not None else ""
            return f"{_name(found.name)} = {own}; there {value}"
        case "raised":
            return f"{_to(found.here)}; the other {_to(there) if there is not None else 'ends'}"
        case _:
            word = "goes round a different number of times: " if found.kind == "rounds" else ""
            here = _to(found.here)
            return f"{word}after :{found.line} {here}; the other {_to(there) if there is not None else 'ends'}"


def _to(side: Side) -> str:
    if side.step.kind is StepKind.RAISE:
        return f"raises {text.short_type(side.step.value.type)}" if side.step.value is not None else "raises"
    return {StepKind.RETURN: "returns", StepKind.UNWIND: "is left by an exception"}.get(
        side.step.kind, f"goes to :{side.line}"
    )


def _service(one: Difference) -> str:
    return str(one.fact.what[0]) if one.fact.kind == "statement" and isinstance(one.fact.what, tuple) else ""


def _count(one: Count) -> dict[str, int]:
    return {"count": one.count, "of": one.of}


def _name(name: str) -> str:
    return "its result" if name == RESULT else name.replace(f"{RESULT}.", "its result.", 1)


def _trait(one: Difference) -> str:
    words = {"type": "of another type", "empty": "empty or not", "sign": "of another sign", "made": "made otherwise"}
    return f" ({words[one.trait]})" if one.trait in words else ""


def _ranges(lines: list[int]) -> str:
    """``:4, :7-9``"""
    found: list[list[int]] = []
    for line in sorted(set(lines)):
        if found and line == found[-1][-1] + 1:
            found[-1].append(line)
        else:
            found.append([line])
    shown = [f":{one[0]}" if len(one) == 1 else f":{one[0]}-{one[-1]}" for one in found]
    return ", ".join(shown[:6]) + (", ..." if len(shown) > 6 else "")


def _levels(one: Profile) -> dict[str, str]:
    """Of each service: lines, or part where some of its calls have none."""
    services = shed.services(one.scene.execution)
    return {
        name: "lines"
        if said["calls"] and not said["calls_only"] and not said["in_part"] and not said["says"]
        else "part"
        for name, said in services.items()
    }


def _coverage_says(services: dict[str, dict[str, Any]]) -> list[str]:
    found = []
    for name, one in services.items():
        if one["here"] != "lines":
            found.append(
                f"{name}: lines of this request were not all recorded; compared by calls, results and what is there"
            )
        if one["part"]:
            found.append(f"{name}: {one['part']} of {one['of']} others without all lines")
    return found


QUESTION = Question(
    name="diff",
    help="Where a request parts from healthy ones of its route, or from one other, and what sets it apart.",
    parameters=(
        Parameter(
            "reference",
            "A trace id or a prefix of one, a span id, a link or log line with one, a request's id, or last.",
            default="last",
        ),
        Parameter("other", "The request to compare with, in the same words; none: its healthy siblings.", default=""),
    ),
    ask=ask,
)

__all__ = ["QUESTION", "Diff", "ask", "diff"]

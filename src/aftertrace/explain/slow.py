"""Why a request was slow: where its time went, and the line that made most of it."""

from __future__ import annotations

from typing import Any

from aftertrace.explain import repeated, retried, stood
from aftertrace.explain.company import Company
from aftertrace.explain.finding import Finding
from aftertrace.explain.origin import Tracer
from aftertrace.explain.path import Kind, Path, critical
from aftertrace.explain.repeats import Parts
from aftertrace.explain.scene import Scene
from aftertrace.explain.stands import Stand, span_of, stands
from aftertrace.explain.usual import Usual
from aftertrace.model import Span
from aftertrace.reconstruct.text import duration
from aftertrace.reconstruct.tree import ENTRIES

TRIGGERS = {"latency", "in-flight"}
_OUTLIER = 3  # times the siblings' median, where no trigger says that it was slow
_BEYOND = 1.5  # times the slowest of them
_MOST_ROWS = 12
_MOST_LINES = 3
_MUCH = 0.1  # of the path


def find(scene: Scene, tracer: Tracer, company: Company) -> Finding | None:
    """None: nothing says that it was slow, neither why it was kept nor its siblings."""
    path = whole(scene)
    if path is None:
        return None
    part = path.root if path.root.parent_id in scene.execution.spans else None
    usual = Usual(company.siblings(), part)
    kept = bool(TRIGGERS & {one.trigger for one in scene.execution.keeps if one.role == "failure"})
    if not kept and not (usual.known and _outlier(path.duration_ns, usual)):
        return None
    parts = Parts(scene, path)
    found = _cause(tracer, parts, usual, company)
    found.details = {**_where(parts, usual), **found.details}
    found.ruled_out += _small(path, found)
    return found


def _outlier(duration_ns: int, usual: Usual) -> bool:
    return duration_ns >= _OUTLIER * usual.median_ns and duration_ns >= _BEYOND * usual.durations[-1]


def whole(scene: Scene) -> Path | None:
    """The critical path of the request, or of its part that was kept for being slow and for which nobody waited; to the
    last that is known of what has not ended."""
    steps, keeps = scene.execution.steps, scene.execution.keeps
    known = {step.span_id: step.time_ns for step in steps if step.activation}
    asked = [one.time_ns for one in keeps if one.trigger == "in-flight"]
    until = max([steps[-1].time_ns if steps else 0, *asked])
    path = critical(scene.flow.tree, until, known)
    alone = _alone(scene, path) if path is not None else None
    return critical(scene.flow.tree, until, known, alone) if alone is not None else path


def _alone(scene: Scene, path: Path) -> Span | None:
    """The part of the request that was kept for being slow, where the request as a whole was not and ended before it:
    a queue's consumer, a server that went on after its answer."""
    slow = [one for one in scene.execution.keeps if one.trigger in TRIGGERS and one.role == "failure"]
    services = {one.service for one in slow}
    if not slow or path.root.service in services:
        return None
    parts = [one for one in scene.execution.spans.values() if one.kind in ENTRIES and one.service in services]
    after = [one for one in parts if one.end_ns > path.end_ns]
    return max(after, key=lambda one: one.end_ns - one.start_ns, default=None)


def _cause(tracer: Tracer, parts: Parts, usual: Usual, company: Company) -> Finding:
    """The best that is known: proven before likely, repeated work before one slow thing."""
    scene = tracer.scene
    same = retried.find(scene, tracer, parts, usual)
    if same is not None:
        return same
    again = repeated.find(scene, parts, usual, company)
    if again is not None:
        return again
    line = stood.line(scene, parts, usual, company)
    if line is not None and line.status == "verified":
        return line
    found = stood.call(scene, parts, usual) or line
    if found is not None:
        return found
    lines = [_stood(scene, one, parts) for one in stands(scene, parts)[:_MOST_LINES]]
    unknown = [_spread(parts.path, usual, lines)]
    return Finding("slow", "unknown", "no line made most of it", unknown=unknown, details={"lines": lines})


def _stood(scene: Scene, stand: Stand, parts: Parts) -> dict[str, Any]:
    code = stand.frame.code
    return {
        "service": scene.execution.processes[stand.frame.process].service,
        "path": code.path,
        "function": code.qualname,
        "lines": list(stand.lines),
        "total_ns": stand.total_ns,
        "share": stand.total_ns / parts.path.duration_ns,
    }


def _spread(path: Path, usual: Usual, lines: list[dict[str, Any]]) -> str:
    """What grew most, or where nothing is usual what is most, and its service's longest lines."""
    rows = path.rows()
    before = {id(row): usual.total(row) if usual.known else 0 for row in rows}
    most = max(rows, key=lambda row: row.total_ns - before[id(row)])
    said = f"which line: {most.service}, {most.what} took {duration(most.total_ns)}"
    said += f" (usually {duration(before[id(most)])})" if usual.known else ""
    longest = [
        f"{one['path'].rpartition('/')[2]}:{span_of(one['lines'])} {duration(one['total_ns'])}"
        for one in lines
        if one["share"] >= _MUCH and one["service"] == most.service and most.kind is Kind.CODE
    ]
    return f"{said}, longest at {', '.join(longest)}" if longest else said


def _where(parts: Parts, usual: Usual) -> dict[str, object]:
    """The table, whose rows sum to the duration."""
    path, rows = parts.path, parts.path.rows()
    told = [
        {
            "service": row.service,
            "what": row.what,
            "kind": row.kind.value,
            "count": row.count,
            "total_ns": row.total_ns,
            "share": row.total_ns / path.duration_ns,
            "usual_ns": usual.total(row) if usual.known else None,
        }
        for row in rows[:_MOST_ROWS]
    ]
    rest = rows[_MOST_ROWS:]
    if rest:
        total = sum(row.total_ns for row in rest)
        count = sum(row.count for row in rest)
        told.append({"service": "", "what": f"{len(rest)} others", "kind": "other", "count": count, "total_ns": total,
                     "share": total / path.duration_ns, "usual_ns": None})  # fmt: skip
    known = usual.to_json() if usual.durations else None
    inner = path.root.parent_id in parts.spans
    part = {"service": path.root.service, "name": path.root.name} if inner else None
    return {
        "part": part,
        "duration_ns": path.duration_ns,
        "ended": bool(path.root.end_ns),
        "usual": known,
        "where": told,
    }


def _small(path: Path, found: Finding) -> list[str]:
    """Kinds of time that made little of it, with their numbers."""
    blamed = {str(found.details.get("made_by", ""))}
    again = found.details.get("repeated")
    blamed |= {again["kind"], Kind.CODE.value} if again is not None else set()
    totals = dict.fromkeys(Kind, 0)
    for one in path.segments:
        totals[one.kind] += one.duration_ns
    said = []
    for kind, name in _NAMES.items():
        share = totals[kind] / path.duration_ns
        if 0 < share < _LITTLE and kind.value not in blamed:
            said.append(f"{name} ({duration(totals[kind])}, {share:.0%})")
    return said


_LITTLE = 0.25
_NAMES = {
    Kind.CODE: "own code",
    Kind.STATEMENT: "statements",
    Kind.CALL: "the way between services",
    Kind.POOL: "waiting for a connection",
}

"""What did not answer: a request that stands still and has not ended, a service that was called and not heard of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from aftertrace.explain.cause import death
from aftertrace.explain.cause.finding import Finding
from aftertrace.explain.cause.hops import Link
from aftertrace.explain.cause.origin import Tracer
from aftertrace.explain.scene.company import Company
from aftertrace.explain.scene.scene import COROUTINE, Scene
from aftertrace.explain.slowness.path import Kind, Path, Row, describe
from aftertrace.explain.slowness.repeats import site
from aftertrace.explain.slowness.slow import whole
from aftertrace.explain.slowness.stands import waits
from aftertrace.model import Span, SpanKind
from aftertrace.reconstruct import levels
from aftertrace.reconstruct.execution import Frame, Step, StepKind
from aftertrace.reconstruct.text import duration

IN_FLIGHT = "in-flight"
_MOST = 0.5  # of the request: for so long it stood, or nothing was answered
_WORDS = {"lock": "waits for a lock", "sleep": "sleeps", "pool": "waits for a connection", "wait": "waits"}


def find(scene: Scene, tracer: Tracer, company: Company) -> Finding | None:  # noqa: ARG001 (what a Finder is given)
    """None: everything ended and was answered, or what has not ended was still at work."""
    path = whole(scene)
    if path is None:
        return None
    told = {"duration_ns": path.duration_ns, "open": [_open(one, path) for one in _parts(scene)]}
    found = _stands(scene, path) if told["open"] else None
    if found is None:
        found = _unanswered(scene, path, company)
    if found is not None:
        found.details = {**told, **found.details}
    return found


def _parts(scene: Scene) -> list[Span]:
    """The entries of parts of the request that have not ended, in start order."""
    tree = scene.flow.tree
    return [one for one in scene.execution.spans.values() if not one.end_ns and tree.entry(one.span_id) == one.span_id]


def _open(span: Span, path: Path) -> dict[str, Any]:
    return {"service": span.service, "name": span.name, "for_ns": max(path.end_ns - span.start_ns, 0)}


# -- a part that has not ended


def _stands(scene: Scene, path: Path) -> Finding | None:
    """Where the innermost part that has not ended stood: the one that stood for longest."""
    tree, ended = scene.flow.tree, {one.span_id for one in _parts(scene)}
    above = {up.span_id for one in ended if (up := tree.upstream(one)) is not None}
    leaves = [one for one in ended if not any(tree.entry(up) == one for up in above)]
    lasts = [(one, last) for one in sorted(leaves) if (last := _last(scene, one)) is not None]
    if not lasts:
        return None
    entry, last = min(lasts, key=lambda one: one[1].time_ns)
    stood = path.end_ns - last.time_ns
    frame = scene.execution.frame(last)
    if frame is None or stood < _MOST * path.duration_ns:
        return None
    return _standing(scene, entry, frame, last, stood)


def _last(scene: Scene, entry: str) -> Step | None:
    """The last step of the innermost frame of a part that has not ended: a line, or where it was suspended."""
    line = death.last_line(scene, entry)
    frame = scene.execution.frame(line) if line is not None else None
    if line is None or frame is None:
        return None
    return scene.step(frame.last_step)


def _standing(scene: Scene, entry: str, frame: Frame, last: Step, stood: int) -> Finding:
    suspended = last.kind is StepKind.YIELD and bool(frame.code.flags & COROUTINE)
    began = scene.line_before(frame, last.index)
    ran = last.index if began is None else began
    kind = waits(scene, frame, last.line, ran, suspended=suspended)
    name, value = death.telling(scene, frame, last)
    call = _open_call(scene, entry)
    kept = any(one.trigger == IN_FLIGHT for one in scene.execution.keeps)
    still = "it still did when it was kept" if kept else "its end is not recorded"
    what = f"waits for {call[1]}" if call is not None else _WORDS.get(kind, "stands")
    doubts = [] if frame.level == "lines" else [f"it is in {frame.code.qualname}; {levels.of_call(frame)}"]
    doubts += [] if kept else ["nothing says that it went on: the recording of its end may be lost"]
    service = scene.execution.processes[frame.process].service
    here = Link(frame, last.line, last.index, name, value, ran=ran)
    waiting = list(death.callers(scene, frame, last))
    return Finding(
        kind="silence",
        status="likely" if doubts else "verified",
        says=f"{what} here since {duration(stood)}; {still}",
        links=[here, *waiting],
        values=list(death.plain(scene, frame, last)),
        doubts=doubts,
        unknown=["who held the lock"] if kind == "lock" else [f"what {call[1]} did"] if call is not None else [],
        details={
            "stood": {"service": service, "for_ns": stood, "waits": "call" if call is not None else kind, "kept": kept},
            "unanswered": [_call(scene, call[0], call[1], stood)] if call is not None else [],
        },
    )


def _open_call(scene: Scene, entry: str) -> tuple[Span, str] | None:
    """The call to another service that a part waits for, and that no part of this request answers; with its words."""
    tree = scene.flow.tree
    found = [
        one for one in scene.execution.spans.values()
        if not one.end_ns and one.kind is SpanKind.CLIENT and tree.entry(one.span_id) == entry
        and not scene.parts_below(one)
    ]  # fmt: skip
    return (found[-1], describe(tree, found[-1])[1]) if found else None


def _call(scene: Scene, span: Span, what: str, took_ns: int) -> dict[str, Any]:
    return {"service": span.service, "what": what, "kind": describe(scene.flow.tree, span)[0].value, "took_ns": took_ns}


# -- a call that nobody answered


def _unanswered(scene: Scene, path: Path, company: Company) -> Finding | None:
    """The call that made half of the request, and of which its service recorded nothing though it does of others."""
    tree = scene.flow.tree
    calls = [one for one in path.rows() if one.kind is Kind.CALL and one.total_ns >= _MOST * path.duration_ns]
    spans = [scene.execution.spans[one] for row in calls for one in row.spans]
    silent = [one for one in spans if one.kind is SpanKind.CLIENT and not scene.parts_below(one)]
    silent = [one for one in silent if (one.end_ns or path.end_ns) - one.start_ns >= _MOST * path.duration_ns]
    if not silent:
        return None
    span, what = silent[0], describe(tree, silent[0])[1]
    peer = _peer(span, [scene, *company.siblings()])
    if peer is None:
        return None
    took = (span.end_ns or path.end_ns) - span.start_ns
    where = site(scene, Row(span.service, Kind.CALL, what, took, {span.span_id: took}))
    ended = "it was given up" if span.attributes.get("error.type") or span.status.name == "ERROR" else "it ended"
    return Finding(
        kind="silence",
        status="likely" if where is not None else "unknown",
        says=f"{peer} recorded nothing of {what}; {ended} after {duration(took)}",
        links=list(_made(scene, where)),
        doubts=[f"{peer} may have answered, and its recording be lost"],
        unknown=[f"what {peer} did: no span and no recording of it in this request"],
        details={"stood": None, "unanswered": [{**_call(scene, span, what, took), "peer": peer}]},
    )


def _made(scene: Scene, where: tuple[Frame, int, int] | None) -> Iterator[Link]:
    if where is not None:
        frame, line, step = where
        ran = scene.line_before(frame, step)
        yield Link(frame, line, step, "", None, ran=step if ran is None else ran)


def _peer(span: Span, scenes: Iterable[Scene]) -> str | None:
    """The service that answered other calls to the same address, in this request or its siblings."""
    address = _address(span)
    for scene in scenes:
        for one in scene.execution.spans.values():
            if one.kind is SpanKind.CLIENT and _address(one) == address and one.service == span.service:
                for part in scene.parts_below(one):
                    return part.service
    return None


def _address(span: Span) -> tuple[object, ...]:
    """To whom a call went: host and port, or what stands for them."""
    host = span.attributes.get("server.address")
    if host:
        return host, span.attributes.get("server.port")
    url = str(span.attributes.get("url.full") or span.attributes.get("http.url") or span.name)
    return (url.split("/")[2],) if url.count("/") > 1 else (url,)

"""Exceptions that were handled although they should not have been: nothing failed outwardly, the answer is wrong.

That an exception was raised, handled, and what stood in for the result is recorded. That this is wrong is not: what
speaks for it is that healthy requests ran the same line and it raised in none of them, and that the handler takes
every exception, so that nobody expected this one. Where the program says that it expects it (it raises it itself, it
handles it by its name) no line is called wrong; if the agent found it rare, that is told.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

from aftertrace.explain.cause import suspects
from aftertrace.explain.cause.blame import Verdict, judge
from aftertrace.explain.cause.finding import Finding
from aftertrace.explain.cause.handled import Handled, broad, handled
from aftertrace.explain.cause.hops import Kind, Link
from aftertrace.explain.cause.origin import Tracer
from aftertrace.explain.cause.outcome import landed
from aftertrace.explain.cause.suspects import Site
from aftertrace.explain.compared.likewise import Spot, visits
from aftertrace.explain.scene.company import Company
from aftertrace.explain.scene.scene import Scene
from aftertrace.model import Value
from aftertrace.reconstruct import text
from aftertrace.reconstruct.execution import Frame, StepKind
from aftertrace.reconstruct.text import short_type

TRIGGER, _LOGGED = "handled-exception", "error-log"
_ENOUGH, _ENOUGH_ALONE = 3, 8  # healthy requests that ran the line: with the agent's word that it is rare, and without
_OFTEN = 0.2  # share of the healthy that raise it too, from which on it is ordinary
_MOST = 20  # handled exceptions of a request that are looked at, the last ones


@dataclass(frozen=True, slots=True)
class Seen:
    """The line that raised it, in healthy requests."""

    ran: int
    raised: int
    without_lines: int  # called its function; whether its line ran is not recorded


def find(scene: Scene, tracer: Tracer, company: Company) -> Finding | None:
    """The most unusual exception that was handled; None where none is."""
    status = answer(scene)
    if status >= 400:
        return None  # it was refused: the handler did its work
    found: list[tuple[int, Finding]] = []
    candidates = list(handled(scene))[-_MOST:]
    meant = _meant(scene, candidates)
    for number, one in enumerate(candidates):
        named = number in meant
        finding = _judge(scene, tracer, company, one, named=named, status=status)
        if finding is not None:
            rank = 2 * ["verified", "likely", "unknown"].index(finding.status) + (not named)
            found.append((rank, finding))
    return min(found, key=lambda one: one[0], default=(0, None))[1]


def _meant(scene: Scene, candidates: list[Handled]) -> set[int]:
    """Which of them the agent found rare, or the program itself logged as an error: those of the service whose type is
    named, or all of the service where no type is."""
    found: set[int] = set()
    for keep in scene.execution.keeps:
        if keep.trigger not in {TRIGGER, _LOGGED}:
            continue
        processes = scene.execution.processes
        own = [
            number
            for number, one in enumerate(candidates)
            if keep.service in {"", processes[one.raised.process].service, processes[one.handled.process].service}
        ]
        named = [number for number in own if short_type(candidates[number].kind) in keep.reason]
        found.update(named if named or keep.trigger == _LOGGED else own)
    return found


def answer(scene: Scene) -> int:
    """The HTTP status of the request, 0 without one."""
    root = next(iter(scene.flow.tree.roots), None)
    status = root.attributes.get("http.response.status_code") if root is not None else None
    return status if isinstance(status, int) else 0


# -- what to say of it


def _judge(scene: Scene, tracer: Tracer, company: Company, one: Handled, *, named: bool, status: int) -> Finding | None:
    text_of = scene.text_of(one.frame)
    site = suspects.site(scene, one.frame, one.raised)
    statement = text_of.statement(site.node) if text_of is not None and site is not None else None
    on_purpose = isinstance(statement, ast.Raise)
    if site is not None and _retried(scene, site, one):
        return None
    if on_purpose or not broad(one.handler):
        return _expected(scene, one, on_purpose=on_purpose) if named else None
    seen = compare(scene, company, one)
    if seen.raised and seen.raised >= _OFTEN * seen.ran:
        return None
    if not named and (seen.raised or seen.ran < _ENOUGH_ALONE):
        return None
    verdict = judge(tracer, site, one.raised.value) if site is not None else Verdict("unknown")
    doubts = list(_doubts(scene, one, seen, site, named=named))
    return _finding(scene, one, verdict, site, seen, doubts=doubts, status=status)


def _retried(scene: Scene, site: Site, one: Handled) -> bool:
    """The same statement ran again in this call, with the same values, and went well."""
    later = [
        index
        for index in scene.steps_between(one.frame, one.handled.index, len(scene.execution.steps))
        if scene.step(index).kind is StepKind.LINE and scene.step(index).line == one.raised.line
    ]
    if not later or any(
        scene.step(index).kind is StepKind.RAISE and scene.step(index).line == one.raised.line
        for index in scene.steps_between(one.frame, later[-1], len(scene.execution.steps))
    ):
        return False
    for suspect in suspects.suspects(scene, site, one.raised.value):
        again = scene.evaluate(replace(suspect.point, step=later[-1], until=later[-1]), suspect.point.node)
        if again != suspect.value:
            return False
    return True


def compare(scene: Scene, company: Company, one: Handled) -> Seen:
    """How often healthy requests ran the line, and how often it raised the same there."""
    spot = Spot.of(scene, one.frame, one.raised.line)
    ran = raised = without = 0
    for sibling in company.siblings():
        found = visits(sibling, spot)
        if found.raised(spot, one.kind):
            ran, raised = ran + 1, raised + 1
        elif found.ran:
            ran += 1
        elif found.called and found.unseen:
            without += 1
    return Seen(ran, raised, without)


def _doubts(scene: Scene, one: Handled, seen: Seen, site: Site | None, *, named: bool) -> Iterator[str]:
    if seen.raised:
        yield f"a healthy request may do so too: {seen.raised} of {seen.ran} siblings raised it too"
    elif seen.ran < _ENOUGH:
        count = f"only {seen.ran}" if seen.ran else "no"
        lines = f" ({seen.without_lines} were recorded without lines)" if seen.without_lines else ""
        yield f"{count} healthy sibling{'s' if seen.ran > 1 else ''} ran this line{lines}: it may be ordinary"
    if not named:
        keeps = [keep.trigger for keep in scene.execution.keeps if keep.role == "failure"]
        why = f"the request was kept for {keeps[0]}" if keeps else "the request was not kept for it"
        yield f"{why}; that {short_type(one.kind)} is wrong here is only what siblings suggest"
    if site is None:
        yield "the lines of the call that raised it were not recorded"


def _expected(scene: Scene, one: Handled, *, on_purpose: bool) -> Finding:
    """Rare, but the program itself provides for it: no line is called wrong."""
    kind = short_type(one.kind)
    how = "raises it on purpose" if on_purpose else f"handles {kind} by its name" if one.handler else "let it be taken"
    where = f"{_file(one.frame)}:{one.raised.line}"
    says = f"{kind} was raised at {where} and handled in {one.by.code.qualname}:{_at(one)}; the program {how}"
    unknown = [f"whether that {kind} was handled is wrong: the program {how}"]
    details = {"exception": one.kind, "expected": True, "raised": scene.step(one.raised.index).address}
    return Finding("swallowed", "unknown", says, unknown=unknown, details=details)


def _file(frame: Frame) -> str:
    return text.printable(frame.code.path.rpartition("/")[2])


def _at(one: Handled) -> int:
    return one.handler.lineno if one.handler is not None else one.handled.line


def _finding(
    scene: Scene, one: Handled, verdict: Verdict, site: Site | None, seen: Seen, *, doubts: list[str], status: int
) -> Finding:
    shown = [(ast.unparse(s.point.node), s.value) for s in _shown(scene, site, one) if s.value is not None]
    at = _raise_link(one, site, shown)
    links = [at, *landed(scene, one)]
    unknown: list[str] = []
    origin = verdict.origin
    if verdict.status == "verified" and origin is not None and len(origin.links) > 1:
        links = [*reversed(origin.links[1:]), replace(at, says=_exception(one)), *links[1:]]
        says = f"{origin.end.says or 'this line made the value'}; it raised {short_type(one.kind)}, which was swallowed"
        shown = []
    else:
        says = f"it raised {_exception(one)}, which {_by(scene, one)} swallowed"
        if origin is not None and len(origin.links) > 1 and origin.end.kind is not Kind.LOST:
            made = origin.made
            unknown.append(
                f"why {at.name} was so: it came from {_file(made.frame)}:{made.line}, {_kind(origin.end.kind)}"
            )
    ended = f"{status}" if status else "as if it had gone well"
    links.append(_answered(scene, one, f"answered {ended}")) if _outer(scene, one) else None
    details = {
        "exception": one.kind,
        "message": _exception(one),
        "raised": scene.step(one.raised.index).address,
        "handler": {"path": one.by.code.path, "line": _at(one), "function": one.by.code.qualname, "broad": True},
        "status": status,
        "siblings": {"ran": seen.ran, "raised": seen.raised, "without_lines": seen.without_lines},
    }
    state = "likely" if doubts else "verified"
    short = scene.execution.trace_id[:8]
    return Finding(
        "swallowed", state, says, links, shown, doubts, unknown=unknown, next=[f"diff {short}"], details=details
    )


def _kind(kind: Kind) -> str:
    return {Kind.OUTSIDE: "from outside", Kind.LITERAL: "written so there"}.get(kind, "by code that is not recorded")


def _shown(scene: Scene, site: Site | None, one: Handled) -> list[suspects.Suspect]:
    return suspects.suspects(scene, site, one.raised.value) if site is not None else []


def _raise_link(one: Handled, site: Site | None, shown: list[tuple[str, Value]]) -> Link:
    name, value = shown[0] if shown else ("", None)
    ran = site.point.step if site is not None else one.raised.index
    return Link(one.frame, one.raised.line, one.raised.index, name, value, ran=ran)


def _exception(one: Handled) -> str:
    """``ValueError: invalid literal ...``"""
    value = one.raised.value
    shown = ", ".join(text.of(item, 80) for item in value.items[:2]) if value is not None else ""
    return f"{short_type(one.kind)}: {shown}" if shown else short_type(one.kind)


def _by(scene: Scene, one: Handled) -> str:
    if one.handler is None:
        return f"line {one.handled.line}"
    return f"`{scene.source_line(one.by, one.handler.lineno).rstrip(':')}` (:{one.handler.lineno})"


def _outer(scene: Scene, one: Handled) -> Frame | None:
    """The outermost recorded frame that waited for the handler's."""
    frame: Frame | None = one.by
    for _ in range(200):
        caller = scene.flow.caller(frame, frame.last_step) if frame is not None else None
        if caller is None:
            return frame
        frame = caller.frame
    return frame


def _answered(scene: Scene, one: Handled, says: str) -> Link:
    frame = _outer(scene, one) or one.by
    last = scene.step(frame.last_step)
    service = scene.execution.processes[frame.process].service
    line = last.line or scene.execution.line_at(frame, last.index)
    begun = scene.line_before(frame, last.index)
    return Link(frame, line, last.index, "", None, f"{service} {says}", ran=begun if begun is not None else -1)

"""What is found out about a request: failures from what was seen to what began it, or else what was wrong with it."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from aftertrace.explain.cause import (
    again,
    answers,
    calls,
    death,
    diverged,
    narrow,
    noticed,
    passing,
    suspects,
    swallowed,
    unawaited,
)
from aftertrace.explain.cause.blame import Verdict, judge
from aftertrace.explain.cause.death import Death
from aftertrace.explain.cause.failure import Failure, Failures
from aftertrace.explain.cause.finding import Finder, Finding
from aftertrace.explain.cause.origin import Tracer
from aftertrace.explain.cause.reconsider import reconsider
from aftertrace.explain.cause.suspects import Site
from aftertrace.explain.races import race
from aftertrace.explain.scene import shed
from aftertrace.explain.scene.company import Company
from aftertrace.explain.scene.scene import Scene
from aftertrace.explain.slowness import silence, slow
from aftertrace.reconstruct import levels

_MOST_PARTS = 30  # services on one way
FINDERS: tuple[Finder, ...] = (
    silence.find,
    race.find,
    slow.find,
    swallowed.find,
)  # asked in this order where nothing failed


@dataclass(slots=True)
class Inquiry:
    """What was found out: ``failures`` from the one that was seen to the one that began it."""

    failures: list[Failure] = field(default_factory=list)
    verdict: Verdict = field(default_factory=lambda: Verdict("unknown"))
    death: Death | None = None
    unknown: list[str] = field(default_factory=list)
    also_failed: list[str] = field(default_factory=list)  # other parts of the request, for reasons of their own
    finding: Finding | None = None  # where nothing failed: what was wrong all the same


def inquire(scene: Scene, failures: Failures, company: Company) -> Inquiry:
    """From the outermost part of the request that failed down to the one that began it."""
    found = Inquiry()
    tracer = Tracer(scene, calls.hop, passing.hop, calls.returned, passing.received)
    tops = failures.tops()
    found.also_failed = tops[1:]
    entry = tops[0] if tops else None
    while entry is not None and len(found.failures) < _MOST_PARTS:
        failure = failures.of(entry)
        found.failures.append(failure)
        below = _below(scene, tracer, failures, failure)
        entry = below if below not in {one.entry for one in found.failures} else None
    if found.failures:
        _conclude(scene, tracer, company, found)
        return found
    found.finding = _first(scene, tracer, company)
    if found.finding is None or found.finding.status == "unknown" or _beside(scene, found.finding):
        noticed_site = noticed.site(scene, company)
        if noticed_site is not None:
            _notice(tracer, noticed_site, company, found)
            return found
    if found.finding is None:
        found.unknown.append("nothing failed in what was recorded: no exception left a service, none died")
    else:
        found.unknown += found.finding.unknown
    return found


def _beside(scene: Scene, finding: Finding) -> bool:
    """It was slow, too, but not kept for that."""
    return finding.kind == "slow" and not any(one.trigger in slow.TRIGGERS for one in scene.execution.keeps)


def _notice(tracer: Tracer, where: Site, company: Company, found: Inquiry) -> None:
    """What made the values on which the program called it wrong; that they are is its word alone."""
    found.verdict = judge(tracer, where, None)
    if found.verdict.status == "verified":
        found.verdict.status = "likely"
        found.verdict.doubts.append("that it is wrong is what the program said")
    judged = found.verdict.origin
    reconsider(tracer.scene, where, found.verdict, company)
    unawaited.reconsider(tracer, where, found.verdict)
    if found.verdict.origin is judged:
        diverged.reconsider(tracer.scene, where, found.verdict, company)
    if found.verdict.status != "unknown":
        found.finding = None
    found.unknown += [one for one in found.verdict.unknown if one]


def _first(scene: Scene, tracer: Tracer, company: Company) -> Finding | None:
    """The first that is verified, else the first that is likely, else the first."""
    findings = list[Finding]()
    for find in FINDERS:
        finding = find(scene, tracer, company)
        if finding is not None and finding.status == "verified":
            return finding
        findings += [finding] if finding is not None else []
    return min(findings, key=lambda one: one.status != "likely", default=None)


def _below(scene: Scene, tracer: Tracer, failures: Failures, failure: Failure) -> str | None:
    """The part of the request, in another service, whose failure made this one fail."""
    if failure.died:
        return None
    where = site(scene, failure)
    if where is None or (failure.raised is None and not _nodes(scene, where)):  # no line says why
        return _last_failed(scene, failures, failure.entry)
    for node in _nodes(scene, where):
        span = calls.asked(tracer, where.point.to(node), node)
        failed = [one for one in scene.parts_below(span) if failures.failed(one.span_id)] if span is not None else []
        if failed:
            return failed[-1].span_id
    return None


def site(scene: Scene, failure: Failure) -> Site | None:
    if failure.raised is None or failure.frame is None:
        return answers.site(scene, failure.entry) if not failure.died else None
    return suspects.site(scene, failure.frame, failure.raised)


def _nodes(scene: Scene, where: Site) -> list[ast.expr]:
    """The expressions of the failing line that may look at another service's answer."""
    source = scene.text_of(where.point.frame)
    statement = source.statement(where.node) if source is not None else None
    if source is not None and statement is not None and (isinstance(statement, ast.Raise) or where.answers):
        return suspects.tests(source, statement)
    if isinstance(where.node, ast.expr):
        return [where.node]
    return [one for one in ast.iter_child_nodes(where.node) if isinstance(one, ast.expr)]


def _last_failed(scene: Scene, failures: Failures, entry: str) -> str | None:
    tree = scene.flow.tree
    found = [one for one in failures.parts() if failures.failed(one) and (above := tree.upstream(one)) is not None
             and tree.entry(above.span_id) == entry]  # fmt: skip
    return found[-1] if found else None


def _conclude(scene: Scene, tracer: Tracer, company: Company, found: Inquiry) -> None:
    last = found.failures[-1]
    if last.died:
        found.death = death.explain(scene, last)
        if found.death is None:
            found.unknown.append(f"where {last.service} stood when it died: no line of it was recorded")
        else:
            found.unknown += found.death.unknown
        return
    where = site(scene, last)
    if where is None:
        found.unknown.append(_no_site(scene, last))
        return
    found.verdict = judge(tracer, where, last.exception)
    judged = found.verdict.origin
    reconsider(scene, where, found.verdict, company)
    unawaited.reconsider(tracer, where, found.verdict)
    narrow.reconsider(scene, where, found.verdict, company)
    again.reconsider(scene, where, found.verdict, company)
    if found.verdict.origin is judged:
        diverged.reconsider(scene, where, found.verdict, company)
    found.unknown += [one for one in found.verdict.unknown if one]


def _no_site(scene: Scene, failure: Failure) -> str:
    if failure.raised is None or failure.frame is None:
        said = f"where {failure.service} failed: it answered an error, and no exception in its own code was recorded"
        return f"{said}; {missing}" if (missing := shed.events_of(scene.execution, failure.service)) else said
    if scene.text_of(failure.frame) is None:
        return f"the source of {failure.frame.code.path}: it was not handed over, or differs from what ran"
    why = levels.since(failure.frame.cause, failure.frame.since_ns)
    said = f"which values {failure.frame.code.qualname} had where it failed: its lines were not recorded"
    return f"{said} ({why})" if why else said

"""An exception that went past an `except` that stands around the very line: the handler takes too little.

That it was asked and did not take it is recorded. That it should have is not: what speaks for it is that it takes
others of the same library, and that the failure is a call to another service that got no answer, on which no value
of the program had a part, or that healthy requests' exceptions of that library were handled there.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass

from aftertrace.explain.cause.blame import Verdict
from aftertrace.explain.cause.handled import handled
from aftertrace.explain.cause.hops import End, Kind, Link, Origin
from aftertrace.explain.cause.suspects import Site
from aftertrace.explain.compared.likewise import Spot, visits
from aftertrace.explain.scene.company import Company
from aftertrace.explain.scene.scene import Scene
from aftertrace.explain.scene.texts import Text
from aftertrace.reconstruct.execution import Frame, Step, StepKind
from aftertrace.reconstruct.text import short_type

_CALLERS = 20


@dataclass(frozen=True, slots=True)
class _Passed:
    """A frame that an exception left, and the handler in it that was asked and let it go on."""

    frame: Frame
    step: Step  # at which it was raised in that frame
    handler: ast.ExceptHandler


def reconsider(scene: Scene, where: Site, verdict: Verdict, company: Company) -> None:
    """The handler before a line that is likely only because nothing else is known; beside it otherwise."""
    raised = scene.step(where.raised)
    if verdict.status == "verified" or where.answers or raised.value is None or _on_purpose(scene, where):
        return
    passed = next((one for one in _passed(scene, where) if _kin(scene, one, raised.value.type)), None)
    if passed is None:
        return
    ran, same = _ran(scene, where, company, raised.value.type)
    took, others = _took(scene, passed, company)
    if same:
        return  # healthy requests raise it, too
    kind = short_type(raised.value.type)
    says = f"{kind} went past it; "
    says += f"{took} healthy siblings had {others} handled here" if took else f"it takes {_types(passed.handler)}"
    says += f", and none of {ran} that ran line {where.line} raised {kind}" if ran else ""
    link = Link(passed.frame, passed.handler.lineno, passed.step.index, "", None, says, ran=passed.step.index)
    start = Link(where.point.frame, where.line, where.raised, "", None, ran=where.point.step)
    origin = Origin([start, link], End(Kind.COMPUTED, says), where.point, None)
    if _unanswered(scene, where) or (took and _weak(verdict)):
        before = [verdict.origin] if verdict.status == "likely" and verdict.origin is not None else []
        verdict.others[:0] = before
        verdict.status, verdict.origin, verdict.says, verdict.unknown = "likely", origin, says, []
        verdict.doubts = ["that it was meant to take it is not recorded"]
    else:
        verdict.others.append(origin)


def _on_purpose(scene: Scene, where: Site) -> bool:
    text = scene.text_of(where.point.frame)
    return text is not None and isinstance(text.statement(where.node), ast.Raise | ast.Assert)


def _weak(verdict: Verdict) -> bool:
    if verdict.status == "unknown" or verdict.origin is None:
        return True
    return verdict.origin.end.kind in {Kind.OUTSIDE, Kind.OPAQUE}


# -- what it passed


def _passed(scene: Scene, where: Site) -> Iterator[_Passed]:
    """From the line that raised outwards, within its service."""
    step, frame = scene.step(where.raised), where.point.frame
    for _ in range(_CALLERS):
        text, statement = scene.text_of(frame), scene.statement(frame, step.line)
        if text is not None and statement is not None and scene.step(frame.last_step).kind is StepKind.UNWIND:
            for one in _around(text, statement):
                if _asked(scene, frame, step, one):
                    yield _Passed(frame, step, one)
        caller = scene.flow.caller(frame, frame.last_step)
        if caller is None or caller.border is not None:
            return
        frame = caller.frame
        after = scene.steps_between(frame, step.index, len(scene.execution.steps))
        inner = next((scene.step(one) for one in after if scene.step(one).kind is StepKind.RAISE), None)
        if inner is None or inner.exception != step.exception:
            return
        step = inner


def _around(text: Text, statement: ast.stmt) -> Iterator[ast.ExceptHandler]:
    """The handlers of the blocks in whose body a statement stands, the innermost first."""
    inner: ast.AST = statement
    for outer in text.above(statement):
        if isinstance(outer, ast.Try) and inner in outer.body:
            yield from outer.handlers
        inner = outer


def _asked(scene: Scene, frame: Frame, raised: Step, handler: ast.ExceptHandler) -> bool:
    """Its line ran after the exception, and its body did not."""
    after = scene.steps_between(frame, raised.index, len(scene.execution.steps))
    lines = {scene.step(one).line for one in after if scene.step(one).kind is StepKind.LINE}
    last = handler.end_lineno or handler.lineno
    return handler.lineno in lines and not any(handler.body[0].lineno <= one <= last for one in lines)


# -- whether it is one of those that the handler takes


def _kin(scene: Scene, passed: _Passed, kind: str) -> bool:
    """Of the same library, or both an operating system's error."""
    text = scene.text_of(passed.frame)
    if text is None or passed.handler.type is None:
        return False
    named = passed.handler.type.elts if isinstance(passed.handler.type, ast.Tuple) else [passed.handler.type]
    homes = {_home(text, one) for one in named}
    return (kind.partition(".")[0] if "." in kind else _builtin(kind)) in homes - {""}


def _home(text: Text, node: ast.expr) -> str:
    """The library from which a name of an exception comes; "" where the file does not say."""
    root = node
    while isinstance(root, ast.Attribute):
        root = root.value
    if not isinstance(root, ast.Name):
        return ""
    for one in ast.walk(text.tree):
        if isinstance(one, ast.Import):
            for alias in one.names:
                if (alias.asname or alias.name.partition(".")[0]) == root.id:
                    return alias.name.partition(".")[0]
        elif isinstance(one, ast.ImportFrom) and any((alias.asname or alias.name) == root.id for alias in one.names):
            return "" if one.level else (one.module or "").partition(".")[0]
    return _builtin(root.id)


def _builtin(name: str) -> str:
    found = getattr(builtins, name, None)
    return "OSError" if isinstance(found, type) and issubclass(found, OSError) else ""


def _types(handler: ast.ExceptHandler) -> str:
    named = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return ", ".join(ast.unparse(one).rpartition(".")[2] for one in named if one is not None)


# -- what speaks for it


def _unanswered(scene: Scene, where: Site) -> bool:
    """The failing line called another service and got no answer."""
    entry = scene.entry(scene.step(where.raised))
    span = scene.sent(where.point.frame.process, where.point.step, where.raised, entry)
    if span is None or any(name.startswith("db.") for name in span.attributes):
        return False
    answered = any(one.end_ns and one.end_ns <= span.end_ns for one in scene.parts_below(span))
    return "http.response.status_code" not in span.attributes and not answered


def _ran(scene: Scene, where: Site, company: Company, kind: str) -> tuple[int, int]:
    """How many healthy requests ran the line, and how many of them raised the same there."""
    spot = Spot.of(scene, where.point.frame, where.line)
    found = [visits(one, spot) for one in company.siblings()]
    return sum(bool(one.ran) for one in found), sum(one.raised(spot, kind) for one in found)


def _took(scene: Scene, passed: _Passed, company: Company) -> tuple[int, str]:
    """How many healthy requests had an exception handled there, and of what types."""
    code, service = passed.frame.code, scene.execution.processes[passed.frame.process].service
    count, kinds = 0, dict[str, None]()
    for sibling in company.siblings():
        found = [
            short_type(one.kind)
            for one in handled(sibling)
            if one.handler is not None
            and one.handler.lineno == passed.handler.lineno
            and (one.by.code.path, one.by.code.qualname) == (code.path, code.qualname)
            and sibling.execution.processes[one.by.process].service == service
        ]
        count += bool(found)
        kinds |= dict.fromkeys(found)
    return count, ", ".join(list(kinds)[:3])

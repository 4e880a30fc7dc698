"""From the suspects of a failing line to the line that is to blame, or the honest word that it is not known."""

from __future__ import annotations

import ast
import difflib
from dataclasses import dataclass, field, replace

from aftertrace.explain import contradiction, emptiness, lineage, shed, texts
from aftertrace.explain.hops import End, Kind, Link, Origin
from aftertrace.explain.likeness import ABSENT, hole, parts
from aftertrace.explain.lineage import Lineage
from aftertrace.explain.origin import Tracer
from aftertrace.explain.scene import Point, Scene
from aftertrace.explain.suspects import Site, Suspect, mentioned, suspects
from aftertrace.model import Value, ValueKind
from aftertrace.reconstruct.execution import Shed, Step, StepKind
from aftertrace.wire.equality import content, cut

_ROUNDS = 8  # how often the inputs of a computation are looked into
_MOST_INPUTS = 12


@dataclass(slots=True)
class Verdict:
    """``status``: verified, likely or unknown; ``others`` are further lines that are as suspect as ``origin``'s."""

    status: str
    origin: Origin | None = None
    says: str = ""
    doubts: list[str] = field(default_factory=list)
    others: list[Origin] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    behind: Lineage = field(default_factory=Lineage)  # what the suspects were made of, by other lines


def judge(tracer: Tracer, where: Site, exception: Value | None) -> Verdict:
    """The cause of an exception raised at a site."""
    within = _raised_within(tracer.scene, where)
    where = replace(where, node=within[0]) if within else where
    found = suspects(tracer.scene, where, exception)
    if within and not any(one.value is not None and exception and mentioned(one.value, exception) for one in found):
        return _unknown(None, shed.raised(within[1]))
    if not found:
        return Verdict("unknown", unknown=["the line fails on nothing that was recorded"])
    best = [one for one in found if one.weight == found[0].weight]
    origins = [deepen(tracer, tracer.trace(one.point, _start(where, one), one.value)) for one in best]
    best_origin, others = _choose(origins)
    gone = _shed(tracer.scene, [best_origin, *(one for one in origins if one is not best_origin)])
    if gone is not None:
        return gone
    verdict = _misnamed(where, exception, best_origin) or _verdict(best_origin, others)
    verdict.behind = lineage.behind(tracer, [best_origin, *others])
    _made_of(tracer.scene, verdict, exception)
    _name_others(verdict)
    against = contradiction.doubt(tracer.scene, where, exception) or _taken_out(where, best_origin)
    against = against or (shed.raised(within[1]).says if within else "") or _changed_by_shed(tracer.scene, best_origin)
    if against and verdict.status != "unknown":
        verdict.status = "likely"
        verdict.doubts.append(against)
    return verdict


def _shed(scene: Scene, origins: list[Origin]) -> Verdict | None:
    """Unknown, where a call had a part in a suspect value of which nothing was recorded."""
    for origin in origins:
        end = origin.end if origin.end.kind is Kind.SHED else None
        if end is None and origin.end.kind is not Kind.LITERAL:
            calls = (scene.shed(origin.point, one) for one in texts.calls(origin.point.node))
            end = next((shed.lost(one) for one in calls if one is not None), None)
        if end is not None:
            return _unknown(origin, end)
    return None


def _unknown(origin: Origin | None, end: End) -> Verdict:
    return Verdict("unknown", origin, end.says, origin.doubts if origin is not None else [], unknown=[end.unknown])


def _raised_within(scene: Scene, where: Site) -> tuple[ast.Call, Shed] | None:
    """The call, by the line where an exception was seen first, of a function of which nothing was recorded. Where a
    call was unwound, CPython gives the instruction before it (3.12, 3.13: ``next_instr - 1``)."""
    point = where.point
    if where.answers:
        return None
    for node in (where.node, scene.node_at(point.frame, scene.step(where.raised).lasti + 1)):
        gone = scene.shed(point, node) if isinstance(node, ast.Call) else None
        if gone is not None and isinstance(node, ast.Call):
            return node, gone
    return None


def _taken_out(where: Site, origin: Origin) -> str:
    """The suspect is a container out of which a call that is not recorded took something."""
    first = origin.links[0]
    if first.value is None or content(first.value).kind not in {ValueKind.SEQUENCE, ValueKind.MAPPING}:
        return ""
    for call in texts.calls(where.node):
        receiver = call.func.value if isinstance(call.func, ast.Attribute) else None
        if call is not where.node and receiver is not None and ast.unparse(receiver) == first.name:
            return f"what {ast.unparse(call.func)}() gave is not recorded"
    return ""


def _changed_by_shed(scene: Scene, origin: Origin) -> str:
    """A part of something mutable, on whose way a call was made that was not recorded: it may have set it."""
    if not any("." in link.name or "[" in link.name for link in origin.links):
        return ""
    for link in origin.links:
        scope = scene.scope(link.frame)
        for call in texts.calls(scope) if scope is not None else ():
            gone = scene.shed(Point(link.frame, call, link.frame.first_step, link.step), call)
            if gone is not None:
                return f"{gone.function}() is called on this way too, and was not recorded"
    return ""


def _misnamed(where: Site, exception: Value | None, origin: Origin) -> Verdict | None:
    """A key or attribute that is written in the failing line: the line may be wrong, or what it looks into."""
    kind = exception.type.rpartition(".")[2] if exception is not None else ""
    match where.node:
        case ast.Subscript(slice=ast.Constant(value=name)) if kind == "KeyError" and _is_whole(origin.links[0].value):
            known = [f"{key.name!s}" for key, _ in parts(origin.links[0].value or _NOTHING)]
        case ast.Attribute(attr=name) if kind == "AttributeError" and _is_object(origin.links[0].value):
            known = [key for key, _ in (origin.links[0].value or _NOTHING).attributes]
        case _:
            return None
    near = difflib.get_close_matches(f"{name!s}", known, 1)
    start = replace(origin.links[0], name=ast.unparse(where.node))
    says = f"there is no {name!r}, but {near[0]!r}" if near else f"there is no {name!r} among {', '.join(known[:6])}"
    here = Origin([start], End(Kind.LITERAL, says), origin.point, origin.value)
    doubt = "the line may ask for the wrong name, or what it looks into may lack it"
    return Verdict("likely", here, says, [doubt], [origin] if len(origin.links) > 1 else [])


_NOTHING = Value(ValueKind.MISSING, "")


def _is_whole(value: Value | None) -> bool:
    return value is not None and content(value).kind is ValueKind.MAPPING and not cut(content(value))


def _is_object(value: Value | None) -> bool:
    return value is not None and value.kind is ValueKind.OBJECT and bool(value.attributes)


def _start(where: Site, suspect: Suspect) -> Link:
    """The failing line itself, with the suspect's value."""
    point = where.point
    return Link(point.frame, where.line, where.raised, ast.unparse(suspect.point.node), suspect.value, ran=point.step)


def _choose(origins: list[Origin]) -> tuple[Origin, list[Origin]]:
    """Those that end at one line are one; a default that was taken outweighs what is only passed along."""
    lines: dict[tuple[int, str, int], Origin] = {}
    for one in origins:
        place = (one.made.frame.process, one.made.frame.code.path, one.made.line)
        if place not in lines:
            lines[place] = one
    found = list(lines.values())
    ranked = sorted(found, key=_rank)
    strongest = [one for one in ranked if _rank(one) == _rank(ranked[0])]
    return strongest[0], [one for one in ranked if one is not strongest[0] and (one in strongest or _known(one))]


def _known(origin: Origin) -> bool:
    return origin.end.kind in {Kind.DEFAULT, Kind.COMPUTED, Kind.OPAQUE, Kind.OUTSIDE} and not _constant(origin)


def _constant(origin: Origin) -> bool:
    return origin.end.kind is Kind.LITERAL and len(origin.links) == 1


def _rank(origin: Origin) -> int:
    kind = origin.end.kind
    if kind is Kind.DEFAULT:
        return 0
    if kind is Kind.LITERAL and not _constant(origin) and origin.value is not None and hole(origin.value):
        return 0
    return {Kind.COMPUTED: 1, Kind.LITERAL: 2, Kind.OPAQUE: 1, Kind.OUTSIDE: 1}.get(kind, 3)


def _verdict(origin: Origin, others: list[Origin]) -> Verdict:
    kind = origin.end.kind
    unknown = [origin.end.unknown] if origin.end.unknown else []
    if kind is Kind.LOST:
        return Verdict("unknown", origin, origin.end.says, origin.doubts, others, unknown)
    doubts = list(origin.doubts)
    if others:
        doubts.append("another value of the failing line is as suspect")
    if kind is Kind.OPAQUE:
        doubts.append("it was made by code that is not recorded")
    elif kind is Kind.OUTSIDE:
        doubts.append("it came from outside, and nothing here refused it")
    elif _constant(origin):
        doubts.append("it is written so in the failing line itself")
    return Verdict("likely" if doubts else "verified", origin, _says(origin), doubts, others, unknown)


def _made_of(scene: Scene, verdict: Verdict, exception: Value | None) -> None:
    """What was computed, or looked up in vain, is no proof of its line where what it was computed from, or looked up
    by, was computed, too. A text that could not be read is, where it was written of numbers: they cannot be misread."""
    origin = verdict.origin
    if verdict.status != "verified" or origin is None or origin.end.kind not in {Kind.COMPUTED, Kind.DEFAULT}:
        return
    if _is_unreadable(exception) and _is_written(scene, origin):
        return
    before = [one.made for one in verdict.behind.changed if _line(one.made) != _line(origin.made)]
    if before:
        verdict.status = "likely"
        name = before[0].name or "what it was made of"
        where = f"{before[0].frame.code.path.rpartition('/')[2]}:{before[0].line}"
        verdict.doubts.append(f"{name} was computed too, at {where}")


def _is_written(scene: Scene, origin: Origin) -> bool:
    """A text that the line wrote of numbers."""
    node = origin.point.node
    written = isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Call) and texts.called(node) in {"str", "format"}
    )
    values = [scene.evaluate(at, one) for at, one in lineage.leaves(scene, origin.point)]
    return written and bool(values) and all(map(_is_number, values))


def _is_unreadable(exception: Value | None) -> bool:
    kind = exception.type.rpartition(".")[2] if exception is not None else ""
    return kind in {"ValueError", "InvalidOperation"} or kind.endswith("DecodeError")


def _is_number(value: Value | None) -> bool:
    return value is not None and isinstance(content(value).scalar, int | float)


def _name_others(verdict: Verdict) -> None:
    """Of the lines that computed what the likely one worked with: the nearest, and the one furthest back."""
    if verdict.status != "likely" or verdict.origin is None:
        return
    told = {_line(one.made) for one in (verdict.origin, *verdict.others)}
    known = [one for one in verdict.behind.changed if one.end.kind is not Kind.OPAQUE]
    more = [one for one in known if _line(one.made) not in told]
    verdict.others += [*more[:1], *(one for one in more[-1:] if _line(one.made) != _line(more[0].made))]


def _line(link: Link) -> tuple[int, str, int]:
    return link.frame.process, link.frame.code.path, link.line


def _says(origin: Origin) -> str:
    if origin.end.says:
        return origin.end.says
    if origin.end.kind is Kind.COMPUTED:
        return "this line made the value; its own inputs show nothing wrong"
    return {Kind.LITERAL: "written so in the source", Kind.OPAQUE: "the call gave it"}.get(origin.end.kind, "")


# -- computations: a suspicious input outweighs the line that used it


def deepen(tracer: Tracer, origin: Origin) -> Origin:
    """Past the line that computed a value, where one of its inputs was a hole, or a default that shows in the value."""
    for _ in range(_ROUNDS):
        filled = emptiness.behind(tracer, origin)
        if filled is not None:
            origin = filled
            continue
        if origin.end.kind is Kind.LITERAL:
            return _behind_handler(tracer, origin)
        if origin.end.kind not in {Kind.COMPUTED, Kind.OPAQUE} or origin.end.span is not None:
            return origin
        found = _suspicious(tracer, origin)
        if len(found) != 1:
            if len({(one.made.frame.code.path, one.made.line) for one in found}) > 1:
                origin.doubts.append("several of its inputs are suspect")
            return origin
        inner = found[0]
        inner.links[:0] = origin.links
        inner.doubts[:0] = origin.doubts
        origin = inner
    return origin


def _suspicious(tracer: Tracer, origin: Origin) -> list[Origin]:
    scene, point = tracer.scene, origin.point
    found: list[Origin] = []
    boolean = isinstance(point.node, ast.Compare) or (
        isinstance(point.node, ast.UnaryOp) and isinstance(point.node.op, ast.Not)
    )
    for node in lineage.inputs(scene, point)[:_MOST_INPUTS]:
        at = point.to(node, ())
        value = scene.evaluate(at, node)
        if value is None or value is ABSENT:
            continue
        shows = boolean or (hole(value) and _shows_hole(point.node, value, origin.value))
        if not shows and not _shows(value, origin.value):
            continue
        inner = tracer.trace(at, lineage.use(at, node, value), value)
        inner.links.pop(0)
        if (shows and inner.links) or inner.end.kind is Kind.DEFAULT:
            if not inner.links:  # the default was taken in the very expression
                inner.links.append(replace(origin.made, name=ast.unparse(node), value=value))
                inner.links[-1] = replace(inner.links[-1], line=inner.end.line or origin.made.line)
            found.append(inner)
    return found


def _shows_hole(node: ast.expr, value: Value, result: Value | None) -> bool:
    """Whether a hole among the inputs is one in the result."""
    value = content(value)
    if result is None:
        return False
    result = content(result)
    if isinstance(result.scalar, str):
        if value.type == "NoneType":
            return "None" in result.scalar
        if value.type == "float":
            return "nan" in result.scalar
        return value.scalar == "" and isinstance(node, ast.JoinedStr | ast.BinOp | ast.Call)
    if value.type == "float":
        return hole(result)
    return hole(result) or result.scalar == 0


def _shows(value: Value, result: Value | None) -> bool:
    """Whether an input stands visibly in a text that was made of it."""
    value = content(value)
    text = content(result).scalar if result is not None else None
    return isinstance(text, str) and isinstance(value.scalar, str) and bool(value.scalar) and value.scalar in text


def _behind_handler(tracer: Tracer, origin: Origin) -> Origin:
    """A literal set in an ``except`` block: the line whose exception was swallowed there."""
    scene, point = tracer.scene, origin.point
    text = scene.text_of(point.frame)
    statement = scene.statement(point.frame, origin.made.line)
    if text is None or statement is None:
        return origin
    handlers = [one for one in text.above(statement) if isinstance(one, ast.ExceptHandler)]
    if not handlers:
        return origin
    raised = _swallowed(scene, point)
    if raised is None:
        return origin
    begun = scene.line_before(point.frame, raised.index)
    node = scene.node_at(point.frame, raised.lasti)
    value, name = raised.value, raised.value.type.rpartition(".")[2] if raised.value is not None else ""
    if isinstance(node, ast.Call) and texts.arguments(node):
        argument = texts.arguments(node)[0]
        at = Point(point.frame, argument, begun or raised.index, raised.index)
        shown = scene.evaluate(at, argument)
        value, name = (shown, ast.unparse(argument)) if shown is not None else (value, name)
    link = Link(point.frame, raised.line, raised.index, name, value, "its exception was swallowed", ran=begun or -1)
    origin.links.append(link)
    origin.end = replace(origin.end, kind=Kind.DEFAULT, line=0, says=_swallowed_says(raised))
    return origin


def _swallowed(scene: Scene, point: Point) -> Step | None:
    """The exception that a frame was handling at a point."""
    for index in reversed(scene.execution.steps_of(point.frame)):
        step = scene.step(index)
        if index <= point.step and step.kind is StepKind.RAISE:
            return step
    return None


def _swallowed_says(raised: Step) -> str:
    kind = raised.value.type.rpartition(".")[2] if raised.value is not None else "an exception"
    return f"{kind} was swallowed here, and a literal stood in"

"""What could have been wrong where an exception was raised: the expressions on which that line failed, by its kind."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from aftertrace.explain import texts
from aftertrace.explain.likeness import hole, parts
from aftertrace.explain.scene import Point, Scene
from aftertrace.explain.texts import Text
from aftertrace.model import Value, ValueKind
from aftertrace.reconstruct.execution import Frame, Step, StepKind
from aftertrace.wire.equality import content

_MENTIONED, _ROLE, _HOLE = 4, 2, 1  # weights of evidence
_DECIDED = _MENTIONED + _ROLE  # a test because of which it was raised: what the message names may only say where


@dataclass(frozen=True, slots=True)
class Suspect:
    """An expression of the failing line, and how much speaks for it."""

    point: Point
    value: Value | None
    weight: int


@dataclass(frozen=True, slots=True)
class Site:
    """The failing line: ``node`` is what was evaluated, as exactly as it is known."""

    point: Point  # of the statement's beginning; its node is a placeholder where only the statement is known
    node: ast.AST
    line: int
    raised: int  # the step
    answers: bool = False  # no exception: it answered an error


def site(scene: Scene, frame: Frame, raised: Step) -> Site | None:
    """Where an exception was raised; None without source or without lines."""
    begun = scene.line_before(frame, raised.index)
    node = scene.node_at(frame, raised.lasti)
    found = node if node is not None else scene.statement(frame, raised.line)
    if begun is None or found is None:
        return None
    expression = found if isinstance(found, ast.expr) else ast.Constant(None, lineno=raised.line, col_offset=0)
    return Site(Point(frame, expression, begun, _until(scene, frame, raised)), found, raised.line, raised.index)


def _until(scene: Scene, frame: Frame, raised: Step) -> int:
    """The frame's UNWIND, where it followed at once: its values are those of the raise."""
    after = next(iter(scene.steps_between(frame, raised.index, len(scene.execution.steps))), None)
    return after if after is not None and scene.step(after).kind is StepKind.UNWIND else raised.index + 1


def suspects(scene: Scene, where: Site, exception: Value | None) -> list[Suspect]:
    """Best first; those that share the highest weight are equally suspect."""
    text = scene.text_of(where.point.frame)
    if text is None:
        return []
    found: dict[str, Suspect] = {}
    for node, weight in _candidates(scene, text, where, exception):
        for one, point in _leaves(scene, where.point, node):
            value = scene.evaluate(point, one)
            if value is None and isinstance(one, ast.Name):
                value = _key_of(where, one, exception) or _round(scene, text, point, one, exception)
            if value is not None and value.kind is ValueKind.NAMED:
                continue
            total = weight + _evidence(value, exception)
            known = found.get(ast.unparse(one))
            if known is None or known.weight < total:
                found[ast.unparse(one)] = Suspect(point.to(one), value, total)
    return sorted(found.values(), key=lambda one: -one.weight)


def _leaves(scene: Scene, point: Point, node: ast.expr) -> Iterator[tuple[ast.expr, Point]]:
    """What a node is made of, where its own value says nothing: comparisons, calls that are not recorded."""
    for one in texts.inputs(node):
        call = one.value if isinstance(one, ast.Await) else one
        if isinstance(call, ast.Call) and not scene.callees(point, one) and scene.shed(point, one) is None:
            for inner in [*texts.arguments(call), *([call.func.value] if isinstance(call.func, ast.Attribute) else [])]:
                yield from _leaves(scene, point, inner)
        elif (
            scene.evaluate(point, one) is None
            and isinstance(one, ast.Attribute | ast.Subscript)
            and _unrecorded(scene, point, one)
        ):
            yield from _leaves(scene, point, one.value)
        elif not (isinstance(one, ast.Name) and scene.evaluate(point, one) is None and _is_builtin(scene, point, one)):
            yield one, point


def _key_of(where: Site, node: ast.expr, exception: Value | None) -> Value | None:
    """A KeyError's argument is the key."""
    missing = exception is not None and exception.type == "KeyError" and len(exception.items) == 1
    asked = isinstance(where.node, ast.Subscript) and where.node.slice is node
    return exception.items[0] if exception is not None and missing and asked else None


def _round(scene: Scene, text: Text, point: Point, name: ast.Name, exception: Value | None) -> Value | None:
    """The variable of a comprehension has gone when it fails: of the items the only one that the exception shows."""
    scope = scene.scope(point.frame)
    given = text.given(scope, name.lineno, name.id) if scope is not None else None
    if exception is None or given is None or given.how != "item" or given.source is None or given.keys:
        return None
    whole = scene.evaluate(point, given.source)
    found = [item for key, item in parts(whole) if not key.attribute and mentioned(item, exception)] if whole else []
    return found[0] if len(found) == 1 else None


def _unrecorded(scene: Scene, point: Point, node: ast.expr) -> bool:
    """A part of what a call that is not recorded gave."""
    return any(not scene.callees(point, call) for call in texts.calls(node))


def _is_builtin(scene: Scene, point: Point, name: ast.Name) -> bool:
    """A name that is neither the frame's nor set in its module: nothing of it is recorded."""
    return name.id not in point.frame.code.names and scene.constant(point.frame, name.id) is None


def _evidence(value: Value | None, exception: Value | None) -> int:
    if value is None:
        return 0
    found = _HOLE if hole(value) else 0
    return found + (_MENTIONED if exception is not None and mentioned(value, exception) else 0)


def mentioned(value: Value, exception: Value) -> bool:
    """Whether an exception's arguments hold a value, or its message shows it."""
    value = content(value)
    if value.kind is not ValueKind.SCALAR or value.scalar is None or isinstance(value.scalar, bool | bytes):
        return False
    for _, argument in [*parts(Value(ValueKind.SEQUENCE, "tuple", items=exception.items)), *parts(exception)]:
        inner = content(argument)
        if inner.kind is not ValueKind.SCALAR:
            continue
        if inner.type == value.type and inner.scalar == value.scalar:
            return True
        if isinstance(inner.scalar, str) and isinstance(value.scalar, str):
            if len(value.scalar) >= 2 and (repr(value.scalar) in inner.scalar or value.scalar in inner.scalar):
                return True
        elif isinstance(inner.scalar, str) and str(value.scalar) in _words(inner.scalar):
            return True
    return False


def _words(text: str) -> set[str]:
    return set("".join(c if c.isalnum() or c in ".-_" else " " for c in text).split())


# -- by what was evaluated


def _candidates(scene: Scene, text: Text, where: Site, exception: Value | None) -> Iterator[tuple[ast.expr, int]]:
    kind = exception.type.rpartition(".")[2] if exception is not None else ""
    node = where.node
    statement = text.statement(node)
    if isinstance(statement, ast.Raise) or (where.answers and statement is not None):
        yield from _raised(scene, where, text, statement)
    elif isinstance(statement, ast.Assert):
        yield statement.test, _ROLE
    elif isinstance(node, ast.AugAssign):
        yield from _operands(kind, node.target, node.value)
    elif isinstance(node, ast.expr):
        yield from _evaluated(scene, text, where, node, kind)
    elif isinstance(node, ast.stmt):
        for one in _head(node):
            yield one, 0


def _evaluated(scene: Scene, text: Text, where: Site, node: ast.expr, kind: str) -> Iterator[tuple[ast.expr, int]]:
    match node:
        case ast.Subscript(value=container, slice=key):
            yield from _subscript(scene, where, kind, container, key)
        case ast.BinOp(left=left, right=right):
            yield from _operands(kind, left, right)
        case ast.Attribute(value=inner):
            yield inner, _ROLE
        case ast.Call():
            yield from _call(node)
        case ast.Compare(left=left, comparators=others):
            for one in (left, *others):
                yield one, _ROLE
        case ast.Tuple() | ast.List() if isinstance(node.ctx, ast.Store):
            yield from _unpacked(text, node)
        case _:
            yield node, _ROLE


def _subscript(
    scene: Scene, where: Site, kind: str, container: ast.expr, key: ast.expr
) -> Iterator[tuple[ast.expr, int]]:
    held = scene.evaluate(where.point, container)
    no_container = held is not None and hole(held)
    by_key = kind in {"KeyError", "IndexError"} and not (kind == "IndexError" and no_container)
    yield key, _ROLE if by_key else 0
    yield container, 0 if by_key and not isinstance(key, ast.Constant) else _ROLE


def _operands(kind: str, left: ast.expr, right: ast.expr) -> Iterator[tuple[ast.expr, int]]:
    yield left, 0 if kind == "ZeroDivisionError" else _ROLE
    yield right, _ROLE + 2 if kind == "ZeroDivisionError" else _ROLE


def _call(node: ast.Call) -> Iterator[tuple[ast.expr, int]]:
    for one in texts.arguments(node):
        yield one, _ROLE
    if isinstance(node.func, ast.Attribute):
        yield node.func.value, 0 if node.args or node.keywords else _ROLE
    elif isinstance(node.func, ast.Name):
        yield node.func, 0


def _unpacked(text: Text, target: ast.expr) -> Iterator[tuple[ast.expr, int]]:
    """``a, b = pair``: the pair."""
    parent = text.parent(target)
    match parent:
        case ast.Assign(value=value):
            yield value, _ROLE
        case ast.For(iter=source) | ast.comprehension(iter=source):
            yield source, _ROLE


def _head(statement: ast.stmt) -> Iterator[ast.expr]:
    for child in ast.iter_child_nodes(statement):
        if isinstance(child, ast.expr):
            yield child
        elif isinstance(child, ast.withitem):
            yield child.context_expr


# -- explicit raise: the tests that led there


def _raised(scene: Scene, where: Site, text: Text, statement: ast.stmt) -> Iterator[tuple[ast.expr, int]]:
    for test in tests(text, statement):
        yield test, _DECIDED
    for loop, test in searches(text, statement):
        rounds = {one.id for one in ast.walk(loop.target) if isinstance(one, ast.Name)}
        for one in texts.inputs(test):
            if rounds.isdisjoint(inner.id for inner in ast.walk(one) if isinstance(inner, ast.Name)):
                yield one, _DECIDED
        held = scene.evaluate(where.point, loop.iter)
        yield loop.iter, _DECIDED if held is not None and hole(held) else 0
    if isinstance(statement, ast.Raise) and isinstance(statement.exc, ast.Call):
        for one in texts.arguments(statement.exc):
            yield one, 0


def searches(text: Text, statement: ast.stmt) -> Iterator[tuple[ast.For | ast.AsyncFor, ast.expr]]:
    """Loops that looked for something before a statement and would have left with it: it ran since none was found."""
    if tests(text, statement):
        return
    inner: ast.AST = statement
    for outer in text.above(statement):
        if isinstance(outer, ast.For | ast.AsyncFor) and inner in outer.orelse:
            yield from ((outer, test) for test in _leaving(outer, ast.Break, ast.Return))
        body = getattr(outer, "body", [])
        if isinstance(body, list) and inner in body:
            for one in reversed(body[: body.index(inner)]):
                if isinstance(one, ast.For | ast.AsyncFor):
                    yield from ((one, test) for test in _leaving(one, ast.Return))
        inner = outer


def _leaving(loop: ast.For | ast.AsyncFor, *ways: type[ast.stmt]) -> Iterator[ast.expr]:
    """The conditions on which a loop's body leaves it."""
    for one in loop.body:
        if isinstance(one, ast.If) and isinstance(one.body[-1], ways):
            yield one.test


def tests(text: Text, statement: ast.stmt) -> list[ast.expr]:
    """The conditions on which a statement ran: the innermost, else that of the last block before it that left."""
    inner: ast.AST = statement
    for outer in text.above(statement):
        match outer:
            case ast.If(test=test) | ast.While(test=test) if not (
                isinstance(outer, ast.While) and inner in outer.orelse
            ):
                return [test]
            case ast.Match(subject=subject):
                return [subject]
            case ast.match_case(guard=ast.expr() as guard):
                return [guard]
        if isinstance(outer, ast.stmt | ast.Module):
            before = _left_before(outer, inner)
            if before is not None:
                return [before]
        inner = outer
    return []


def _left_before(block: ast.AST, inner: ast.AST) -> ast.expr | None:
    """``if ok: return`` before a statement: the statement ran because ok was false."""
    for name in ("body", "orelse", "finalbody"):
        statements = getattr(block, name, [])
        if not isinstance(statements, list) or inner not in statements:
            continue
        for one in reversed(statements[: statements.index(inner)]):
            if isinstance(one, ast.If) and isinstance(one.body[-1], ast.Return | ast.Continue | ast.Break):
                return one.test
    return None

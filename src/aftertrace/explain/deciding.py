"""Whether a write rests on what was read before: a test of it, or a value computed from it, in one function."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from aftertrace.errors import AftertraceError
from aftertrace.explain.access import Access
from aftertrace.explain.scene import Scene
from aftertrace.model import Scalar, Value, ValueKind
from aftertrace.reconstruct import operators
from aftertrace.reconstruct.execution import Frame, StepKind
from aftertrace.reconstruct.expression import Expression
from aftertrace.wire.equality import content

_DEPTH = 50  # frames above a statement
_READ = "_what_was_read"  # stands in a test for the call that read


@dataclass(frozen=True, slots=True)
class Test:
    """A condition on what was read; ``step`` is where its line ran."""

    step: int
    line: int
    node: ast.expr


@dataclass(slots=True)
class Decision:
    """``read`` and ``write`` of one row by one request, in the innermost function that made both happen."""

    read: Access
    write: Access
    frame: Frame
    ran: int  # step where the line that read began
    until: int  # step from which on its value is there
    line: int
    wrote: int  # line that wrote, in the same frame
    wrote_at: int  # step where that line began
    column: str
    name: str  # "" the value has none
    value: Value | None
    seen: Scalar  # what the read gave for the column
    tests: list[Test] = field(default_factory=list)
    known: list[Access] = field(default_factory=list, repr=False)  # all of the request's
    computed: bool = False  # the write's value is computed from it, and stored as it is

    @property
    def scene(self) -> Scene:
        return self.read.scene

    def outcome(self, test: Test, now: Scalar = None) -> bool | None:
        """How a test came out, or would have with another value read; None when that is not known."""

        def lookup(name: str) -> Value | None:
            if name == _READ or (name == self.name and self._holds(test.step)):
                return self.value if now is None or self.value is None else _changed(self.value, self, now)
            if name in self._others(test.step):
                raise operators.NotCaptured(name)
            held = self.scene.binding(self.frame, name, test.step)
            return held.value if held is not None else self.scene.literal(self.frame, name)

        try:
            value = Expression(ast.unparse(test.node)).evaluate(lookup).value
            return operators.truth(value) if value is not None else None
        except (AftertraceError, operators.Refused, operators.NotCaptured, ValueError, RecursionError):
            return None

    def _holds(self, step: int) -> bool:
        held = self.scene.binding(self.frame, self.name, step)
        return held is not None and held.written_at == self.until

    def _others(self, step: int) -> set[str]:
        """Names whose values would have been others, too: computed from what was read."""
        return {name for at, name in _computed(self) if at <= step} - {self.name}


def decision(read: Access, write: Access, column: str, seen: Scalar) -> Decision | None:
    """None: nothing shows that the write rests on the read."""
    scene = read.scene
    above = {id(frame): step for frame, step in _above(scene, write.frame, write.step.index)}
    for frame, step in _above(scene, read.frame, read.step.index):
        if id(frame) in above:
            found = _in((read, write), frame, (step, above[id(frame)]), (column, seen))
            return found if found is not None and (found.tests or found.computed) else None
    return None


def _above(scene: Scene, frame: Frame, step: int) -> Iterator[tuple[Frame, int]]:
    """A frame and its callers, each with the step that it had reached then."""
    for _ in range(_DEPTH):
        yield frame, step
        entered = scene.execution.entered_at(frame, step)
        caller = scene.execution.caller_at(frame, step)
        if caller is None or entered is None:
            return
        frame, step = caller, entered.step


def _in(pair: tuple[Access, Access], frame: Frame, steps: tuple[int, int], told: tuple[str, Scalar]) -> Decision | None:
    (read, write), (column, seen) = pair, told
    scene = read.scene
    ran, wrote_at = scene.line_before(frame, steps[0]), scene.line_before(frame, steps[1])
    if ran is None or wrote_at is None or ran >= wrote_at:
        return None
    statement, last = scene.statement(frame, scene.step(ran).line), scene.statement(frame, scene.step(wrote_at).line)
    if statement is None or last is None:
        return None
    found = Decision(
        read, write, frame, ran, ran, scene.step(ran).line, scene.step(wrote_at).line, wrote_at, column, "", None, seen
    )  # fmt: skip
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            found.name = name
            history = scene.execution.history(frame, name)
            held = next((one for one in history if read.ended <= one.written_at <= wrote_at), None)
            if held is None:
                return None
            found.value, found.until = held.value, held.written_at
        case ast.If(test=test) | ast.While(test=test) | ast.Assert(test=test):
            _inline_item(found, test) if read.node is not None and read.frame is frame else _inline(
                found, test, steps[0]
            )
        case _:
            return None
    if found.name:
        _followed(found, last)
    return found


def _inline(found: Decision, test: ast.expr, step: int) -> None:
    """``if pieces_left(sku) < quantity:``"""
    scene, entered = found.scene, None
    for frame, at in _above(scene, found.read.frame, found.read.step.index):
        if frame is found.frame:
            break
        entered = (frame, at)
    done = scene.returned(entered[0], found.wrote_at) if entered is not None else None
    if entered is None or done is None or done.value is None:
        return
    start = scene.execution.entered_at(entered[0], entered[0].first_step)
    place = scene.place(found.frame.process, found.frame.code, start.call_site) if start is not None else None
    for call in [one for one in ast.walk(test) if isinstance(one, ast.Call)]:
        if place is not None and (call.lineno, call.col_offset, call.end_col_offset) == (
            place.line,
            place.column,
            place.end_column,
        ):
            found.value, found.until = done.value, done.index
            copy = ast.parse(ast.unparse(test).replace(ast.unparse(call), _READ), mode="eval").body
            found.tests.append(Test(max(step, found.ran), found.line, copy))


def _inline_item(found: Decision, test: ast.expr) -> None:
    """``if self.stock[sku] < quantity:``"""
    if found.read.node is None or found.read.got is None:
        return
    found.value = found.read.got
    copy = ast.parse(ast.unparse(test).replace(ast.unparse(found.read.node), _READ), mode="eval").body
    found.tests.append(Test(found.ran, found.line, copy))


def _followed(found: Decision, last: ast.stmt) -> None:
    scene = found.scene
    names = {found.name}
    for index in scene.steps_between(found.frame, found.until - 1, found.wrote_at):
        step = scene.step(index)
        statement = scene.statement(found.frame, step.line) if step.kind is StepKind.LINE else None
        match statement:
            case ast.If(test=test) | ast.While(test=test) | ast.Assert(test=test) if names & _names(test):
                found.tests.append(Test(index, step.line, test))
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if names & _names(value):
                names.add(name)
            case _:
                pass
    change = found.write.change(found.column)
    plain = change is not None and not change.sign
    found.computed = plain and bool(names & _names(last))


def _computed(found: Decision) -> Iterator[tuple[int, str]]:
    names = {found.name}
    for index in found.scene.steps_between(found.frame, found.until - 1, found.wrote_at):
        step = found.scene.step(index)
        statement = found.scene.statement(found.frame, step.line) if step.kind is StepKind.LINE else None
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if names & _names(value):
                names.add(name)
                yield index, name
            case _:
                pass


def _names(node: ast.AST) -> set[str]:
    """Names in a statement's own line: of a ``with`` not those of the block below it."""
    if isinstance(node, ast.With | ast.AsyncWith):
        return {name for one in node.items for name in _names(one)}
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def _changed(value: Value, found: Decision, now: Scalar) -> Value:
    """The value as it would have been read with another number in the column. NotCaptured: not known how."""
    whole = content(value)
    new = operators.make(now)
    if whole.kind is ValueKind.SCALAR and whole.scalar == found.seen:
        return new
    if whole.kind is ValueKind.MAPPING:
        hit = [(key, one) for key, one in whole.entries if f"{key.scalar!s}".lower() == found.column]
        if len(hit) == 1:
            entries = tuple((key, new if key is hit[0][0] else one) for key, one in whole.entries)
            return Value(whole.kind, whole.type, entries=entries, size=whole.size)
    columns = found.read.statement.columns
    if whole.kind is ValueKind.SEQUENCE and len(whole.items) == len(columns) and "*" not in columns:
        at = columns.index(found.column)
        return Value(whole.kind, whole.type, items=(*whole.items[:at], new, *whole.items[at + 1 :]), size=whole.size)
    raise operators.NotCaptured("what was read")

"""What a request did with rows that others may work on too: which statement, on which row, when, and what it saw.

A row is known by the statement's own text and the parameters at its call. Times are those of the span around the
statement, on the clock of its host: what was done was done between them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from aftertrace.explain import statements, texts
from aftertrace.explain.scene import Point, Scene
from aftertrace.explain.statements import Change, Statement, Term
from aftertrace.model import Scalar, Span, Value, ValueKind
from aftertrace.reconstruct.execution import Frame, Process, Step, StepKind
from aftertrace.wire.equality import content

_MOST = 400  # statements of one request
_EXECUTES = {"execute", "fetchone", "fetchall", "fetchval", "fetchrow", "fetch", "scalar", "scalar_one", "first", "one"}
_ALSO = {"int", "float", "cursor", "connect"}

type Row = tuple[str, frozenset[tuple[str, Scalar]]]  # a table, and the columns that name the row


@dataclass(frozen=True, slots=True)
class Access:
    """One statement of a request on one row; ``start_ns`` and ``end_ns`` on its host's clock."""

    scene: Scene
    span: Span
    frame: Frame
    step: Step  # where it began
    ended: int  # index of the step where it had ended
    call: ast.Call
    statement: Statement
    given: tuple[Scalar | None, ...] | dict[str, Scalar] | None  # parameters; None: not recorded

    @property
    def process(self) -> Process:
        return self.scene.execution.processes[self.frame.process]

    @property
    def start_ns(self) -> int:
        return self.span.start_ns

    @property
    def end_ns(self) -> int:
        return self.span.end_ns

    @property
    def writes(self) -> bool:
        return self.statement.verb != "SELECT"

    def worth(self, term: Term) -> Scalar:
        """What a term was worth; None where that is not recorded."""
        if term.name:
            return self.given.get(term.name) if isinstance(self.given, dict) else None
        if term.place >= 0:
            known = isinstance(self.given, tuple) and term.place < len(self.given)
            return self.given[term.place] if known and isinstance(self.given, tuple) else None
        return term.literal

    def equal(self) -> frozenset[tuple[str, Scalar]]:
        """What it compares for equality."""
        return frozenset((one.column, self.worth(one.term)) for one in self.statement.where if one.sign == "=")

    def row(self) -> Row | None:
        """The row that it names by nothing but equality; None when not all of it is known."""
        equal = self.equal()
        if len(equal) != len(self.statement.where) or any(value is None for _, value in equal):
            return None
        return self.statement.table, equal

    def touches(self, row: Row) -> bool:
        """Whether it works on that row, or on that row if more holds of it."""
        return self.statement.table == row[0] and row[1] <= self.equal()

    def guarded(self, row: Row) -> bool:
        """Whether it works on that row only if more holds of it."""
        return len(self.statement.where) > len(row[1])

    def change(self, column: str) -> Change | None:
        return next((one for one in self.statement.changes if one.column == column), None)

    def applied(self, column: str, before: Scalar) -> Scalar:
        """What it makes of a column; None when that is not known."""
        change = self.change(column)
        worth = self.worth(change.term) if change is not None and change.term is not None else None
        if change is None or worth is None or not change.sign:
            return worth
        if not _number(before) or not _number(worth):
            return None
        return before + worth if change.sign == "+" else before - worth  # type: ignore[operator]

    def seen(self, column: str) -> Scalar:
        """What it read of a column; None when that is not recorded."""
        value = self._result()
        return _column(content(value), self.statement.columns, column) if value is not None else None

    def _result(self) -> Value | None:
        scene, statement = self.scene, self.scene.statement(self.frame, self.step.line)
        if statement is None or any(texts.called(one) not in _EXECUTES | _ALSO for one in _calls(statement)):
            return None
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                history = scene.execution.history(self.frame, name)
                return next((one.value for one in history if one.written_at >= self.ended), None)
            case ast.Return():
                done = scene.returned(self.frame, len(scene.execution.steps))
                return done.value if done is not None else None
            case _:
                return None


def accesses(scene: Scene) -> list[Access]:
    """A request's readable statements, in order."""
    ends = {step.span_id: step.index for step in scene.execution.steps if step.kind is StepKind.SPAN_END}
    found = list[Access]()
    for step in scene.execution.steps:
        if step.kind is StepKind.SPAN_START and step.activation and len(found) < _MOST and step.span_id in ends:
            access = _access(scene, step, ends[step.span_id])
            found += [access] if access is not None else []
    return found


def _access(scene: Scene, step: Step, ended: int) -> Access | None:
    span, frame = scene.execution.spans.get(step.span_id), scene.execution.frame(step)
    text = span.attributes.get("db.query.text") if span is not None else None
    if span is None or frame is None or not isinstance(text, str) or not span.end_ns:
        return None
    if span.status.name == "ERROR":
        return None  # it did nothing
    read = statements.read(text)
    ran = scene.line_before(frame, step.index)
    statement = scene.statement(frame, step.line)
    if read is None or ran is None or statement is None:
        return None
    calls = [one for one in _calls(statement) if one.args and _says(scene, frame, one.args[0], text, ran)]
    if len(calls) != 1:
        return None
    given = _given(scene, Point(frame, calls[0], ran, step.index), calls[0])
    return Access(scene, span, frame, step, ended, calls[0], read, given)


def _calls(statement: ast.stmt) -> Iterator[ast.Call]:
    """Calls of a statement's own line, not of the block below it."""
    if isinstance(statement, ast.If | ast.While):
        return iter(list(texts.calls(statement.test)))
    if isinstance(statement, ast.With | ast.AsyncWith | ast.For | ast.AsyncFor | ast.Try):
        return iter(())
    return iter(list(texts.calls(statement)))


def _says(scene: Scene, frame: Frame, node: ast.expr, text: str, ran: int) -> bool:
    value = scene.evaluate(Point(frame, node, ran, ran), node)
    held = content(value).scalar if value is not None else None
    return isinstance(held, str) and held.split() == text.split()


def _given(scene: Scene, point: Point, call: ast.Call) -> tuple[Scalar | None, ...] | dict[str, Scalar] | None:
    if len(call.args) < 2:
        return ()
    if isinstance(call.args[1], ast.Tuple | ast.List):  # each for itself: one that is not known hides no other
        return tuple(_scalar(scene.evaluate(point.to(one), one)) for one in call.args[1].elts)
    value = scene.evaluate(point.to(call.args[1]), call.args[1])
    if value is None:
        return None
    if value.kind is ValueKind.SEQUENCE and value.size == len(value.items):
        return tuple(_scalar(one) for one in value.items)
    if value.kind is ValueKind.MAPPING:
        return {f"{key.scalar!s}": _scalar(one) for key, one in value.entries}
    return None


def _scalar(value: Value | None) -> Scalar:
    """None where it is not recorded whole; SQL's NULL equals nothing either."""
    if value is None or value.missing is not None:
        return None
    value = content(value)
    return value.scalar if value.kind is ValueKind.SCALAR else None


def _column(value: Value, columns: tuple[str, ...], column: str) -> Scalar:
    if value.kind is ValueKind.MAPPING:
        return next((_scalar(one) for key, one in value.entries if f"{key.scalar!s}".lower() == column), None)
    if value.kind is ValueKind.SEQUENCE and len(value.items) == 1 and value.items[0].kind is not ValueKind.SCALAR:
        return _column(content(value.items[0]), columns, column)
    if column not in columns or "*" in columns:
        return None
    if value.kind is ValueKind.SEQUENCE and len(value.items) == len(columns):
        return _scalar(value.items[columns.index(column)])
    return _scalar(value) if len(columns) == 1 else None


def _number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

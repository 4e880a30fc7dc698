"""One look at something that several requests may work on, or one change of it: a row of a database, a key of Redis, an
attribute or entry of an object in memory. All are told in the words of SQL: a SELECT or an UPDATE of what is named by
equality.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from aftertrace.explain import texts
from aftertrace.explain.scene import Scene
from aftertrace.explain.statements import Change, Statement, Term
from aftertrace.model import Scalar, Value, ValueKind
from aftertrace.reconstruct.execution import Frame, Process, Step
from aftertrace.wire.equality import content

_EXECUTES = {"execute", "fetchone", "fetchall", "fetchval", "fetchrow", "fetch", "scalar", "scalar_one", "first", "one"}
_ALSO = {"int", "float", "cursor", "connect"}
_COMPUTES = (ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.Lambda, ast.comprehension)
VALUE = "value"  # the column of a key and of an item

type Row = tuple[str, frozenset[tuple[str, Scalar]]]  # a table, and the columns that name the row


@dataclass(frozen=True, slots=True)
class Access:
    """What was done lay between ``start_ns`` and ``end_ns`` of its host's clock."""

    scene: Scene
    frame: Frame
    step: Step  # where it began
    ended: int  # index of the step where it had ended
    start_ns: int
    end_ns: int
    statement: Statement
    given: tuple[Scalar | None, ...] | dict[str, Scalar] | None  # parameters; None: not recorded
    method: str = ""  # of a key: what was called to read it
    label: str = ""  # of what is no row: ``redis[stock:7]``, ``self.stock['A']``
    node: ast.expr | None = None  # of an item: the expression that reads it
    got: Value | None = None  # of an item: what it gave

    @property
    def process(self) -> Process:
        return self.scene.execution.processes[self.frame.process]

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
        if not is_number(before) or not is_number(worth):
            return None
        return before + worth if change.sign == "+" else before - worth  # type: ignore[operator]

    def seen(self, column: str) -> Scalar:
        """What it read of a column; None when that is not recorded."""
        if self.node is not None:
            return scalar(self.got)
        value = self._result()
        if value is None:
            return None
        return number(scalar(value)) if self.method else _column(content(value), self.statement.columns, column)

    def _result(self) -> Value | None:
        scene, statement = self.scene, self.scene.statement(self.frame, self.step.line)
        if statement is None or any(texts.called(one) not in self._reading() for one in own_calls(statement)):
            return None
        if any(isinstance(one, _COMPUTES) for one in texts.own_nodes(statement)):
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

    def _reading(self) -> set[str]:
        return {self.method, "int", "float"} if self.method else _EXECUTES | _ALSO


def own_calls(statement: ast.stmt) -> Iterator[ast.Call]:
    """Calls of a statement's own line, not of the block below it."""
    if isinstance(statement, ast.If | ast.While):
        return iter(list(texts.calls(statement.test)))
    if isinstance(statement, ast.With | ast.AsyncWith | ast.For | ast.AsyncFor | ast.Try):
        return iter(())
    return iter(list(texts.calls(statement)))


def scalar(value: Value | None) -> Scalar:
    """None where it is not recorded whole; SQL's NULL equals nothing either."""
    if value is None or value.missing is not None:
        return None
    value = content(value)
    return value.scalar if value.kind is ValueKind.SCALAR else None


def _column(value: Value, columns: tuple[str, ...], column: str) -> Scalar:
    if value.kind is ValueKind.MAPPING:
        return next((scalar(one) for key, one in value.entries if f"{key.scalar!s}".lower() == column), None)
    if value.kind is ValueKind.SEQUENCE and len(value.items) == 1 and value.items[0].kind is not ValueKind.SCALAR:
        return _column(content(value.items[0]), columns, column)
    if column not in columns or "*" in columns:
        return None
    if value.kind is ValueKind.SEQUENCE and len(value.items) == len(columns):
        return scalar(value.items[columns.index(column)])
    return scalar(value) if len(columns) == 1 else None


def is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(value: Scalar) -> Scalar:
    """Redis gives text for numbers."""
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        return value
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text

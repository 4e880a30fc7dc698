"""Expressions over recorded values: ``cart.lines[0].price > 10 and "CH" in region``.

Parsed by Python's own parser, evaluated here over `Value`s: nothing of the recorded program is run, imported or
called. What was not captured is an answer of its own, with its reason, and never a wrong value.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aftertrace.errors import UsageError
from aftertrace.model import Value, ValueKind
from aftertrace.reconstruct import comparison, functions, operators
from aftertrace.reconstruct.operators import NotCaptured, make, plain, truth

type Lookup = Callable[[str], Value | None]

_LIMIT = 1000  # code points of an expression
_DEPTH = 50  # nested nodes


@dataclass(frozen=True, slots=True)
class Result:
    """``value``, or None and in ``unknown`` why it cannot be said from what was recorded."""

    value: Value | None
    unknown: str = ""


def evaluate(text: str, lookup: Lookup) -> Result:
    """What an expression comes to; ``lookup`` gives the value of a name, or None. UsageError: where and why."""
    return Expression(text).evaluate(lookup)


class Expression:
    """An expression, parsed once. UsageError: not one that can be evaluated over a recording."""

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        self._body = _parse(self.text)
        _refuse_unknown(self.text, self._body)

    def evaluate(self, lookup: Lookup) -> Result:
        try:
            return Result(_Evaluation(self.text, lookup).value(self._body))
        except NotCaptured as missing:
            return Result(None, str(missing))

    def holds(self, lookup: Lookup) -> bool:
        """Whether it is provably true; names that are not there make it false."""
        try:
            result = self.evaluate(lookup)
            return result.value is not None and truth(result.value)
        except (UsageError, NotCaptured):
            return False


def _parse(text: str) -> ast.expr:
    if len(text) > _LIMIT:
        raise UsageError(
            "bad-expression", f"The expression is longer than {_LIMIT} characters.", "Ask for a part of it."
        )
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise _refuse(text, max((error.offset or 1) - 1, 0), error.msg) from None
    except (ValueError, RecursionError, MemoryError):
        raise _refuse(text, 0, "it cannot be parsed") from None


def _column(text: str, node: ast.AST) -> int:
    """In code points: the parser counts bytes."""
    return len(text.encode(errors="replace")[: getattr(node, "col_offset", 0)].decode(errors="replace"))


def _refuse(text: str, column: int, why: str) -> UsageError:
    where = f" at column {column + 1}" if column else ""
    shown = text if len(text) <= 80 else text[:77] + "..."
    return UsageError(
        "bad-expression",
        f"{shown!r}: {why}{where}.",
        "Names, attributes, [..], comparisons, and/or/not, in, arithmetic, and "
        f"{', '.join(sorted(functions.FUNCTIONS))} can be asked.",
    )


_KNOWN = (
    ast.Name, ast.Constant, ast.Attribute, ast.Subscript, ast.Slice, ast.Compare, ast.BoolOp, ast.UnaryOp, ast.BinOp,
    ast.IfExp, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.Call,
    ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip


def _refuse_unknown(text: str, body: ast.expr) -> None:
    """Before anything is evaluated, so that what cannot be asked is refused however the values stand."""
    stack: list[tuple[ast.AST, int]] = [(body, 0)]
    while stack:
        node, depth = stack.pop()
        column = _column(text, node)
        if not isinstance(node, _KNOWN):
            raise _refuse(text, column, f"{_called(node)} cannot be asked of a recording")
        if depth > _DEPTH:
            raise _refuse(text, column, "it is nested too deeply")
        if isinstance(node, ast.Call):
            if not isinstance(node.func, ast.Name) or node.func.id not in functions.FUNCTIONS:
                name = ast.unparse(node.func) if depth < 20 else "this"
                raise _refuse(text, column, f"{name}() cannot be called: recorded code is not run")
            if node.keywords:
                raise _refuse(text, column, f"{node.func.id}() takes no keywords here")
        stack.extend((child, depth + 1) for child in ast.iter_child_nodes(node))


def _called(node: ast.AST) -> str:
    names = {ast.Lambda: "a lambda", ast.Await: "await", ast.NamedExpr: ":=", ast.JoinedStr: "an f-string"}
    if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        return "a comprehension"
    return names.get(type(node), type(node).__name__)


class _Evaluation:
    def __init__(self, text: str, lookup: Lookup) -> None:
        self._text = text
        self._lookup = lookup

    def value(self, node: ast.expr) -> Value:
        """The node's value. UsageError with its position; NotCaptured."""
        try:
            return self._value(node)
        except (operators.Refused, ZeroDivisionError, OverflowError, ValueError) as error:
            raise _refuse(self._text, _column(self._text, node), str(error)) from None

    def _value(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=constant):
                return make(constant) if constant is not ... else Value(ValueKind.SCALAR, "ellipsis")
            case ast.Name(id=name):
                return self._name(node, name)
            case ast.Attribute() | ast.Subscript():
                return self._part(node)
            case ast.UnaryOp() | ast.BinOp() | ast.Compare():
                return self._computed(node)
            case ast.BoolOp(op=op, values=parts):
                return self._boolean(isinstance(op, ast.And), parts)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.value(body) if truth(self.value(test)) else self.value(orelse)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return functions.FUNCTIONS[name]([self.value(argument) for argument in arguments])
            case _:
                return self._display(node)

    def _part(self, node: ast.expr) -> Value:
        match node:
            case ast.Attribute(value=inner, attr=name):
                return operators.attribute(self.value(inner), name)
            case ast.Subscript(value=inner, slice=ast.Slice(lower=lower, upper=upper, step=step)):
                return operators.slice_of(self.value(inner), self._bound(lower), self._bound(upper), self._bound(step))
            case ast.Subscript(value=inner, slice=index):
                return comparison.item(self.value(inner), self.value(index))
            case _:
                raise AssertionError(node)

    def _computed(self, node: ast.expr) -> Value:
        match node:
            case ast.UnaryOp(op=unary, operand=operand):
                return operators.unary(unary, self.value(operand))
            case ast.BinOp(left=left, op=operator, right=right):
                return operators.binary(operator, self.value(left), self.value(right))
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._compare(left, ops, others)
            case _:
                raise AssertionError(node)

    def _name(self, node: ast.Name, name: str) -> Value:
        value = self._lookup(name)
        if value is None:
            raise _refuse(self._text, _column(self._text, node), f"no value of {name!r} is recorded here")
        return value

    def _bound(self, node: ast.expr | None) -> int | None:
        if node is None:
            return None
        bound = plain(self.value(node))
        if bound is not None and not isinstance(bound, int):
            raise operators.Refused("a slice needs whole numbers")
        return bound

    def _boolean(self, both: bool, parts: Sequence[ast.expr]) -> Value:
        """Python's own value and short circuit; an unknown part does not hide a known outcome."""
        unknown: NotCaptured | None = None
        result = make(both)
        for part in parts:
            try:
                result = self.value(part)
                if truth(result) is not both:
                    if unknown is not None:  # true or false it is, but which value would be guessing
                        return make(not both)
                    return result
            except NotCaptured as missing:
                unknown = unknown or missing
        if unknown is not None:
            raise unknown
        return result

    def _compare(self, left: ast.expr, ops: Sequence[ast.cmpop], others: Sequence[ast.expr]) -> Value:
        before = self.value(left)
        for op, other in zip(ops, others, strict=True):
            after = self.value(other)
            if not comparison.compare(op, before, after):
                return make(False)
            before = after
        return make(True)

    def _display(self, node: ast.expr) -> Value:
        match node:
            case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
                if any(isinstance(part, ast.Starred) for part in parts):
                    raise operators.Refused("* cannot be asked of a recording")
                items = tuple(self.value(part) for part in parts)
                return Value(ValueKind.SEQUENCE, type(node).__name__.lower(), items=items, size=len(items))
            case ast.Dict(keys=keys, values=values) if None not in keys:
                pairs = [(self.value(key), self.value(value)) for key, value in zip(keys, values, strict=True) if key]
                return Value(ValueKind.MAPPING, "dict", entries=tuple(pairs), size=len(pairs))
            case _:
                raise operators.Refused(f"{_called(node)} cannot be asked of a recording")

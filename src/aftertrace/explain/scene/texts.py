"""Sources as they ran, parsed: which expression an instruction stands for, which statement gave a name its value."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from aftertrace.explain.scene.likeness import Key, Keys
from aftertrace.reconstruct.execution import Code
from aftertrace.wire.linetable import Place

type Function = ast.FunctionDef | ast.AsyncFunctionDef
type How = Literal["assigned", "item", "entered", "changed", "caught", "defined"]

_LIMIT = 5_000_000  # code points of a source that is parsed
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@dataclass(frozen=True, slots=True)
class Given:
    """How a statement gives a name its value: what is at ``keys`` of ``source``.

    ``item``: one of the items of source; ``entered``: what the context manager gives; ``changed``: computed from the
    name's own value and source (``+=``); ``caught``: an exception; ``defined``: a def, class or import.
    """

    statement: ast.stmt
    how: How
    source: ast.expr | None = None
    keys: Keys = ()


class Text:
    """One source file. Hostile text gives an empty tree."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.tree = _parse(text)
        self._parents: dict[ast.AST, ast.AST] = {}
        self._by_range: dict[Place, list[ast.AST]] = {}
        for node in ast.walk(self.tree):
            for child in ast.iter_child_nodes(node):
                if not isinstance(child, ast.expr_context | ast.operator | ast.cmpop | ast.boolop | ast.unaryop):
                    self._parents[child] = node
            place = _range(node)
            if place is not None:
                self._by_range.setdefault(place, []).append(node)

    def line(self, number: int) -> str:
        return self.lines[number - 1].strip() if 0 < number <= len(self.lines) else ""

    def parent(self, node: ast.AST) -> ast.AST | None:
        return self._parents.get(node)

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around one, innermost first, up to the scope that it belongs to."""
        current = self._parents.get(node)
        while current is not None:
            yield current
            if isinstance(current, _SCOPES):
                return
            current = self._parents.get(current)

    def statement(self, node: ast.AST) -> ast.stmt | None:
        """The statement that an expression belongs to."""
        return (
            node if isinstance(node, ast.stmt) else next((n for n in self.above(node) if isinstance(n, ast.stmt)), None)
        )

    def at(self, place: Place | None) -> ast.AST | None:
        """The outermost node that stands exactly at a place."""
        found = self._by_range.get(place, []) if place is not None else []
        found = [one for one in found if not isinstance(one, ast.Expr)]
        return found[0] if found else None

    def function(self, code: Code) -> ast.AST | None:
        """The node whose code this is."""
        if code.name == "<module>":
            return self.tree
        for node in ast.walk(self.tree):
            if _is_code(node, code):
                return node
        return None

    def statements(self, scope: ast.AST, line: int) -> list[ast.stmt]:
        """Statements of a scope to whose own text a line belongs (of a block: its head), innermost and last first."""
        found = [one for one in _statements(scope) if one.lineno <= line <= _own_end(one)]
        return sorted(found, key=lambda one: (one.lineno, one.col_offset), reverse=True)

    def given(self, scope: ast.AST, line: int, name: str) -> Given | None:
        """How the code on a line gives a name its value."""
        for statement in self.statements(scope, line):
            for given in _gives(statement, name):
                return given
        return None


def _parse(text: str) -> ast.Module:
    try:
        return ast.parse(text if len(text) <= _LIMIT else "")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module(body=[], type_ignores=[])


def _range(node: ast.AST) -> Place | None:
    if not isinstance(node, ast.expr | ast.stmt) or node.end_lineno is None or node.end_col_offset is None:
        return None
    return Place(node.lineno, node.end_lineno, node.col_offset, node.end_col_offset)


def _is_code(node: ast.AST, code: Code) -> bool:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            return node.name == code.name and first == code.first_line
        case ast.Lambda():
            return code.name == "<lambda>" and node.lineno == code.first_line
        case ast.GeneratorExp() | ast.ListComp() | ast.SetComp() | ast.DictComp():
            return (
                code.name in {"<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>"} and node.lineno == code.first_line
            )
        case _:
            return False


def _statements(scope: ast.AST) -> Iterator[ast.stmt]:
    """Those of a scope, nested blocks included, nested scopes left out."""
    stack: list[ast.AST] = [scope]
    while stack:
        for child in ast.iter_child_nodes(stack.pop()):
            if isinstance(child, ast.stmt):
                yield child
            if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case) and not isinstance(child, _SCOPES):
                stack.append(child)


def _own_end(statement: ast.stmt) -> int:
    """Last line of a statement, of a block the last of its head."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return max(statement.body[0].lineno - 1, statement.lineno)
    inner = [n.lineno for n in ast.iter_child_nodes(statement) if isinstance(n, ast.stmt | ast.excepthandler)]
    inner += [n.pattern.lineno for n in ast.iter_child_nodes(statement) if isinstance(n, ast.match_case)]
    end = statement.end_lineno or statement.lineno
    return max(min(inner) - 1, statement.lineno) if inner else end


def _gives(statement: ast.stmt, name: str) -> Iterator[Given]:
    match statement:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _unpacked(statement, target, value, name)
        case ast.AnnAssign(target=ast.Name(id=known), value=ast.expr() as value) if known == name:
            yield Given(statement, "assigned", value)
        case ast.AugAssign(target=ast.Name(id=known), value=value) if known == name:
            yield Given(statement, "changed", value)
        case ast.For(target=target, iter=source) | ast.AsyncFor(target=target, iter=source):
            for keys in _target_keys(target, name):
                yield Given(statement, "item", source, keys)
        case ast.With(items=items) | ast.AsyncWith(items=items):
            for item in items:
                for keys in _target_keys(item.optional_vars, name):
                    yield Given(statement, "entered", item.context_expr, keys)
        case ast.Try(handlers=handlers) if any(handler.name == name for handler in handlers):
            yield Given(statement, "caught")
        case ast.FunctionDef(name=known) | ast.AsyncFunctionDef(name=known) | ast.ClassDef(name=known) if known == name:
            yield Given(statement, "defined")
    yield from _gives_inside(statement, name)


def _gives_inside(statement: ast.stmt, name: str) -> Iterator[Given]:
    """``:=`` and the variables of comprehensions."""
    for node in own_nodes(statement):
        match node:
            case ast.NamedExpr(target=ast.Name(id=known), value=value) if known == name:
                yield Given(statement, "assigned", value)
            case ast.comprehension(target=target, iter=source):
                for keys in _target_keys(target, name):
                    yield Given(statement, "item", source, keys)


def own_nodes(statement: ast.stmt) -> Iterator[ast.AST]:
    """The expressions of a statement, of a block those of its head."""
    stack: list[ast.AST] = [statement]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(
            n for n in ast.iter_child_nodes(node) if not isinstance(n, ast.stmt | ast.excepthandler | ast.match_case)
        )


def _unpacked(statement: ast.stmt, target: ast.expr, value: ast.expr, name: str) -> Iterator[Given]:
    """``a, b = x, y`` names the very expression; ``a, b = pair`` an item of it."""
    if isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List):
        plain = not any(isinstance(one, ast.Starred) for one in [*target.elts, *value.elts])
        if plain and len(target.elts) == len(value.elts):
            for inner, source in zip(target.elts, value.elts, strict=True):
                yield from _unpacked(statement, inner, source, name)
            return
    for keys in _target_keys(target, name):
        yield Given(statement, "assigned", value, keys)


def _target_keys(target: ast.expr | None, name: str) -> Iterator[Keys]:
    match target:
        case ast.Name(id=known) if known == name:
            yield ()
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            starred = next((n for n, one in enumerate(parts) if isinstance(one, ast.Starred)), len(parts))
            for number, one in enumerate(parts):
                index = number if number < starred else number - len(parts)
                yield from ((Key(index), *rest) for rest in _target_keys(one, name))


def calls(node: ast.AST) -> list[ast.Call]:
    """The calls in an expression, outermost first."""
    return [one for one in ast.walk(node) if isinstance(one, ast.Call)]


def called(call: ast.Call) -> str:
    """The last name of what is called: ``place`` for ``orders.place(...)``; "" when it has none."""
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def root(node: ast.AST) -> ast.expr | None:
    """``order`` of ``order.lines[0].price`` and of ``order.total()``."""
    while True:
        match node:
            case (
                ast.Attribute(value=inner)
                | ast.Subscript(value=inner)
                | ast.Await(value=inner)
                | ast.Starred(value=inner)
            ):
                node = inner
            case ast.Call(func=ast.Attribute(value=inner)):
                node = inner
            case ast.expr():
                return node
            case _:
                return None


def inputs(node: ast.AST) -> list[ast.expr]:
    """The names, attributes, items and calls of which an expression is made, each as large as it stands there."""
    found: list[ast.expr] = []
    stack: list[ast.AST] = [node]
    while stack:
        one = stack.pop()
        match one:
            case ast.Name() | ast.Attribute() | ast.Subscript() | ast.Await() | ast.Call():
                found.append(one)
            case ast.Lambda():
                pass
            case _:
                stack.extend(reversed(list(ast.iter_child_nodes(one))))
    return found


def arguments(call: ast.Call) -> Sequence[ast.expr]:
    """All that is passed, positional before keyword."""
    return [
        *(one.value if isinstance(one, ast.Starred) else one for one in call.args),
        *(k.value for k in call.keywords),
    ]


_WITH_DEFAULT = {"get", "pop", "setdefault"}  # methods (key, default)


@dataclass(frozen=True, slots=True)
class Lookup:
    """A call that gives what a container holds, or a default."""

    container: ast.expr
    key: ast.expr | None
    default: ast.expr


def lookup(call: ast.Call) -> Lookup | None:
    """``d.get(key, default)``, ``getattr(x, name, default)``, ``next(it, default)`` and their like."""
    none = ast.Constant(None, lineno=call.lineno, col_offset=call.col_offset)
    by_name = next((one.value for one in call.keywords if one.arg == "default"), None)
    match call:
        case ast.Call(func=ast.Name(id="getattr"), args=[container, key, default]):
            return Lookup(container, key, default)
        case ast.Call(func=ast.Name(id="next"), args=[container, default]):
            return Lookup(container, None, default)
        case ast.Call(func=ast.Name(id="min" | "max"), args=[container]) if by_name is not None:
            return Lookup(container, None, by_name)
        case ast.Call(func=ast.Name(id="getenv") | ast.Attribute(attr="getenv"), args=[key, *more]):
            return Lookup(call.func, key, more[0] if more else by_name or none)
        case ast.Call(func=ast.Attribute(value=container, attr=method), args=[key, *more]) if method in _WITH_DEFAULT:
            if method == "pop" and not more:
                return None
            return Lookup(container, key, more[0] if more else by_name or none)
        case _:
            return None

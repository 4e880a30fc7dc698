"""From a query's text to its tree, or to an error that points at the character."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aftertrace.errors import AftertraceError, NotInstalled, UsageError
from aftertrace.traceql import checks, fields
from aftertrace.traceql.refusals import refusal
from aftertrace.traceql.tree import (
    LEVEL,
    And,
    Below,
    Both,
    Comparison,
    Condition,
    Constant,
    Either,
    Field,
    Filter,
    Kind,
    Length,
    Level,
    Not,
    Operand,
    Or,
    Query,
    Spansets,
    comparisons,
)
from aftertrace.traceql.tree import fields as fields_of
from aftertrace.traceql.wrong import wrong

if TYPE_CHECKING:
    from lark import Lark, Token

LONGEST = 2000  # code points of a query
DEEPEST = 30  # nested && || ! >>
_UNIT = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h|d)")
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_UNITS["d"] = 24 * _UNITS["h"]
_ORDER = (Level.SPAN, Level.CALL, Level.STEP)
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def parse(text: str) -> Query:
    """Raises UsageError, which points at the place; NotInstalled, without the server's parts."""
    if len(text) > LONGEST:
        raise UsageError("bad-query", f"The query is longer than {LONGEST} characters.", "Ask for a part of it.")
    bad = next((at for at, one in enumerate(text) if "\ud800" <= one <= "\udfff"), None)
    if bad is not None:
        raise wrong(text.encode("utf-8", "replace").decode(), bad, "the text is not UTF-8")
    try:
        from lark.exceptions import UnexpectedInput, VisitError  # noqa: PLC0415  # of the server extra
    except ImportError:
        raise NotInstalled(
            "no-server-parts", "Queries are read by the server's parts.", "pip install 'aftertrace[server]'"
        ) from None
    try:
        root = _Maker(text).made(_grammar().parse(text))
    except UnexpectedInput as error:
        raise refusal(text, error) from None
    except VisitError as error:
        if isinstance(error.orig_exc, AftertraceError):
            raise error.orig_exc from None
        raise
    return Query(text, root)


@lru_cache(maxsize=1)
def _grammar() -> Lark:
    from lark import Lark  # noqa: PLC0415

    return Lark(Path(__file__).with_name("traceql.lark").read_text(), parser="lalr", lexer="contextual")


class _Maker:
    """Lark's tree to ours: from the leaves up, without recursion."""

    def __init__(self, text: str) -> None:
        self._query = text

    def made(self, tree: Any) -> Spansets:
        from lark.visitors import Transformer_NonRecursive  # noqa: PLC0415

        self._refuse_deep(tree)
        # A class of lark's own cannot be a base here: it is not there on the light install.
        transformer: Any = Transformer_NonRecursive(visit_tokens=False)
        for name in ("word", "function", "number", "duration", "text", "raw_text", "comparison", "negation"):
            setattr(transformer, name, getattr(self, f"_{name}"))
        for name in ("conjunction", "disjunction", "filter", "both", "either", "child", "descendant"):
            setattr(transformer, name, getattr(self, f"_{name}"))
        found: Spansets = transformer.transform(tree)
        return found

    def _refuse_deep(self, tree: Any) -> None:
        stack = [(tree, 0)]
        while stack:
            node, depth = stack.pop()
            if depth > DEEPEST:
                at = next(node.scan_values(lambda _: True)).start_pos
                raise wrong(self._query, at, "it is nested too deeply")
            stack.extend((child, depth + 1) for child in node.children if hasattr(child, "children"))

    # -- operands

    def _word(self, parts: list[Token]) -> Operand:
        return fields.read(self._query, str(parts[0]), _at(parts[0]))

    def _function(self, parts: list[Token]) -> Operand:
        name, inner = parts
        if name != "len":
            raise wrong(self._query, _at(name), f"there is no function {str(name)!r}, only len")
        of = fields.read(self._query, str(inner), _at(inner))
        if not isinstance(of, Field) or checks.kind_of(of) is not None:
            raise wrong(self._query, _at(inner), f"{of.text} has no length")
        return Length(of, _at(name), f"len({of.text})")

    def _number(self, parts: list[Token]) -> Operand:
        text = str(parts[0])
        value = int(text) if re.fullmatch(r"-?[0-9]+", text) else float(text)
        return Constant(Kind.NUMBER, value, _at(parts[0]), text)

    def _duration(self, parts: list[Token]) -> Operand:
        text = str(parts[0])
        nanoseconds = sum(round(float(amount) * _UNITS[unit]) for amount, unit in _UNIT.findall(text))
        return Constant(Kind.DURATION, -nanoseconds if text[0] == "-" else nanoseconds, _at(parts[0]), text)

    def _text(self, parts: list[Token]) -> Operand:
        return Constant(Kind.TEXT, fields.unescaped(str(parts[0])[1:-1]), _at(parts[0]), str(parts[0]))

    def _raw_text(self, parts: list[Token]) -> Operand:
        return Constant(Kind.TEXT, str(parts[0])[1:-1], _at(parts[0]), str(parts[0]))

    # -- conditions

    def _comparison(self, parts: list[Any]) -> Comparison:
        left, op, right = parts
        operator = str(op)
        if isinstance(left, Constant):
            if isinstance(right, Constant):
                raise wrong(self._query, left.at, "two constants are compared; one side is a field")
            left, right, operator = right, left, _TURNED.get(operator, operator)
        found = Comparison(left, operator, right, _at(op))  # type: ignore[arg-type]  # the grammar has no others
        checks.check(self._query, found)
        return found

    def _negation(self, parts: list[Any]) -> Condition:
        return Not(parts[1], _at(parts[0]))

    def _conjunction(self, parts: list[Any]) -> Condition:
        return And(tuple(parts[::2]), _at(parts[1]))

    def _disjunction(self, parts: list[Any]) -> Condition:
        return Or(tuple(parts[::2]), _at(parts[1]))

    # -- spansets

    def _filter(self, parts: list[Any]) -> Spansets:
        brace, condition = parts
        levels = [LEVEL[one.scope] for each in comparisons(condition) for one in fields_of(each)]
        return Filter(condition, max(levels, key=_ORDER.index, default=Level.SPAN), _at(brace))

    def _both(self, parts: list[Any]) -> Spansets:
        return Both(tuple(parts[::2]), _at(parts[1]))

    def _either(self, parts: list[Any]) -> Spansets:
        return Either(tuple(parts[::2]), _at(parts[1]))

    def _child(self, parts: list[Any]) -> Spansets:
        return Below(parts[0], parts[2], directly=True, at=_at(parts[1]))

    def _descendant(self, parts: list[Any]) -> Spansets:
        return Below(parts[0], parts[2], directly=False, at=_at(parts[1]))


def _at(token: Token) -> int:
    return token.start_pos or 0

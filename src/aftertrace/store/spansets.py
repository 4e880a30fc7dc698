"""What a query of the language (`aftertrace.traceql`) says of spans, as SQL over the table ``spans``.

``may``: the traces that may hold what is asked for; what only a recording tells is left out, so it is a condition that
must hold, not the answer. ``certain``: exactly the traces that hold it; spans alone must tell. Values are parameters.
Attributes are JSON texts (wire/attributes.py), so types are as they were sent; a map of them with a key that begins
with ``$`` is written in another way, and taken for unknown here.
"""

from __future__ import annotations

from aftertrace.errors import UsageError
from aftertrace.store.conditions import Conditions
from aftertrace.traceql import pattern
from aftertrace.traceql.tree import (
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
    Or,
    Query,
    Scope,
    Spansets,
)
from aftertrace.traceql.wrong import wrong

_KEPT = "trace_id IN (SELECT trace_id FROM kept)"
# Of these agents had more than they gave: their spans may be missing, too. Or none came.
_LACKING = """(trace_id IN (
    SELECT trace_id FROM coverage WHERE arrayExists(
        agent -> JSONExtractFloat(agent, 'answered_s') < 0 OR JSONLength(agent, 'overwritten') > 0,
        JSONExtractArrayRaw(data, 'agents')
    )
) OR trace_id NOT IN (SELECT trace_id FROM spans WHERE trace_id IN (SELECT trace_id FROM kept)))"""
_TEXTS = {
    "name": "name",
    "statusMessage": "status_message",
    "span:id": "lower(hex(span_id))",
    "span:parentID": "if(parent_id = toFixedString('', 8), '', lower(hex(parent_id)))",
    "trace:id": "lower(hex(trace_id))",
}
_NUMBERS = {"kind": "kind", "status": "status", "duration": "toInt64(end_ns) - toInt64(start_ns)"}
_REDACTED = "<redacted"  # begins what agents put in a secret's place (agent/patterns.py)


def may(query: Query, conditions: Conditions) -> str:
    """ "" where spans tell nothing."""
    return _Compiler(query, conditions, certain=False).traces(query.root) or ""


def certain(query: Query, conditions: Conditions) -> str:
    """Raises UsageError for what spans alone do not tell."""
    return _Compiler(query, conditions, certain=True).traces(query.root) or "1"


class _Compiler:
    """``None`` in place of SQL: it may be so, for all that spans tell."""

    def __init__(self, query: Query, conditions: Conditions, *, certain: bool) -> None:
        self._query = query
        self._conditions = conditions
        self._certain = certain

    # -- traces

    def traces(self, node: Spansets) -> str | None:
        match node:
            case Filter():
                return self._holding(node)
            case Below(left, right, at=at):
                if self._certain:
                    raise self._not_here(at, "how spans lie to each other")
                return _all([self.traces(left), self.traces(right)])
            case Both(parts):
                return _all([self.traces(part) for part in parts])
            case Either(parts):
                return _any([self.traces(part) for part in parts])

    def _holding(self, node: Filter) -> str | None:
        where = self._condition(node.condition, negated=False) if node.condition is not None else None
        if where is None and node.level is not Level.SPAN:
            return None
        final = " FINAL" if self._certain else ""  # a span that came twice counts as it ended
        within = f"trace_id IN (SELECT trace_id FROM spans{final} WHERE {_KEPT} AND ({where or '1'}))"
        return within if self._certain else f"({within} OR {_LACKING})"

    # -- conditions on one span

    def _condition(self, node: Condition, *, negated: bool) -> str | None:
        match node:
            case Comparison():
                return self._comparison(node, negated=negated)
            case Not(part):
                return self._condition(part, negated=not negated)
            case And(parts) | Or(parts):
                found = [self._condition(part, negated=negated) for part in parts]
                return _all(found) if isinstance(node, And) is not negated else _any(found)

    def _comparison(self, one: Comparison, *, negated: bool) -> str | None:
        if isinstance(one.left, Length) or not isinstance(one.right, Constant):
            if self._certain:
                raise self._not_here(one.at, f"how {one.left.text} and {one.right.text} compare")
            return None
        column = self._known(one.left, one, one.right)
        if column is None:
            return None
        holds, unknown = column
        holds = f"NOT ({holds})" if negated else f"({holds})"
        return f"({holds} AND NOT ({unknown}))" if self._certain else f"({holds} OR {unknown})"

    def _known(self, field: Field, one: Comparison, constant: Constant) -> tuple[str, str] | None:
        """(it holds, it is not known)"""
        match field.scope:
            case Scope.INTRINSIC if field.name in _TEXTS:
                text = _TEXTS[field.name]
                return self._text(text, one, constant), f"position({text}, '{_REDACTED}') > 0"
            case Scope.INTRINSIC if field.name in _NUMBERS:
                value = self._parameter(int(constant.value or 0))
                return f"{_NUMBERS[field.name]} {one.op} {value}", "0" if field.name == "kind" else "end_ns = 0"
            case Scope.SPAN:
                return self._attribute("attributes", field.name, one, constant)
            case Scope.RESOURCE:
                return self._attribute("resource", field.name, one, constant)
            case Scope.ANY:
                return self._either(field.name, one, constant)
            case _ if self._certain:
                raise self._not_here(field.at, field.text)
            case _:
                return None

    def _either(self, key: str, one: Comparison, constant: Constant) -> tuple[str, str]:
        """The span's, or else the resource's."""
        own, own_unknown = self._attribute("attributes", key, one, constant)
        other, other_unknown = self._attribute("resource", key, one, constant)
        there = f"JSONHas(attributes, {self._parameter(key)})"
        return f"if({there}, {own}, {other})", f"if({there}, {own_unknown}, ({own_unknown}) OR ({other_unknown}))"

    def _attribute(self, column: str, key: str, one: Comparison, constant: Constant) -> tuple[str, str]:
        name = self._parameter(key)
        of = f"{column}, {name}"
        pending = f" OR (end_ns = 0 AND NOT JSONHas({of}))" if column == "attributes" else ""
        unknown = f"position(JSONExtractRaw({of}), '{_REDACTED}') > 0 OR JSONHas({column}, '$map'){pending}"
        match constant.kind:
            case Kind.NIL:
                return f"JSONHas({of}) = {int(one.op == '!=')}", f"JSONHas({column}, '$map'){pending}"
            case Kind.NULL:
                equal = f"JSONType({of}) = 'Null'"
            case Kind.BOOLEAN:
                equal = f"JSONType({of}) = 'Bool' AND JSONExtractBool({of}) = {int(bool(constant.value))}"
            case Kind.TEXT:
                if one.op not in {"=", "!="}:
                    text = self._text(f"JSONExtractString({of})", one, constant)
                    return f"JSONType({of}) = 'String' AND {text}", unknown
                equal = (
                    f"JSONType({of}) = 'String' AND JSONExtractString({of}) = {self._parameter(str(constant.value))}"
                )
            case _:
                number = constant.value if isinstance(constant.value, int | float) else 0
                if one.op not in {"=", "!="}:
                    return self._number(of, one.op, number), unknown
                equal = self._number(of, "=", number)
        there = f"JSONHas({of})"
        return (f"{there} AND ({equal})" if one.op == "=" else f"{there} AND NOT ({equal})"), unknown

    def _text(self, text: str, one: Comparison, constant: Constant) -> str:
        if one.op in {"=~", "!~"}:
            value = self._parameter(pattern.anchored(str(constant.value)))
            return f"match({text}, {value}) = {int(one.op == '=~')}"
        return f"{text} {one.op} {self._parameter(str(constant.value))}"

    def _number(self, of: str, op: str, number: float) -> str:
        value = self._parameter(number)
        kinds = {"Int64": "Int", "UInt64": "UInt", "Double": "Float"}
        parts = [f"JSONType({of}) = '{kind}' AND JSONExtract{how}({of}) {op} {value}" for kind, how in kinds.items()]
        special = f"toFloat64OrNull(JSONExtractString({of}, '$float'))"  # nan, inf, -inf
        parts.append(f"JSONType({of}) = 'Object' AND JSONHas({of}, '$float') AND ifNull({special} {op} {value}, 0)")
        return " OR ".join(f"({part})" for part in parts)

    def _parameter(self, value: str | float) -> str:
        return self._conditions.parameter(value)

    def _not_here(self, at: int, what: str) -> UsageError:
        hint = "`aftertrace find` judges recordings: aftertrace find '{ ... }'"
        return wrong(self._query.text, at, f"{what}: spans alone do not tell it", hint)


def _all(parts: list[str | None]) -> str | None:
    known = [part for part in parts if part is not None]
    return f"({' AND '.join(known)})" if known else None


def _any(parts: list[str | None]) -> str | None:
    known = [part for part in parts if part is not None]
    return f"({' OR '.join(known)})" if len(known) == len(parts) else None

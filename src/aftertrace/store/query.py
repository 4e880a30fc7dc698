"""The query of ``ls``: ``service=orders status=error name~checkout duration>1s since=15m``, all of which must hold.

A term is a field, an operator and a value (quoted where it has spaces). Operators: ``=``, ``!=``, ``~`` (contains, any
case), ``!~``; for duration and HTTP status also ``> >= < <=``. Terms on spans hold when any span of the trace fits
(``!``: none does). Requests that were kept to be compared with others (role sibling, neighbour) are found only by
``role``; a group by as many digits of its id as one likes. Values reach the engine as parameters only.

Behind the terms may stand a query in braces (`aftertrace.traceql`) on spans alone: ``since=15m { duration > 1s }``.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from aftertrace.errors import UsageError
from aftertrace.model import StatusCode
from aftertrace.store import spansets
from aftertrace.store.conditions import Conditions
from aftertrace.traceql import moments
from aftertrace.traceql.parse import parse as parse_spansets
from aftertrace.traceql.tree import Query

_TERM = re.compile(
    r'(?P<field>[a-z_.]+)(?P<op>!=|!~|>=|<=|=|~|>|<)(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s"]+))(?=\s|$)'
)

_SPAN_TEXT = {"service": "service", "name": "name", "route": "route", "error": "exception_type"}
_KEEP_TEXT = {"trigger": "trigger", "reason": "reason", "role": "role"}
_TEXT_OPS = ("=", "!=", "~", "!~")
_ORDER_OPS = ("=", ">", ">=", "<", "<=")
FIELDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((*_SPAN_TEXT, *_KEEP_TEXT), _TEXT_OPS),
    "group": ("=", "!="),
    "status": ("=", "!=", ">", ">=", "<", "<="),
    "duration": (">", ">=", "<", "<="),
    "since": ("=",),
    "until": ("=",),
}
HINT = f"Fields: {', '.join(FIELDS)}. For example: service=orders status=error name~checkout since=15m"


@dataclass(frozen=True, slots=True)
class _Term:
    field: str
    op: str
    value: str
    query: str
    position: int  # of the value in the query

    def wrong(self, why: str) -> UsageError:
        return _wrong(self.query, self.position, why)


def parse(query: str, now_ns: int | None = None) -> Conditions:
    """The conditions that a query stands for. Raises UsageError, which points at the place."""
    conditions = Conditions()
    now_ns = time.time_ns() if now_ns is None else now_ns
    position, asks_role = 0, False
    while position < len(query):
        if query[position].isspace():
            position += 1
            continue
        if query[position] in "{(":
            conditions.sql.append(spansets.certain(_braces(query, position), conditions))
            break
        match = _TERM.match(query, position)
        if match is None:
            raise _wrong(query, position, _no_term(query, position))
        asks_role |= match["field"] == "role"
        _add(conditions, _checked(query, match), now_ns)
        position = match.end()
    if not asks_role:
        conditions.sql.append("role = 'failure'")
    return conditions


def _braces(query: str, position: int) -> Query:
    """What stands from there on; positions in it are those in the whole query."""
    return parse_spansets(" " * position + query[position:])


def _no_term(query: str, position: int) -> str:
    word = query[position:].split(maxsplit=1)[0]
    return "a quote is not closed" if word.count('"') == 1 else f"{word[:40]!r} is not FIELD=VALUE"


def _wrong(query: str, position: int, why: str) -> UsageError:
    return UsageError(
        "bad-query", f"At position {position + 1} of the query, {why}.\n  {query}\n  {' ' * position}^", HINT
    )


def _checked(query: str, match: re.Match[str]) -> _Term:
    name, op = match["field"], match["op"]
    if name not in FIELDS:
        raise _wrong(query, match.start("field"), f"there is no field {name!r}")
    if op not in FIELDS[name]:
        raise _wrong(query, match.start("op"), f"{name} takes {' '.join(FIELDS[name])}, not {op}")
    if match["quoted"] is not None:
        return _Term(name, op, re.sub(r"\\(.)", r"\1", match["quoted"]), query, match.start("quoted"))
    return _Term(name, op, match["bare"], query, match.start("bare"))


def _add(conditions: Conditions, term: _Term, now_ns: int) -> None:
    if term.field in _SPAN_TEXT:
        _on_spans(conditions, term, _text(conditions, _SPAN_TEXT[term.field], term))
    elif term.field in _KEEP_TEXT:
        inside = f"SELECT trace_id FROM kept WHERE {_text(conditions, _KEEP_TEXT[term.field], term)}"
        conditions.sql.append(f"trace_id {_membership(term)} ({inside})")
    elif term.field == "group":
        inside = f"SELECT trace_id FROM kept WHERE startsWith(group_id, {conditions.parameter(term.value)})"
        conditions.sql.append(f"trace_id {_membership(term)} ({inside})")
    elif term.field == "status":
        _on_spans(conditions, term, _status(conditions, term))
    elif term.field == "duration":
        _duration(conditions, term)
    else:
        op = ">=" if term.field == "since" else "<="
        conditions.sql.append(f"time_ns {op} {conditions.parameter(_moment(term, now_ns))}")


def _membership(term: _Term) -> str:
    return "NOT IN" if term.op.startswith("!") else "IN"


def _text(conditions: Conditions, column: str, term: _Term) -> str:
    value = conditions.parameter(term.value)
    return f"{column} = {value}" if "=" in term.op else f"positionCaseInsensitiveUTF8({column}, {value}) > 0"


def _on_spans(conditions: Conditions, term: _Term, where: str) -> None:
    conditions.sql.append(f"trace_id {_membership(term)} (SELECT trace_id FROM span_index WHERE {where})")


def _status(conditions: Conditions, term: _Term) -> str:
    names = {status.name.lower(): int(status) for status in StatusCode}
    if term.value in names and term.op in {"=", "!="}:
        return f"status = {names[term.value]}"
    if not re.fullmatch(r"\d{3}", term.value):
        raise term.wrong(f"{term.value!r} is no status: {', '.join(names)} or an HTTP status such as 500")
    op = "=" if term.op == "!=" else term.op
    return f"http_status > 0 AND http_status {op} {conditions.parameter(int(term.value))}"


def _duration(conditions: Conditions, term: _Term) -> None:
    limit = conditions.parameter(_span_of_time(term))
    conditions.sql.append(
        "trace_id IN (SELECT trace_id FROM spans WHERE trace_id IN (SELECT trace_id FROM kept) GROUP BY trace_id "
        f"HAVING greatest(max(end_ns), max(start_ns)) - min(start_ns) {term.op} {limit})"
    )


def _span_of_time(term: _Term) -> int:
    found = moments.duration(term.value)
    if found is None:
        raise term.wrong(f"{term.value!r} is no span of time such as 250ms, 1.5s, 15m")
    return found


def _moment(term: _Term, now_ns: int) -> int:
    found = moments.moment(term.value, now_ns)
    if found is None:
        raise term.wrong(f"{term.value!r} is neither a span of time such as 15m nor a time in ISO 8601")
    return found

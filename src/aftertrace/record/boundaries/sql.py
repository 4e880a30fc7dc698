"""What a span tells of an SQL statement: a name of low cardinality, its operation, its text without values.

By OpenTelemetry's conventions the text of a statement with parameters goes as it is written; in one without, whatever
is a literal is replaced by ``?``, and comments go. Parameters are never told.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from aftertrace._native import Known, Span, Template, detach
from aftertrace.record.boundaries.calls import CLIENT, Open, close, finish
from aftertrace.record.boundaries.stores import Kept

MOST_TEXT = 2048  # characters of db.query.text
MOST_READ = 8192  # characters that are looked at: a long list of columns stands before the table
_MOST_KEPT = 256  # statements of each kind, by their text
_MOST_NAME = 120
_MOST_WORD = 32
_MOST_NESTING = 16


class Statement(NamedTuple):
    """``name`` is that of the span ("SELECT orders"), ``operation`` the keyword, "" when there is none."""

    name: str
    operation: str
    text: str


def statement(text: str, *, parameters: bool) -> Statement:
    """Of an exact str; the same statement again costs a look-up."""
    if len(text) > MOST_READ:
        return (_parameterised if parameters else _literal)(text[:MOST_READ])
    return (_with_parameters if parameters else _without_any).of(text)


def given(parameters: Any) -> bool:
    """Whether a statement has parameters; of the program's own types nothing is asked."""
    return parameters is not None and not (type(parameters) in _PLAIN and not parameters)


_PLAIN = (tuple, list, dict)
_COUNTED = (list, tuple)


def template(found: Statement, scope: str, many: Any = None) -> Template:
    """A statement's span; many: the parameters of an executemany(), of which only a plain sequence is counted."""
    attributes: dict[str, Any] = {"db.query.text": found.text}
    size = len(many) if many is not None and type(many) in _COUNTED else 0
    if size > 1:
        attributes["db.operation.batch.size"] = size
        attributes["db.operation.name"] = f"BATCH {found.operation}" if found.operation else "BATCH"
    elif found.operation:
        attributes["db.operation.name"] = found.operation
    return Template(found.name, CLIENT, attributes, scope)


def known(scope: str, change: Callable[[Statement], Statement] | None = None) -> Known:
    """The templates of a store's statements: ``of(text, parameters)``."""

    def make(text: str, parameters: int) -> Template:
        found = statement(text, parameters=bool(parameters))
        return template(change(found) if change else found, scope)

    return Known(make)


def closed(state: Open, _result: Any = None, error: BaseException | None = None) -> None:
    """Ends what is current; a PostgreSQL error's code is told."""
    if error is None:
        state.span.end()
        detach(state.token)
    else:
        _code(state.span, error)
        close(state, None, error)


def finished(found: Span, _result: Any = None, error: BaseException | None = None) -> None:
    """The same for a span that is not current."""
    if error is not None:
        _code(found, error)
    finish(found, None, error)


def _code(found: Span, error: BaseException) -> None:
    """SQLSTATE, which both of PostgreSQL's drivers keep in the exception's class."""
    for kind in type(error).__mro__:
        state = vars(kind).get("sqlstate")
        if type(state) is str:
            found.set_attribute("db.response.status_code", state)
            return


# -- reading

# What is no code: comments, and literals. Unfinished ones reach to the end, where the text was cut.
_COMMENT = r"--[^\n]*|/\*.*?(?:\*/|\Z)"
_STRING = (
    r"(?<!\w)[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)"
    r"|'(?:[^']|'')*(?:'|\Z)"
    r"|(?<![\w$])\$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)"
)
_QUOTED = r'"(?:[^"]|"")*(?:"|\Z)'
_NUMBER = r"(?<![\w$:?])\d[\w.]*"  # no part of a name, of $1, :1 or ?1
_PLAIN_RUN = r"[^\W\d][\w$]*|[\s(),.=;*]+"  # taken in one step
_TOKEN = re.compile(f"(?P<value>{_STRING}|{_NUMBER})|(?P<code>{_PLAIN_RUN}|{_QUOTED})|(?P<gone>{_COMMENT})", re.DOTALL)
_OTHER_THAN_CODE = re.compile(r"['$]|--|/\*")
_NAME = r'(?:"[^"]+"|`[^`]+`|\[[^\]]+\]|[^\W\d][\w$#]*)'
_PATH = rf"{_NAME}(?:\s*\.\s*{_NAME}){{0,3}}"
_PARENTHESES = re.compile(r"\([^()]*\)")
_WORD = re.compile(r"[^\W\d_]+")
_MAIN = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|MERGE)\b", re.IGNORECASE)
_KIND = r"(?:GLOBAL\s+|LOCAL\s+|TEMP(?:ORARY)?\s+|UNLOGGED\s+|UNIQUE\s+|MATERIALIZED\s+|OR\s+REPLACE\s+|FOREIGN\s+)*"
_DEFINED = re.compile(
    rf"\w+\s+{_KIND}(TABLE|VIEW|INDEX|SEQUENCE|SCHEMA|DATABASE|TYPE|FUNCTION|PROCEDURE|TRIGGER|EXTENSION)\s+"
    rf"(?:CONCURRENTLY\s+)?(?:IF\s+(?:NOT\s+)?EXISTS\s+)?(?:ONLY\s+)?({_PATH})",
    re.IGNORECASE,
)
_FROM = re.compile(rf"\bFROM\s+(?:ONLY\s+|LATERAL\s+)?({_PATH})", re.IGNORECASE)
_TARGET = {
    "SELECT": _FROM,
    "DELETE": _FROM,
    "INSERT": re.compile(rf"\bINTO\s+({_PATH})", re.IGNORECASE),
    "REPLACE": re.compile(rf"\bINTO\s+({_PATH})", re.IGNORECASE),
    "MERGE": re.compile(rf"\bINTO\s+(?:ONLY\s+)?({_PATH})", re.IGNORECASE),
    "UPDATE": re.compile(rf"\bUPDATE\s+(?:OR\s+\w+\s+)?(?:ONLY\s+)?({_PATH})", re.IGNORECASE),
    "TRUNCATE": re.compile(rf"\bTRUNCATE\s+(?:TABLE\s+)?(?:ONLY\s+)?({_PATH})", re.IGNORECASE),
    "COPY": re.compile(rf"\bCOPY\s+({_PATH})", re.IGNORECASE),
    "CALL": re.compile(rf"\bCALL\s+({_PATH})", re.IGNORECASE),
    "FETCH": re.compile(rf"\bFROM\s+({_PATH})", re.IGNORECASE),
}
_DEFINING = frozenset({"CREATE", "ALTER", "DROP"})


def _parameterised(text: str) -> Statement:
    code = _TOKEN.sub(_without, text) if _OTHER_THAN_CODE.search(text) else text
    return Statement(*_summary(code.strip()), text.strip()[:MOST_TEXT])


def _literal(text: str) -> Statement:
    code = _TOKEN.sub(_without, text).strip()
    return Statement(*_summary(code), code[:MOST_TEXT])


_with_parameters, _without_any = Kept(_parameterised, _MOST_KEPT), Kept(_literal, _MOST_KEPT)


def _without(match: re.Match[str]) -> str:
    return match["code"] or (" " if match["gone"] else "?")


def _summary(code: str) -> tuple[str, str]:
    """The span's name, and the operation, of a text without comments and literals."""
    start = _WORD.match(code.lstrip("( \t\n"))
    operation = start[0][:_MOST_WORD].upper() if start else ""
    outer = code
    if operation in {"WITH", "SELECT", "DELETE"}:
        outer = _outermost(code)
    if operation == "WITH":
        main = _MAIN.search(outer)
        operation = main[0].upper() if main else operation
    elif operation in {"DECLARE", "EXPLAIN"}:
        return _named(operation, _FROM.search(_outermost(code)), code), operation
    if operation in _DEFINING:
        defined = _DEFINED.match(code)
        if defined is not None:
            return f"{operation} {defined[1].upper()} {_clean(defined[2])}"[:_MOST_NAME], operation
    pattern = _TARGET.get(operation)
    return _named(operation, pattern.search(outer) if pattern else None, code), operation


def _named(operation: str, target: re.Match[str] | None, code: str) -> str:
    if target is None and operation == "SELECT":
        target = _FROM.search(code)  # of a subselect, or none
    if target is None:
        return operation or "execute"
    return f"{operation} {_clean(target[1])}"[:_MOST_NAME]


def _clean(path: str) -> str:
    return re.sub(r'["`\[\]]|\s+(?=\.)|(?<=\.)\s+', "", path)


def _outermost(code: str) -> str:
    """Without what stands in parentheses: ``extract(year FROM day)``, subselects, common table expressions."""
    for _ in range(_MOST_NESTING):
        code, count = _PARENTHESES.subn("?", code)
        if not count:
            break
    return code

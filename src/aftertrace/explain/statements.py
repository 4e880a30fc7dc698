"""The simplest SQL statements, read conservatively: what cannot be said for certain of one is not said at all.

One table, conditions joined by AND that compare a column with a parameter or literal. Joins, subqueries, OR, functions
and whatever else is not known here make a statement unreadable, which is no error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from aftertrace.model import Scalar

_LONGEST = 2000  # characters; the text in a span is cut a little later
_TOKEN = re.compile(
    r"""\s*(?:(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?|"[^"]+"|`[^`]+`)|(?P<number>\d+(?:\.\d+)?)|(?P<text>'(?:[^']|'')*')"""
    r"""|(?P<mark>\?|%s)|(?P<named>:[A-Za-z_]\w*|%\([A-Za-z_]\w*\)s)|(?P<sign><=|>=|<>|!=|[=<>,*+\-();]))"""
)
_COMPARES = {"=", "<", ">", "<=", ">=", "<>", "!="}
_WORDS = {"select", "from", "where", "and", "or", "update", "set", "delete", "not", "is", "in", "between", "like"}


@dataclass(frozen=True, slots=True)
class Term:
    """A parameter, by its place or name, or a literal."""

    place: int = -1
    name: str = ""
    literal: Scalar = None


@dataclass(frozen=True, slots=True)
class Condition:
    column: str
    sign: str
    term: Term


@dataclass(frozen=True, slots=True)
class Change:
    """``column = term``, or with a ``sign`` of + or - ``column = column + term``; ``term`` None: something else."""

    column: str
    sign: str
    term: Term | None


@dataclass(frozen=True, slots=True)
class Statement:
    """``columns`` of a SELECT, ``*`` among them; ``changes`` of an UPDATE; names are in lower case."""

    verb: str  # SELECT, UPDATE, DELETE
    table: str
    where: tuple[Condition, ...]
    columns: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()


def read(text: str) -> Statement | None:
    """None: it is not one of the simple ones."""
    tokens = _tokens(text) if len(text) <= _LONGEST else None
    return _Reader(tokens).statement() if tokens else None


def _tokens(text: str) -> list[tuple[str, str]] | None:
    found, at, text = list[tuple[str, str]](), 0, text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            return None
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    if found and found[-1] == ("sign", ";"):
        found.pop()
    return found


class _Unreadable(Exception):
    """No error: the reader's way out."""


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0
        self._marks = 0

    def statement(self) -> Statement | None:
        try:
            verb = self._name()
            if verb == "select":
                columns = self._columns()
                found = Statement("SELECT", self._name(), self._where(), columns)
            elif verb == "update":
                table = self._name()
                changes = self._changes()
                found = Statement("UPDATE", table, self._where(), changes=changes)
            elif verb == "delete":
                self._word("from")
                found = Statement("DELETE", self._name(), self._where())
            else:
                return None
        except _Unreadable:
            return None
        return found if self._at == len(self._tokens) else None

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise _Unreadable
        self._at += 1
        return self._tokens[self._at - 1]

    def _peek(self) -> str:
        return self._tokens[self._at][1].lower() if self._at < len(self._tokens) else ""

    def _word(self, word: str) -> None:
        if self._next()[1].lower() != word:
            raise _Unreadable

    def _name(self) -> str:
        kind, text = self._next()
        if kind != "name":
            raise _Unreadable
        return text.strip('"`').lower()

    def _column(self) -> str:
        name = self._name()
        if name in _WORDS:
            raise _Unreadable
        return name.rpartition(".")[2]

    def _columns(self) -> tuple[str, ...]:
        found = []
        while True:
            if self._peek() == "*":
                self._at += 1
                found.append("*")
            else:
                found.append(self._column())
            if self._peek() != ",":
                break
            self._at += 1
        self._word("from")
        return tuple(found)

    def _changes(self) -> tuple[Change, ...]:
        self._word("set")
        found = []
        while True:
            column = self._column()
            self._word("=")
            sign = ""
            if self._tokens[self._at : self._at + 1] and self._tokens[self._at][0] == "name":
                if self._column() != column:
                    raise _Unreadable
                sign = self._next()[1]
                if sign not in {"+", "-"}:
                    raise _Unreadable
            found.append(Change(column, sign, self._term()))
            if self._peek() != ",":
                return tuple(found)
            self._at += 1

    def _where(self) -> tuple[Condition, ...]:
        self._word("where")
        found = []
        while True:
            column = self._column()
            sign = self._next()[1]
            if sign not in _COMPARES:
                raise _Unreadable
            found.append(Condition(column, sign, self._term()))
            if self._peek() != "and":
                return tuple(found)
            self._at += 1

    def _term(self) -> Term:
        kind, text = self._next()
        match kind:
            case "mark":
                self._marks += 1
                return Term(place=self._marks - 1)
            case "named":
                return Term(name=text.strip(":%()").removesuffix(")s"))
            case "number":
                return Term(literal=float(text) if "." in text else int(text))
            case "text":
                return Term(literal=text[1:-1].replace("''", "'"))
            case _:
                raise _Unreadable

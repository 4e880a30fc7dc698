"""What a question is: a name, its parameters, and how it is asked of the sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aftertrace.errors import UsageError
from aftertrace.traceql.tree import Query
from aftertrace.wire.bundle import Candidate, Group, KeptTrace, TraceData


class Sources(Protocol):
    """Where answers come from; the store fulfils it."""

    def trace(self, trace_id: str) -> TraceData:
        """All of one trace, by its full id. NotFound: nothing is known of it."""

    def traces(self, trace_ids: Sequence[str]) -> Iterator[TraceData]:
        """All of each, in their order; of one that is not known there is nothing in it."""

    def resolve(self, given: str, /) -> str:
        """The full id of the trace that is meant, by whatever one has of it. UsageError, NotFound, Ambiguous."""

    def kept(self, limit: int, query: str) -> list[KeptTrace]:
        """Kept traces, newest first. UsageError: the query cannot be read."""

    def candidates(
        self, query: Query, between: tuple[int, int], after: Candidate | None, limit: int
    ) -> list[Candidate]:
        """Kept requests of a time (ns) that may hold what is asked for, newest first, behind one of them."""

    def count(self, query: Query, between: tuple[int, int]) -> tuple[int, int]:
        """(how many of that time may hold it, how many were kept)"""

    def skeletons(self, trace_ids: Sequence[str], *, code: bool) -> Iterator[TraceData]:
        """What each is rebuilt from, without logs, keeps and sources; without ``code`` spans alone."""

    def groups(self, since_ns: int, until_ns: int, limit: int) -> list[Group]:
        """Failure groups of that time, the last that failed first."""

    def members(self, group: str, limit: int) -> list[str]:
        """Kept requests of a failure group, by its full id, newest first."""

    def siblings(self, trace_id: str, limit: int) -> list[str]:
        """Kept healthy requests of the same routes, nearest in time first."""

    def neighbours(self, trace_id: str, limit: int) -> list[str]:
        """Requests that were kept because they overlapped it."""


class Answer(Protocol):
    """Plain data; every face (terminal, HTTP, later others) shows this JSON."""

    def to_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; ``default`` None makes it required. Its type is that of ``kind``: str, int or bool."""

    name: str
    help: str
    kind: type[str | int | bool] = str
    default: str | int | bool | None = None

    def read(self, text: str) -> str | int | bool:
        """The value that a query string or a command line gives. UsageError."""
        if self.kind is str:
            return text
        if self.kind is bool and text.lower() in {"1", "true", "yes", "0", "false", "no"}:
            return text.lower() in {"1", "true", "yes"}
        if self.kind is int and text.removeprefix("-").isdecimal() and len(text) < 20:
            return int(text)
        raise UsageError("bad-parameter", f"{self.name}={text!r} is not {self._expected()}.", self.help)

    def _expected(self) -> str:
        return "a whole number" if self.kind is int else "true or false"


@dataclass(frozen=True, slots=True)
class Question:
    """``ask(sources, **parameters)`` gives the answer; every parameter is passed, defaults included."""

    name: str
    help: str
    parameters: tuple[Parameter, ...]
    ask: Callable[..., Answer]

    def read(self, words: Mapping[str, str]) -> dict[str, str | int | bool]:
        """Arguments for ``ask`` from text. UsageError: unknown, missing or unreadable parameters."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in words:
            if name not in known:
                takes = ", ".join(known) or "none"
                raise UsageError("unknown-parameter", f"{self.name} has no parameter {name!r}.", f"It takes: {takes}.")
        arguments: dict[str, str | int | bool] = {}
        for parameter in self.parameters:
            if parameter.name in words:
                arguments[parameter.name] = parameter.read(words[parameter.name])
            elif parameter.default is None:
                raise UsageError("missing-parameter", f"{self.name} needs {parameter.name!r}.", parameter.help)
            else:
                arguments[parameter.name] = parameter.default
        return arguments

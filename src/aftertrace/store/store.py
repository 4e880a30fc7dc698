"""The store: durable writes, traces by id, kept traces by query."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

from aftertrace.errors import Ambiguous, NotFound, UsageError
from aftertrace.model import LogRecord, Span
from aftertrace.store import (
    candidates,
    fleet,
    groups,
    intake,
    kept,
    query,
    reference,
    rows,
    schema,
    several,
)
from aftertrace.store.engine import Engine
from aftertrace.store.fleet import KeepRule
from aftertrace.store.writer import Writer
from aftertrace.traceql.tree import Query
from aftertrace.wire.bundle import Candidate, Coverage, Group, KeptTrace, TraceData
from aftertrace.wire.fleet import Mark

_SHORTEST = 4  # digits of a prefix
_SHOWN = 5  # candidates named when a prefix fits several
_MOST_IDS = 8  # of one text
_TEXT = 80  # code points of what was asked for that an error shows
_FORMS = f"Give {_SHORTEST} to 32 hex digits, a span id, a link or a log line with a trace id, a request's id, or last."
_HINT = "`aftertrace ls` lists the kept ones."

_BY_PREFIX = """
SELECT DISTINCT trace_id FROM (
    SELECT trace_id FROM kept WHERE trace_id BETWEEN unhex({low:String}) AND unhex({high:String})
    UNION ALL SELECT trace_id FROM recordings WHERE trace_id BETWEEN unhex({low:String}) AND unhex({high:String})
    UNION ALL SELECT trace_id FROM spans WHERE trace_id BETWEEN unhex({low:String}) AND unhex({high:String})
) ORDER BY trace_id LIMIT {most:UInt64}
"""
_BY_SPAN = """
SELECT DISTINCT trace_id FROM span_index WHERE span_id = unhex({span:String}) ORDER BY trace_id LIMIT {most:UInt64}
"""
_BY_ATTRIBUTE = """
SELECT DISTINCT trace_id FROM spans WHERE trace_id IN (SELECT trace_id FROM kept)
AND position(attributes, {word:String}) > 0 ORDER BY trace_id LIMIT {most:UInt64}
"""


class Store:
    """One directory, held by one process. Methods may be called from any thread; errors are of the tree."""

    def __init__(self, directory: Path) -> None:
        self._engine = Engine(directory)
        try:
            schema.migrate(self._engine)
        except BaseException:
            self._engine.close()
            raise
        self._writer = Writer(self._engine.insert)

    def submit_spans(self, spans: list[Span]) -> Future[None]:
        """Done when they are durable. Raises Unavailable when writing is behind."""
        return self._writer.submit({"spans": rows.spans(spans)} if spans else {})

    def submit_logs(self, logs: list[LogRecord]) -> Future[list[str]]:
        """Done when they are durable; gives a sentence for each record that was refused."""
        sorted_logs = intake.sort(logs)
        stored = self._writer.submit(
            {
                "sources": rows.sources(sorted_logs.sources),
                "recordings": rows.recordings(sorted_logs.pieces),
                "logs": rows.logs(sorted_logs.logs),
                "kept": rows.kept(sorted_logs.keeps),  # last: what is listed can be opened
            }
        )
        return _then(stored, sorted_logs.problems)

    def add_spans(self, spans: list[Span]) -> None:
        """Durable when it returns."""
        self.submit_spans(spans).result()

    def add_logs(self, logs: list[LogRecord]) -> list[str]:
        """Durable when it returns; a sentence for each record that was refused."""
        return self.submit_logs(logs).result()

    def trace(self, trace_id: str) -> TraceData:
        """All that is known of a trace, by its full id. Raises NotFound."""
        (found,) = several.traces(self._engine, [trace_id])
        if not (found.spans or found.logs or found.keeps or found.recordings or found.problems):
            raise NotFound("no-such-trace", f"Nothing is known of trace {trace_id}.", _HINT)
        return found

    def traces(self, trace_ids: Sequence[str]) -> Iterator[TraceData]:
        """All that is known of each; of one that is not known there is nothing in it."""
        return several.traces(self._engine, trace_ids)

    def resolve(self, given: str) -> str:
        """The trace id that is meant: its own digits or some of the first, a span id, a link or log line that holds
        one, a request's own id among the attributes of kept spans, or ``last`` (kept). UsageError, NotFound, Ambiguous.
        """
        text = given.strip()
        digits = text.lower()
        if digits == "last":
            return self._last()
        if _SHORTEST <= len(digits) <= 32 and set(digits) <= set("0123456789abcdef"):
            return _only(text, self._by_digits(digits) or self._by_request(text))
        return _only(text, self._within(text) or self._by_request(text))

    def _by_digits(self, digits: str) -> list[str]:
        low, high = digits.ljust(32, "0"), digits.ljust(32, "f")
        found = self._engine.query(_BY_PREFIX, {"low": low, "high": high, "most": _SHOWN + 1})
        if len(digits) == 16:
            found += self._engine.query(_BY_SPAN, {"span": digits, "most": _SHOWN + 1})
        return sorted({row["trace_id"].hex() for row in found})

    def _within(self, text: str) -> list[str]:
        """Of ids in a longer text: those that are known; one that is called a trace id goes before others."""
        for ids in (reference.labelled(text), reference.traces(text), reference.spans(text)):
            known = [one for digits in ids[:_MOST_IDS] for one in self._by_digits(digits)]
            if known:
                return list(dict.fromkeys(known))
        return []

    def _by_request(self, text: str) -> list[str]:
        word = reference.word(text)
        quoted = json.dumps(word, ensure_ascii=False)
        found = self._engine.query(_BY_ATTRIBUTE, {"word": quoted, "most": _SHOWN + 1}) if word else []
        return [row["trace_id"].hex() for row in found]

    def _last(self) -> str:
        newest = self.kept(1)
        if not newest:
            raise NotFound("nothing-kept", "No request was kept yet.", "Requests that fail are kept by themselves.")
        return newest[0].trace_id

    def kept(self, limit: int, query_text: str = "") -> list[KeptTrace]:
        """Kept traces that fit the query (``store/query.py``), the last kept first. Raises UsageError."""
        return kept.page(self._engine, query.parse(query_text), limit)

    def candidates(
        self, query: Query, between: tuple[int, int], after: Candidate | None, limit: int
    ) -> list[Candidate]:
        """Kept requests of that time that may hold what is asked for, newest first, behind one of them."""
        return candidates.page(self._engine, query, between, after, limit)

    def count(self, query: Query, between: tuple[int, int]) -> tuple[int, int]:
        """(how many of that time may hold it, how many were kept)"""
        return candidates.count(self._engine, query, between)

    def skeletons(self, trace_ids: Sequence[str], *, code: bool) -> Iterator[TraceData]:
        """What each is rebuilt from, without logs, keeps and sources; without ``code`` spans alone."""
        return several.skeletons(self._engine, trace_ids, code=code)

    def groups(self, since_ns: int, until_ns: int, limit: int) -> list[Group]:
        """Failure groups of that time, the last that failed first."""
        return groups.page(self._engine, since_ns, until_ns, limit)

    def members(self, group: str, limit: int) -> list[str]:
        """Kept requests of a failure group, newest first."""
        return groups.members(self._engine, group, limit)

    def siblings(self, trace_id: str, limit: int) -> list[str]:
        """Kept healthy requests of the same routes, nearest in time first."""
        return groups.siblings(self._engine, trace_id, limit)

    def neighbours(self, trace_id: str, limit: int) -> list[str]:
        """Requests that were kept because they overlapped it."""
        return groups.neighbours(self._engine, trace_id, limit)

    def recent_marks(self, seconds: float) -> list[Mark]:
        """Of the traces that were kept within so many seconds, oldest first."""
        return fleet.recent_marks(self._engine, seconds)

    def recent_coverage(self, seconds: float) -> dict[str, Coverage]:
        """By trace id, what changed within so many seconds."""
        return fleet.recent_coverage(self._engine, seconds)

    def submit_coverage(self, found: Mapping[str, Coverage]) -> Future[None]:
        """By trace id; done when it is durable. Raises Unavailable when writing is behind."""
        return self._writer.submit({"coverage": fleet.coverage_rows(found)})

    def rules(self) -> list[KeepRule]:
        """The rules that hold now, oldest first."""
        return fleet.rules(self._engine)

    def put_rule(self, rule: KeepRule) -> None:
        """Durable when it returns; ``until_ns`` 0 removes it."""
        self._writer.submit({"keep_rules": fleet.rule_rows([rule])}).result()

    def healthy(self) -> bool:
        """Whether it can take and answer."""
        return self._writer.alive() and bool(self._engine.query("SELECT 1 AS one", {}))

    def close(self) -> None:
        """Writes what waits and lets go of the directory."""
        self._writer.close()
        self._engine.close()


def _only(text: str, found: list[str]) -> str:
    said = text if len(text) <= _TEXT else f"{text[: _TEXT - 1]}\N{HORIZONTAL ELLIPSIS}"
    if not found and not reference.word(text) and not reference.traces(text) and not reference.spans(text):
        raise UsageError("bad-id", f"{said!r} holds no id.", _FORMS)
    if not found:
        raise NotFound("no-such-trace", f"No trace is known by {said!r}.", _HINT)
    if len(found) > 1:
        more = " ..." if len(found) > _SHOWN else ""
        raise Ambiguous("ambiguous-id", f"{said!r} fits several traces.", f"One of: {' '.join(found[:_SHOWN])}{more}")
    return found[0]


def _then[Out](stored: Future[None], result: Out) -> Future[Out]:
    """A future with ``result`` once ``stored`` is done, or with its error."""
    out: Future[Out] = Future()
    out.set_running_or_notify_cancel()

    def finish(done: Future[None]) -> None:
        error = done.exception()
        if error is None:
            out.set_result(result)
        else:
            out.set_exception(error)

    stored.add_done_callback(finish)
    return out

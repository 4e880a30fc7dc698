"""The store: durable writes, traces by id, kept traces by query."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

from aftertrace.errors import Ambiguous, NotFound, UsageError
from aftertrace.model import LogRecord, Span
from aftertrace.store import groups, intake, kept, query, read, recordings, rows, schema
from aftertrace.store.engine import Engine
from aftertrace.store.writer import Writer
from aftertrace.wire import zstd
from aftertrace.wire.bundle import Group, KeptTrace, TraceData

_SHORTEST = 4  # digits of a prefix
_SHOWN = 5  # candidates named when a prefix fits several
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
        of_trace = {"trace": trace_id}
        resources = read.Resources()
        spans = [read.span(row, resources) for row in self._engine.query(read.SPANS, of_trace)]
        logs = [read.log(row, resources) for row in self._engine.query(read.LOGS, of_trace)]
        keeps = [read.keep(row) for row in self._engine.query(read.KEEPS, of_trace)]
        pieces = self._engine.query(read.PIECES, of_trace, raw=("content",))
        if not (spans or logs or keeps or pieces):
            raise NotFound("no-such-trace", f"Nothing is known of trace {trace_id}.", _HINT)
        whole, problems = recordings.assemble(pieces)
        return TraceData(trace_id, spans, logs, whole, self._sources(whole), keeps, problems)

    def _sources(self, whole: list[bytes]) -> dict[str, str]:
        hashes = recordings.source_hashes(whole)
        found = self._engine.query(read.SOURCES, {"hashes": hashes}, raw=("content",)) if hashes else []
        return {
            row["sha256"].hex(): recordings.source_text(zstd.decompress(row["content"], intake.SOURCE_BYTES))
            for row in found
        }

    def resolve(self, reference: str) -> str:
        """The trace id behind a prefix of one, a span id, or ``last`` (kept). UsageError, NotFound, Ambiguous."""
        reference = reference.strip().lower()
        if reference == "last":
            return self._last()
        if not _SHORTEST <= len(reference) <= 32 or not set(reference) <= set("0123456789abcdef"):
            hint = f"Give {_SHORTEST} to 32 hex digits of a trace id, a span id, or last."
            raise UsageError("bad-id", f"{reference[:64]!r} is not an id.", hint)
        low, high = reference.ljust(32, "0"), reference.ljust(32, "f")
        found = self._engine.query(_BY_PREFIX, {"low": low, "high": high, "most": _SHOWN + 1})
        if len(reference) == 16:
            found += self._engine.query(_BY_SPAN, {"span": reference, "most": _SHOWN + 1})
        return _only(reference, sorted({row["trace_id"].hex() for row in found}))

    def _last(self) -> str:
        newest = self.kept(1)
        if not newest:
            raise NotFound("nothing-kept", "No request was kept yet.", "Requests that fail are kept by themselves.")
        return newest[0].trace_id

    def kept(self, limit: int, query_text: str = "") -> list[KeptTrace]:
        """Kept traces that fit the query (``store/query.py``), the last kept first. Raises UsageError."""
        return kept.page(self._engine, query.parse(query_text), limit)

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

    def healthy(self) -> bool:
        """Whether it can take and answer."""
        return self._writer.alive() and bool(self._engine.query("SELECT 1 AS one", {}))

    def close(self) -> None:
        """Writes what waits and lets go of the directory."""
        self._writer.close()
        self._engine.close()


def _only(reference: str, found: list[str]) -> str:
    if not found:
        raise NotFound("no-such-trace", f"No trace or span id begins with {reference}.", _HINT)
    if len(found) > 1:
        more = " ..." if len(found) > _SHOWN else ""
        raise Ambiguous(
            "ambiguous-id", f"{reference} fits several traces.", f"One of: {' '.join(found[:_SHOWN])}{more}"
        )
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

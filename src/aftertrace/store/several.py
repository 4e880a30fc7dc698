"""What several requests are rebuilt from, in few queries: each costs some milliseconds whatever it brings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from aftertrace.store import fleet, intake, read, recordings
from aftertrace.store.engine import Engine
from aftertrace.store.read import Row
from aftertrace.wire import zstd
from aftertrace.wire.bundle import TraceData

_AT_ONCE, _BYTES = 16, 8 << 20  # requests, and bytes of their recordings as stored, that are held together
_SIZES = f"""
SELECT trace_id, sum(length(content)) AS bytes FROM recordings WHERE {read.OF_MANY} GROUP BY trace_id
"""


def traces(engine: Engine, trace_ids: Sequence[str]) -> Iterator[TraceData]:
    """All that is known of each, in the order of the ids. Of one that is not known there is nothing in it."""
    for batch in _batches(engine, trace_ids, code=True):
        resources = read.Resources()
        logs, keeps = _by_trace(engine, read.LOGS, batch), _by_trace(engine, read.KEEPS, batch)
        bare = list(_skeletons(engine, batch, resources, code=True))
        hashes = sorted({one for trace in bare for one in recordings.source_hashes(trace.recordings)})
        texts = _sources(engine, hashes)
        for one in bare:
            mine = recordings.source_hashes(one.recordings)
            yield replace(
                one,
                logs=[read.log(row, resources) for row in logs.pop(one.trace_id, [])],
                keeps=[read.keep(row) for row in keeps.pop(one.trace_id, [])],
                sources={digest: texts[digest] for digest in mine if digest in texts},
            )


def skeletons(engine: Engine, trace_ids: Sequence[str], *, code: bool) -> Iterator[TraceData]:
    """In the order of the ids: spans, recordings (with ``code``), what is missing of these, coverage. Of a trace that
    is gone there is nothing in it."""
    for batch in _batches(engine, trace_ids, code=code):
        yield from _skeletons(engine, batch, read.Resources(), code=code)


def _skeletons(engine: Engine, batch: list[str], resources: read.Resources, *, code: bool) -> Iterator[TraceData]:
    spans = _by_trace(engine, read.SPANS, batch)
    pieces = _by_trace(engine, read.PIECES, batch, raw=("content",)) if code else {}
    covered = fleet.coverages(engine, batch)
    for one in batch:
        whole, problems = recordings.assemble(pieces.pop(one, []))
        found = [read.span(row, resources) for row in spans.pop(one, [])]
        yield TraceData(one, spans=found, recordings=whole, problems=problems, coverage=covered.get(one))


def _by_trace(engine: Engine, query: str, batch: list[str], raw: tuple[str, ...] = ()) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in engine.query(query, {"traces": batch}, raw=raw):
        found[row["trace_id"].hex()].append(row)
    return found


def _sources(engine: Engine, hashes: list[str]) -> dict[str, str]:
    found = engine.query(read.SOURCES, {"hashes": hashes}, raw=("content",)) if hashes else []
    return {
        row["sha256"].hex(): recordings.source_text(zstd.decompress(row["content"], intake.SOURCE_BYTES))
        for row in found
    }


def _batches(engine: Engine, trace_ids: Sequence[str], *, code: bool) -> Iterator[list[str]]:
    rows = engine.query(_SIZES, {"traces": list(trace_ids)}) if code and trace_ids else []
    sizes = {row["trace_id"].hex(): row["bytes"] for row in rows}
    batch: list[str] = []
    held = 0
    for one in trace_ids:
        size = sizes.get(one, 0)
        if batch and (len(batch) == _AT_ONCE or held + size > _BYTES):
            yield batch
            batch, held = [], 0
        batch.append(one)
        held += size
    if batch:
        yield batch

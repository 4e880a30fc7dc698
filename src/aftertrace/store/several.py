"""What several requests are rebuilt from, in few queries: each costs some milliseconds whatever it brings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from aftertrace.store import fleet, read, recordings
from aftertrace.store.engine import Engine
from aftertrace.store.read import Row
from aftertrace.wire.bundle import TraceData

_AT_ONCE, _BYTES = 16, 8 << 20  # requests, and bytes of their recordings as stored, that are held together
_SIZES = f"""
SELECT trace_id, sum(length(content)) AS bytes FROM recordings WHERE {read.OF_MANY} GROUP BY trace_id
"""


def skeletons(engine: Engine, trace_ids: Sequence[str], *, code: bool) -> Iterator[TraceData]:
    """In the order of the ids: spans, recordings (with ``code``), what is missing of these, coverage. Of a trace that
    is gone there is nothing in it."""
    for batch in _batches(engine, trace_ids, code=code):
        asked = {"traces": batch}
        resources = read.Resources()
        spans: dict[bytes, list[Row]] = defaultdict(list)
        pieces: dict[bytes, list[Row]] = defaultdict(list)
        for row in engine.query(read.SPANS.replace(read.OF_ONE, read.OF_MANY), asked):
            spans[row["trace_id"]].append(row)
        if code:
            for row in engine.query(read.PIECES.replace(read.OF_ONE, read.OF_MANY), asked, raw=("content",)):
                pieces[row["trace_id"]].append(row)
        covered = fleet.coverages(engine, batch)
        for one in batch:
            key = bytes.fromhex(one)
            whole, problems = recordings.assemble(pieces.pop(key, []))
            found = [read.span(row, resources) for row in spans.pop(key, [])]
            yield TraceData(one, spans=found, recordings=whole, problems=problems, coverage=covered.get(one))


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

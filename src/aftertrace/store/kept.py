"""The lines of ``ls``: which traces, why each was kept, and what its spans say of it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from aftertrace.model import StatusCode
from aftertrace.store.conditions import Conditions
from aftertrace.store.engine import Engine
from aftertrace.store.read import Row
from aftertrace.wire.bundle import KeptTrace, Trigger

_PAGE = """
SELECT trace_id, min(time_ns) AS first_ns FROM kept WHERE {where}
GROUP BY trace_id ORDER BY first_ns DESC, trace_id LIMIT {{limit:UInt64}}
"""
_OF_PAGE = "trace_id IN (SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16))"
_TRIGGERS = f"""
SELECT trace_id, trigger, reason, service, time_ns FROM kept FINAL WHERE {_OF_PAGE}
ORDER BY time_ns, trigger, process_uid
"""
# Services in the order of their first span; the root is the earliest span without a parent, or the earliest of all.
_SUMMARIES = f"""
SELECT
    trace_id,
    argMin(tuple(name, status, http_status), (parent_id != toFixedString('', 8), start_ns)) AS root,
    min(start_ns) AS first_ns,
    greatest(max(end_ns), max(start_ns)) AS last_ns,
    count() AS span_count,
    arrayDistinct(arrayMap(pair -> pair.2, arraySort(groupArray((start_ns, toString(service)))))) AS services,
    argMinIf(toString(exception_type), (end_ns, start_ns), exception_type != '') AS error
FROM spans FINAL WHERE {_OF_PAGE} GROUP BY trace_id
"""


def page(engine: Engine, conditions: Conditions, limit: int) -> list[KeptTrace]:
    """At most ``limit`` kept traces that fit, the last kept first."""
    where = " AND ".join(conditions.sql) or "1"
    rows = engine.query(_PAGE.format(where=where), {**conditions.parameters, "limit": limit})
    ids = {"ids": [row["trace_id"].hex() for row in rows]}
    if not rows:
        return []
    triggers: dict[bytes, list[Trigger]] = defaultdict(list)
    for row in engine.query(_TRIGGERS, ids):
        triggers[row["trace_id"]].append(Trigger(row["trigger"], row["reason"], row["service"], row["time_ns"]))
    summaries = {row["trace_id"]: row for row in engine.query(_SUMMARIES, ids)}
    return [_line(row, triggers[row["trace_id"]], summaries.get(row["trace_id"])) for row in rows]


def _line(row: Row, triggers: list[Trigger], summary: dict[str, Any] | None) -> KeptTrace:
    trace_id = row["trace_id"].hex()
    if summary is None:
        return KeptTrace(trace_id, row["first_ns"], "", [], "unset", 0, 0, 0, "", triggers)
    root_name, root_status, http_status = summary["root"]
    return KeptTrace(
        trace_id=trace_id,
        time_ns=summary["first_ns"],
        name=root_name,
        services=list(summary["services"]),
        status=StatusCode(root_status).name.lower(),
        http_status=http_status,
        duration_ns=summary["last_ns"] - summary["first_ns"],
        spans=summary["span_count"],
        error=summary["error"],
        triggers=triggers,
    )

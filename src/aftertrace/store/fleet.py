"""What the store keeps for the exchange between agents: recent marks, coverage, rules."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from aftertrace.store import read
from aftertrace.store.engine import Engine
from aftertrace.wire.bundle import Coverage, coverage_from_json, coverage_to_json
from aftertrace.wire.fleet import Mark

# Ages by the server's clock: when the mark was received, whatever its sender's clock says.
_MARKS = """
SELECT trace_id, argMin(toString(trigger), time_ns) AS first, toUInt64(now() - min(received)) AS age
FROM kept WHERE received > now() - {seconds:UInt32} AND trigger != 'neighbour'
GROUP BY trace_id ORDER BY age DESC LIMIT 20000
"""
_RECENT = "SELECT trace_id, data FROM coverage FINAL WHERE received > now() - {seconds:UInt32}"
_OF_TRACES = f"SELECT trace_id, data FROM coverage FINAL WHERE {read.OF_MANY}"
_RULES = """
SELECT id, expression, made_ns, until_ns FROM keep_rules FINAL WHERE until_ns > {now:UInt64} ORDER BY made_ns, id
"""


@dataclass(frozen=True, slots=True)
class KeepRule:
    """A rule that holds until ``until_ns``."""

    id: str  # 8 hex digits
    expression: str
    made_ns: int
    until_ns: int


def recent_marks(engine: Engine, seconds: float) -> list[Mark]:
    """Of the traces that were kept of late, oldest first."""
    rows = engine.query(_MARKS, {"seconds": int(seconds)})
    return [Mark(row["trace_id"].hex(), row["first"], age_s=float(row["age"])) for row in rows]


def recent_coverage(engine: Engine, seconds: float) -> dict[str, Coverage]:
    rows = engine.query(_RECENT, {"seconds": int(seconds)})
    return {row["trace_id"].hex(): coverage_from_json(json.loads(row["data"])) for row in rows}


def coverages(engine: Engine, trace_ids: Sequence[str]) -> dict[str, Coverage]:
    """By trace id, of those of which agents were asked."""
    rows = engine.query(_OF_TRACES, {"traces": list(trace_ids)})
    return {row["trace_id"].hex(): coverage_from_json(json.loads(row["data"])) for row in rows}


def coverage_rows(found: Mapping[str, Coverage]) -> pa.Table:
    """Table ``coverage``."""
    now = time.time_ns()
    return pa.table(
        {
            "trace_id": pa.array([bytes.fromhex(trace) for trace in found], pa.binary(16)),
            "version": pa.array([now] * len(found), pa.uint64()),
            "data": pa.array([json.dumps(coverage_to_json(one)) for one in found.values()], pa.string()),
        }
    )


def rules(engine: Engine) -> list[KeepRule]:
    """Those that hold now, oldest first."""
    rows = engine.query(_RULES, {"now": time.time_ns()})
    return [KeepRule(row["id"], row["expression"], row["made_ns"], row["until_ns"]) for row in rows]


def rule_rows(found: list[KeepRule]) -> pa.Table:
    """Table ``keep_rules``."""
    now = time.time_ns()
    return pa.table(
        {
            "id": pa.array([one.id for one in found], pa.string()),
            "version": pa.array([now] * len(found), pa.uint64()),
            "expression": pa.array([one.expression for one in found], pa.string()),
            "made_ns": pa.array([one.made_ns for one in found], pa.uint64()),
            "until_ns": pa.array([one.until_ns for one in found], pa.uint64()),
        }
    )

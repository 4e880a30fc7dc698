"""Failure groups: kept requests that failed of one cause, counted with their weights."""

from __future__ import annotations

import hashlib
from typing import Any

from aftertrace.store.engine import Engine
from aftertrace.wire.bundle import Group

BUCKETS = 12  # of a trend

# A request that failed in several services says so in each: the first, which is the innermost, names its group.
_FIRSTS = """
SELECT
    trace_id,
    argMin(tuple(toString(group_id), toString(title), reason, toString(service), toString(route), toString(version)),
        (time_ns, trigger, process_uid)) AS first,
    min(time_ns) AS at_ns,
    max(weight) AS stands_for
FROM kept FINAL WHERE role = 'failure' GROUP BY trace_id
"""
_GROUPS = f"""
SELECT
    first.1 AS id,
    argMax(if(first.2 = '', first.3, first.2), at_ns) AS title,
    sum(stands_for) AS count,
    count() AS kept,
    min(at_ns) AS first_ns,
    max(at_ns) AS last_ns,
    sumForEach(arrayMap(
        bucket -> if(
            bucket = least(floor((at_ns - {{since:UInt64}}) / {{span:UInt64}} * {BUCKETS}), {BUCKETS - 1}),
            stands_for,
            0
        ),
        range({BUCKETS})
    )) AS trend,
    arraySort(groupUniqArray(first.4)) AS services,
    arraySort(groupUniqArrayIf(first.5, first.5 != '')) AS routes,
    arraySort(groupUniqArrayIf(first.6, first.6 != '')) AS versions,
    argMax(trace_id, at_ns) AS newest
FROM ({_FIRSTS}) WHERE at_ns BETWEEN {{since:UInt64}} AND {{until:UInt64}}
GROUP BY id ORDER BY last_ns DESC, id LIMIT {{limit:UInt64}}
"""
_MEMBERS = f"""
SELECT trace_id FROM ({_FIRSTS}) WHERE first.1 = {{group:String}} ORDER BY at_ns DESC, trace_id LIMIT {{limit:UInt64}}
"""
# Healthy ones of the same part of the same service, those nearest in time first.
_SIBLINGS = """
SELECT trace_id, min(abs(toInt64(time_ns) - toInt64(mine.at_ns))) AS distance
FROM (
    SELECT trace_id, service, route, time_ns FROM kept FINAL
    WHERE role = 'sibling' AND trace_id != unhex({trace:String})
) AS other
INNER JOIN (
    SELECT service, route, min(time_ns) AS at_ns FROM kept FINAL
    WHERE trace_id = unhex({trace:String}) AND route != '' GROUP BY service, route
) AS mine ON other.service = mine.service AND other.route = mine.route
GROUP BY trace_id ORDER BY distance, trace_id LIMIT {limit:UInt64}
"""
_NEIGHBOURS = """
SELECT DISTINCT trace_id FROM kept WHERE of_trace = unhex({trace:String}) AND trace_id != of_trace
ORDER BY trace_id LIMIT {limit:UInt64}
"""


def of(service: str, trigger: str, reason: str) -> tuple[str, str]:
    """(id, title) of the group of a failure whose agent named none: the exception's kind within its service."""
    kind = reason.split(":", 1)[0].strip()[:120] if trigger != "process-death" else trigger
    title = f"{kind or trigger} in {service}"
    return hashlib.blake2b(f"{trigger}\0{title}".encode(), digest_size=8).hexdigest(), title


def page(engine: Engine, since_ns: int, until_ns: int, limit: int) -> list[Group]:
    """Those that failed in that time, the last one first."""
    span = max(until_ns - since_ns, 1)
    asked = {"since": since_ns, "until": until_ns, "span": span, "limit": limit}
    return [_group(row) for row in engine.query(_GROUPS, asked)]


def members(engine: Engine, group: str, limit: int) -> list[str]:
    """Requests of a group, newest first."""
    return _ids(engine.query(_MEMBERS, {"group": group, "limit": limit}))


def siblings(engine: Engine, trace_id: str, limit: int) -> list[str]:
    return _ids(engine.query(_SIBLINGS, {"trace": trace_id, "limit": limit}))


def neighbours(engine: Engine, trace_id: str, limit: int) -> list[str]:
    return _ids(engine.query(_NEIGHBOURS, {"trace": trace_id, "limit": limit}))


def _ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["trace_id"].hex() for row in rows]


def _group(row: dict[str, Any]) -> Group:
    return Group(
        id=row["id"],
        title=row["title"],
        count=row["count"],
        kept=row["kept"],
        first_ns=row["first_ns"],
        last_ns=row["last_ns"],
        trend=list(row["trend"]),
        services=row["services"],
        routes=row["routes"],
        versions=row["versions"],
        newest=row["newest"].hex(),
    )

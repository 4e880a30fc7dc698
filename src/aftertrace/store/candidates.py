"""Kept requests that may hold what a query asks for, in the order in which `find` judges them: newest first."""

from __future__ import annotations

from aftertrace.store import spansets
from aftertrace.store.conditions import Conditions
from aftertrace.store.engine import Engine
from aftertrace.traceql.tree import Query
from aftertrace.wire.bundle import Candidate

_ALL = """
SELECT trace_id, min(time_ns) AS first_ns FROM kept WHERE {where}
GROUP BY trace_id HAVING first_ns BETWEEN {{since:UInt64}} AND {{until:UInt64}}
"""
_PAGE = f"""{_ALL} AND (first_ns < {{{{after_ns:UInt64}}}} OR (first_ns = {{{{after_ns:UInt64}}}}
    AND trace_id > toFixedString(unhex({{{{after:String}}}}), 16)))
ORDER BY first_ns DESC, trace_id LIMIT {{{{limit:UInt64}}}}"""
_FIRST = f"{_ALL} ORDER BY first_ns DESC, trace_id LIMIT {{{{limit:UInt64}}}}"


def page(
    engine: Engine, query: Query, between: tuple[int, int], after: Candidate | None, limit: int
) -> list[Candidate]:
    """Those kept ``between`` two times (ns) behind ``after``."""
    conditions = Conditions()
    where = spansets.may(query, conditions) or "1"
    asked = {**conditions.parameters, "since": between[0], "until": between[1], "limit": limit}
    if after is not None:
        asked |= {"after_ns": after.time_ns, "after": after.trace_id}
    rows = engine.query((_PAGE if after else _FIRST).format(where=where), asked)
    return [Candidate(row["trace_id"].hex(), row["first_ns"]) for row in rows]


def count(engine: Engine, query: Query, between: tuple[int, int]) -> tuple[int, int]:
    """(how many may hold it, how many were kept in that time)"""
    conditions = Conditions()
    where = spansets.may(query, conditions) or "1"
    asked = {**conditions.parameters, "since": between[0], "until": between[1]}
    counts = [
        engine.query(f"SELECT count() AS n FROM ({_ALL.format(where=one)})", asked)[0]["n"] for one in (where, "1")
    ]
    return counts[0], counts[1]

"""``ls``: the kept requests, newest first."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from aftertrace.errors import UsageError
from aftertrace.explain.question import Parameter, Question, Sources
from aftertrace.wire.bundle import KeptTrace

MOST = 1000


@dataclass(frozen=True, slots=True)
class Listing:
    """Kept requests; ``more`` when the limit cut the list."""

    query: str
    traces: list[KeptTrace]
    more: bool

    def to_json(self) -> dict[str, Any]:
        return {"query": self.query, "traces": [asdict(trace) for trace in self.traces], "more": self.more}


def ask(sources: Sources, *, query: str, limit: int) -> Listing:
    """At most ``limit`` (1 .. 1000) kept requests that fit the query."""
    if not 1 <= limit <= MOST:
        raise UsageError("bad-limit", f"limit={limit} is not between 1 and {MOST}.", "Narrow the query instead.")
    found = sources.kept(limit + 1, query)
    return Listing(query, found[:limit], more=len(found) > limit)


QUESTION = Question(
    name="ls",
    help="Kept requests, newest first.",
    parameters=(
        Parameter("query", "For example: service=orders status=error name~checkout since=15m", default=""),
        Parameter("limit", f"How many at most, up to {MOST}.", int, 20),
    ),
    ask=ask,
)

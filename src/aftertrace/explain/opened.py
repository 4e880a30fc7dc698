"""One trace from a file: asked as a server would be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aftertrace.errors import NotFound
from aftertrace.traceql.tree import Query
from aftertrace.wire.bundle import Candidate, Group, KeptTrace, TraceData


class Opened:
    """Sources of a single trace, which every reference means."""

    def __init__(self, trace: TraceData) -> None:
        self._trace = trace

    def trace(self, trace_id: str) -> TraceData:
        if trace_id != self._trace.trace_id:
            raise NotFound("no-such-trace", f"Trace {trace_id} is not in this file.", "It holds one trace.")
        return self._trace

    def traces(self, trace_ids: Sequence[str]) -> Iterator[TraceData]:
        return (self._trace if one == self._trace.trace_id else TraceData(one) for one in trace_ids)

    def resolve(self, given: str) -> str:  # noqa: ARG002  # there is one
        return self._trace.trace_id

    def kept(self, limit: int, query: str) -> list[KeptTrace]:  # noqa: ARG002
        return []

    def candidates(
        self,
        query: Query,  # noqa: ARG002
        between: tuple[int, int],  # noqa: ARG002
        after: Candidate | None,
        limit: int,  # noqa: ARG002
    ) -> list[Candidate]:
        return [Candidate(self._trace.trace_id, 0)] if after is None else []

    def count(self, query: Query, between: tuple[int, int]) -> tuple[int, int]:  # noqa: ARG002
        return 1, 1

    def skeletons(self, trace_ids: Sequence[str], *, code: bool) -> Iterator[TraceData]:  # noqa: ARG002
        return (self.trace(one) for one in trace_ids)

    def groups(self, since_ns: int, until_ns: int, limit: int) -> list[Group]:  # noqa: ARG002
        return []

    def members(self, group: str, limit: int) -> list[str]:  # noqa: ARG002
        return []

    def siblings(self, trace_id: str, limit: int) -> list[str]:  # noqa: ARG002
        return []

    def neighbours(self, trace_id: str, limit: int) -> list[str]:  # noqa: ARG002
        return []

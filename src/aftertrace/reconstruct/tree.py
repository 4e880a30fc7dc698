"""The spans of one trace as a tree, whatever is missing from it: parents that are absent, circles, several roots."""

from __future__ import annotations

from collections.abc import Mapping

from aftertrace.model import Span, SpanKind

ENTRIES = (SpanKind.SERVER, SpanKind.CONSUMER)
EXITS = (SpanKind.CLIENT, SpanKind.PRODUCER)


class SpanTree:
    """Parents, children, and the entry span of each service's part of the request."""

    def __init__(self, spans: Mapping[str, Span]) -> None:
        self.spans = spans
        self._parent = _without_circles(spans)
        self._entries: dict[str, str] = {}
        self._children: dict[str, list[str]] = {}
        for span_id, parent in self._parent.items():
            self._children.setdefault(parent, []).append(span_id)

    @property
    def roots(self) -> list[Span]:
        """Spans without a recorded parent, in start order."""
        return self.children("")

    def parent(self, span_id: str) -> Span | None:
        return self.spans.get(self._parent.get(span_id, ""))

    def children(self, span_id: str) -> list[Span]:
        """In start order."""
        found = [self.spans[one] for one in self._children.get(span_id, ())]
        return sorted(found, key=lambda span: (span.start_ns, span.span_id))

    def entry(self, span_id: str) -> str:
        """The span with which the part of the request begins that a span belongs to; "" for an unknown span."""
        way: list[str] = []
        found = ""
        current = span_id
        while current in self.spans:
            if current in self._entries:
                found = self._entries[current]
                break
            way.append(current)
            span, parent = self.spans[current], self.parent(current)
            if span.kind in ENTRIES or parent is None or parent.service != span.service:
                found = current
                break
            current = parent.span_id
        for one in way:
            self._entries[one] = found
        return found

    def depth(self, span_id: str) -> int:
        """Spans above it."""
        depth = 0
        parent = self.parent(span_id)
        while parent is not None:
            depth += 1
            parent = self.parent(parent.span_id)
        return depth

    def upstream(self, span_id: str) -> Span | None:
        """The span of another part of the request that caused the part to which a span belongs."""
        return self.parent(self.entry(span_id))


def _without_circles(spans: Mapping[str, Span]) -> dict[str, str]:
    """Parent of each span, "" for roots."""
    return open_circles({key: span.parent_id if span.parent_id in spans else "" for key, span in spans.items()})


def open_circles(parents: dict[str, str]) -> dict[str, str]:
    """The same with each circle opened at the member that is met first, which becomes a root."""
    safe: set[str] = {""}
    for one in parents:
        way: dict[str, None] = {}
        current = one
        while current not in safe and current not in way:
            way[current] = None
            current = parents[current]
        if current not in safe:
            parents[current] = ""
        safe.update(way)
    return parents

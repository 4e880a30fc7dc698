"""The critical path of a request: what it waited for at each of its moments, from its spans alone.

Backwards from the end: what ended last before a moment is what was waited for until then. Where nothing had ended but
something was running, that; else the span itself worked. So the segments cover the request without gap or overlap,
whatever is missing from its spans or wrong in them.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from urllib.parse import urlsplit

from aftertrace.model import Span, SpanKind
from aftertrace.reconstruct.tree import ENTRIES, EXITS, SpanTree

_WAITING = "wait for a connection"  # record/boundaries/stores.py: a connection of a pool is waited for
_MOST_OPENED = 8  # pieces of one span that are looked into, where others cover it in between
_MOST_ORPHANS = 200
_ROUNDING_NS = 2_000  # by which spans of one clock may overlap though one followed the other
_SKEWED = 10  # across hosts: the tenth part of the later span
_VARYING = re.compile(r"\d|^[0-9a-fA-F-]{16,}$")
_LONG_WHAT = 300

type Piece = tuple[int, int, Span, bool]  # start, end, span, whether it is looked into


class Kind(StrEnum):
    """What a segment's time is."""

    CODE = "code"  # the service's own code, and its framework's
    STATEMENT = "statement"  # a database or another store
    CALL = "call"  # between a client and its server, or a service that sent no spans
    POOL = "pool"  # a connection was waited for
    UNRECORDED = "unrecorded"  # in a span that never ended, after the last that is known of it


@dataclass(frozen=True, slots=True)
class Segment:
    """Time that a span spent on itself, ns; ``what`` in words: own code, a statement's text, a URL's template."""

    start_ns: int
    end_ns: int
    span: Span
    kind: Kind
    what: str

    @property
    def duration_ns(self) -> int:
        return self.end_ns - self.start_ns


@dataclass(slots=True)
class Row:
    """All segments of a service that are of one kind and say the same."""

    service: str
    kind: Kind
    what: str
    total_ns: int = 0
    spans: dict[str, int] = field(default_factory=dict)  # span id -> ns of it on the path

    @property
    def count(self) -> int:
        return len(self.spans)

    @property
    def each_ns(self) -> int:
        return self.total_ns // max(len(self.spans), 1)


@dataclass(frozen=True, slots=True)
class Path:
    """``segments`` follow each other from ``start_ns`` to ``end_ns`` (corrected clock)."""

    root: Span
    start_ns: int
    end_ns: int
    segments: Sequence[Segment]

    @property
    def duration_ns(self) -> int:
        return self.end_ns - self.start_ns

    def rows(self) -> list[Row]:
        """By total, the longest first."""
        found: dict[tuple[str, Kind, str], Row] = {}
        for one in self.segments:
            key = (one.span.service, one.kind, one.what)
            row = found.setdefault(key, Row(*key))
            row.total_ns += one.duration_ns
            row.spans[one.span.span_id] = row.spans.get(one.span.span_id, 0) + one.duration_ns
        return sorted(found.values(), key=lambda row: -row.total_ns)


def critical(
    tree: SpanTree, until_ns: int = 0, known: Mapping[str, int] | None = None, root: Span | None = None
) -> Path | None:
    """The path of a part of the request, or of its longest root; None: there is no span, or it took no time.

    ``until_ns``: the last that is known of it, for a span that never ended; ``known``: by span id the time of its last
    step."""
    last = max([until_ns, *(max(one.start_ns, one.end_ns) for one in tree.spans.values())], default=0)
    roots = [root] if root is not None else tree.roots
    root = max(roots, key=lambda one: (one.end_ns or last) - one.start_ns, default=None)
    if root is None or (root.end_ns or last) <= root.start_ns:
        return None
    end = root.end_ns or last
    walk = _Walk(tree, root, last, known or {})
    return Path(root, root.start_ns, end, walk.segments(root.start_ns, end))


class _Walk:
    """Through the spans below one root."""

    def __init__(self, tree: SpanTree, root: Span, last_ns: int, known: Mapping[str, int]) -> None:
        self._tree = tree
        self._root = root
        self._adopted = _adopted(tree, root, last_ns)
        self._known = self._known_until(known)
        self._shift: dict[str, int] = {root.span_id: 0}  # ns to add to a span's times
        self._opened: dict[str, int] = {}

    def segments(self, start: int, end: int) -> list[Segment]:
        found: list[Segment] = []
        todo: list[Piece] = [(start, end, self._root, True)]
        while todo:
            low, high, span, inside = todo.pop()
            if not inside:
                found += self._own(span, low, high)
                continue
            pieces = self._pieces(span, low, high)
            todo += pieces  # latest first, so that the earliest is taken next
        return found

    # -- one span

    def _pieces(self, span: Span, low: int, high: int) -> list[Piece]:
        """What a span waited for from ``low`` to ``high``, latest first."""
        opened = self._opened[span.span_id] = self._opened.get(span.span_id, 0) + 1
        children = list(self._waited(span, low, high)) if opened <= _MOST_OPENED else []
        children.sort(key=lambda one: (-one[1], one[0], one[2].span_id))
        chosen: list[tuple[int, int, Span]] = []
        others: deque[tuple[int, int, Span]] = deque()
        cursor = high
        for start, end, child in children:
            if start < cursor and end <= cursor + _slack(child, chosen, start, end):
                chosen.append((start, min(end, cursor), child))
                cursor = start
            else:
                others.append((start, end, child))
        pieces: list[Piece] = []
        edges = [(high, high, span), *chosen, (low, low, span)]
        for (upper, _, _), (start, end, child) in pairwise(edges):
            pieces += self._between(span, end, upper, others)
            if start < end:
                pieces.append((start, end, child, True))
        return pieces

    @staticmethod
    def _between(span: Span, low: int, high: int, others: deque[tuple[int, int, Span]]) -> Iterator[Piece]:
        """Of the time between two children: those that were running meanwhile, else the span's own. ``others``: by
        their ends, the last first; those that cannot lie before ``high`` are taken out."""
        cursor = high
        while cursor > low:
            while others and others[0][0] >= cursor:
                others.popleft()
            end = min(others[0][1], cursor) if others else low
            if end <= low:
                break
            start, child = max(others[0][0], low), others[0][2]
            if end < cursor:
                yield end, cursor, span, False
            yield start, end, child, True
            cursor = start
        if cursor > low:
            yield low, cursor, span, False

    def _own(self, span: Span, low: int, high: int) -> list[Segment]:
        kind, what = describe(self._tree, span)
        known = self._known.get(span.span_id, high) + self._shift.get(span.span_id, 0)
        if span.end_ns or kind is not Kind.CODE or known >= high:
            return [Segment(low, high, span, kind, what)]
        middle = max(low, known)
        found = [Segment(low, middle, span, kind, what)] if middle > low else []
        return [*found, Segment(middle, high, span, Kind.UNRECORDED, "after the last that is known")]

    # -- children

    def _waited(self, span: Span, low: int, high: int) -> Iterator[tuple[int, int, Span]]:
        """The children that it may have waited for, within its own time."""
        shift = self._shift.get(span.span_id, 0)
        first, last = span.start_ns + shift, (span.end_ns + shift if span.end_ns else high)
        for child in [*self._tree.children(span.span_id), *self._adopted.get(span.span_id, ())]:
            found = self._interval(span, child, (first, last))
            if found is None:
                continue
            start, end = max(found[0], low), min(found[1], high)
            if start < end:
                yield start, end, child

    def _interval(self, span: Span, child: Span, own: tuple[int, int]) -> tuple[int, int] | None:
        """When a child ran, on the parent's clock; None: its parent went on without it."""
        answers = child.service != span.service and child.kind is SpanKind.SERVER
        end = child.end_ns or (own[1] if answers or not span.end_ns else self._known.get(child.span_id, 0))
        shift = self._shift.get(span.span_id, 0)
        if child.service != span.service:
            shift = _centred(child.start_ns, end, own) if answers and child.end_ns else 0
        self._shift.setdefault(child.span_id, shift)
        start, end = child.start_ns + shift, end + shift
        if child.kind is SpanKind.CONSUMER and (start < own[0] or end > own[1]):
            return None
        if end > own[1] + _ROUNDING_NS and not answers and child.service == span.service:
            return None
        return start, end

    def _known_until(self, known: Mapping[str, int]) -> dict[str, int]:
        """The last moment known of each span and what is below it in its service."""
        order = [self._root]
        for span in order:
            order += self._tree.children(span.span_id)
            order += self._adopted.get(span.span_id, ())
        found: dict[str, int] = {}
        for span in reversed(order):
            own = max(span.end_ns or span.start_ns, known.get(span.span_id, 0), found.get(span.span_id, 0))
            found[span.span_id] = own
            parent = self._tree.parent(span.span_id)
            if parent is not None and parent.service == span.service:
                found[parent.span_id] = max(found.get(parent.span_id, 0), own)
        return found


def _slack(child: Span, chosen: list[tuple[int, int, Span]], start: int, end: int) -> int:
    """By how much a child may overlap with the one that followed it."""
    after = chosen[-1][2] if chosen else None
    if after is None or after.service == child.service:
        return _ROUNDING_NS if end - start > 2 * _ROUNDING_NS else 0
    return (end - start) // _SKEWED


def _centred(start: int, end: int, own: tuple[int, int]) -> int:
    """What to add to a server's times so that they lie within its client's: 0 where they do, or cannot."""
    if (start >= own[0] and end <= own[1]) or end - start > own[1] - own[0]:
        return 0
    return (own[0] + own[1] - start - end) // 2


def _adopted(tree: SpanTree, root: Span, last_ns: int) -> dict[str, list[Span]]:
    """Servers whose client sent no span, below the shortest call that nobody else answered and in which they lie."""
    orphans = [one for one in tree.roots if one is not root and one.kind in ENTRIES][:_MOST_ORPHANS]
    if not orphans:
        return {}
    calls = [
        one for one in tree.spans.values() if one.kind in EXITS and not tree.children(one.span_id) and not _store(one)
    ]
    found: dict[str, list[Span]] = {}
    for orphan in orphans:
        end = orphan.end_ns or orphan.start_ns
        around = [
            one for one in calls
            if one.service != orphan.service and one.start_ns <= orphan.start_ns and end <= (one.end_ns or last_ns)
        ]  # fmt: skip
        if around:
            nearest = min(around, key=lambda one: ((one.end_ns or last_ns) - one.start_ns, one.span_id))
            found.setdefault(nearest.span_id, []).append(orphan)
    return found


# -- in words


def describe(tree: SpanTree, span: Span) -> tuple[Kind, str]:
    """What the time is that a span spent on itself."""
    if _store(span):
        if span.name == _WAITING:
            return Kind.POOL, "wait for a connection of the pool"
        text = span.attributes.get("db.query.text") or span.attributes.get("db.statement") or span.name
        return Kind.STATEMENT, " ".join(str(text).split())[:_LONG_WHAT]
    if span.name == _WAITING:
        return Kind.POOL, "wait for a connection of the pool"
    if span.kind in EXITS:
        return Kind.CALL, _call(tree, span)
    return Kind.CODE, "own code"


def _store(span: Span) -> bool:
    return any(name in span.attributes for name in ("db.system.name", "db.system", "db.query.text", "db.statement"))


def _call(tree: SpanTree, span: Span) -> str:
    """``GET orders/carts/?``: by what it calls, without what varies."""
    attributes = span.attributes
    if span.kind is SpanKind.PRODUCER:
        queue = str(attributes.get("messaging.destination.name") or span.name)
        return f"send {queue}"[:_LONG_WHAT]
    method = str(attributes.get("http.request.method") or attributes.get("http.method") or "")
    url = str(attributes.get("url.template") or attributes.get("url.full") or attributes.get("http.url") or "")
    peers = {one.service for one in tree.children(span.span_id) if one.service != span.service}
    if not url:
        return (f"{span.name} of {min(peers)}" if peers else span.name)[:_LONG_WHAT]
    return f"{method} {template(url, min(peers, default=''))}".strip()[:_LONG_WHAT]


def template(url: str, service: str = "") -> str:
    """A URL without its query, with ``?`` for the parts of its path that look like ids, its host as the service's name
    where that is known."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition("?")[0]
    path = "/".join("?" if _VARYING.search(one) else one for one in parts.path.split("/"))
    if service:
        return f"{service}{path}"
    return f"{parts.scheme}://{parts.netloc}{path}" if parts.netloc else path

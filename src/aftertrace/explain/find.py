"""``find``: which recorded requests hold what a query asks for, and where in them; the query language is docs/query.md.

One answer is a page: what could be judged in about two seconds, newest request first. ``cursor`` asks for the next one,
so that whoever asks sees how far it is, can stop, and holds what was found. One request is in memory at a time.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from aftertrace.errors import NotFound, UsageError
from aftertrace.explain import matches, spansets
from aftertrace.explain.question import Parameter, Question, Sources
from aftertrace.explain.unmet import Unmet
from aftertrace.explain.world import World
from aftertrace.reconstruct.build import build
from aftertrace.traceql import moments
from aftertrace.traceql.tree import Query
from aftertrace.wire.bundle import Candidate, TraceData

MOST = 1000
_PAGE_S = 2.0  # after which a page ends with the request that is being judged
_PAGE_REQUESTS = 1000
_CHUNK = 50
_REASONS = 20
_LOOKED_AT = 20
_CURSOR = re.compile(r"(\d{1,19})\.([0-9a-f]{32})\.(\d{1,19})")


@dataclass(slots=True)
class Page:
    """``of``: requests of the time whose spans do not rule it out, of ``kept`` ones; ``judged``: of this page."""

    query: str
    kept: int
    of: int
    judged: int = 0
    matched: int = 0
    unjudged: int = 0  # no match, and it may be that there is one
    reasons: Counter[str] = field(default_factory=Counter)  # why, with the number of requests
    requests: list[dict[str, Any]] = field(default_factory=list)  # with their matches
    told: int = 0  # matches
    unmet: list[dict[str, Any]] = field(default_factory=list)
    judged_back_to_ns: int = 0
    cursor: str = ""  # "" after the last request

    def to_json(self) -> dict[str, Any]:
        reasons = [{"reason": reason, "requests": count} for reason, count in self.reasons.most_common(_REASONS)]
        return {
            "query": self.query,
            "kept": self.kept,
            "of": self.of,
            "judged": self.judged,
            "matched": self.matched,
            "unjudged": self.unjudged,
            "reasons": reasons,
            "requests": self.requests,
            "matches": self.told,
            "unmet": self.unmet,
            "judged_back_to_ns": self.judged_back_to_ns,
            "cursor": self.cursor,
        }


def ask(sources: Sources, *, query: str, since: str, until: str, limit: int, cursor: str) -> Page:
    """A page of at most ``limit`` (1 .. 1000) matches. UsageError: query, time, limit or cursor."""
    from aftertrace.traceql.parse import parse  # noqa: PLC0415  # the light install has no parser

    if not 1 <= limit <= MOST:
        raise UsageError("bad-limit", f"limit={limit} is not between 1 and {MOST}.", "Take the next page instead.")
    asked = parse(query)
    after, until_ns = _begin(cursor, until)
    since_ns = _moment("since", since, 0)
    between = (since_ns, until_ns)
    of, kept = sources.count(asked, between)
    judging = _Judging(sources, asked, limit, Page(query, kept, of))
    page, end = judging.page, time.monotonic() + _PAGE_S
    for one, trace in _candidates(sources, asked, between, after):
        if page.told >= limit or page.judged >= _PAGE_REQUESTS or (page.judged and time.monotonic() > end):
            break
        judging.judge(one, trace)
        page.cursor, page.judged_back_to_ns = f"{one.time_ns}.{one.trace_id}.{until_ns}", one.time_ns
    else:
        page.cursor = ""
    if not of and kept:
        judging.look(sources.candidates(parse("{ }"), between, None, _LOOKED_AT))
    page.unmet = judging.unmet.told(spans_only=not of)
    return page


def _candidates(
    sources: Sources, query: Query, between: tuple[int, int], after: Candidate | None
) -> Iterator[tuple[Candidate, TraceData]]:
    while chunk := sources.candidates(query, between, after, _CHUNK):
        yield from zip(chunk, sources.skeletons([one.trace_id for one in chunk], code=query.on_code()), strict=True)
        after = chunk[-1]


class _Judging:
    """One request after the other, into a page."""

    def __init__(self, sources: Sources, query: Query, limit: int, page: Page) -> None:
        self._sources = sources
        self._query = query
        self._limit = limit
        self.page = page
        self.unmet = Unmet(query)

    def judge(self, one: Candidate, trace: TraceData) -> None:
        world = World(build(trace))
        found = spansets.ask(self._query, world)
        self.page.judged += 1
        if found.yes:
            self._tell(one)
        elif doubts := found.doubts():
            self.page.unjudged += 1
            self.page.reasons.update(doubts[:_REASONS])
        self.unmet.look(world)

    def look(self, others: Sequence[Candidate]) -> None:
        """At the names in spans of some requests that are ruled out: which of the query's are not there?"""
        for trace in self._sources.skeletons([one.trace_id for one in others], code=False):
            self.unmet.look(World(build(trace)))

    def _tell(self, one: Candidate) -> None:
        """With all that there is of it: its sources, too."""
        try:
            world = World(build(self._sources.trace(one.trace_id)))
        except NotFound:
            return  # it was removed meanwhile
        found = spansets.ask(self._query, world)
        page, root = self.page, world.root
        places = matches.places(world, found.yes)
        shown = places[: min(matches.MOST, self._limit - page.told)]
        page.matched += 1
        page.told += len(shown)
        page.requests.append(
            {
                "trace_id": one.trace_id,
                "time_ns": root.start_ns if root else one.time_ns,
                "name": root.name if root else "",
                "matches": [matches.to_json(world, place) for place in shown],
                "more": len(places) - len(shown),
            }
        )


def _begin(cursor: str, until: str) -> tuple[Candidate | None, int]:
    """Behind which request it goes on, and until when requests count: what is kept later shifts no page."""
    if not cursor:
        now = time.time_ns()
        return None, _moment("until", until, now)
    match = _CURSOR.fullmatch(cursor)
    if match is None or max(int(match[1]), int(match[3])) >= 1 << 63:
        raise UsageError("bad-cursor", f"cursor={cursor[:40]!r} is none.", "Take that of the page before.")
    return Candidate(match[2], int(match[1])), int(match[3])


def _moment(name: str, given: str, default: int) -> int:
    if not given:
        return default
    found = moments.moment(given, time.time_ns())
    if found is None:
        hint = "For example 15m, 24h, 7d or 2026-11-25T10:00."
        raise UsageError(f"bad-{name}", f"{name}={given[:40]!r} is no time.", hint)
    return found


QUESTION = Question(
    name="find",
    help="Where, in all recorded requests, a condition on spans, calls, lines and values held.",
    parameters=(
        Parameter("query", 'For example: { call.function = "reserve" && arg.qty < 0 }'),
        Parameter("since", "From when on: 15m, 24h, 7d, or a time.", default=""),
        Parameter("until", "Until when: 15m, 24h, 7d, or a time.", default=""),
        Parameter("limit", f"How many matches at most, up to {MOST}.", int, 20),
        Parameter("cursor", "Of the page before, to go on.", default=""),
    ),
    ask=ask,
)

"""``groups``: kept failures by cause, the last that failed first."""

from __future__ import annotations

import re
import time
from dataclasses import asdict, dataclass
from typing import Any

from aftertrace.errors import UsageError
from aftertrace.explain.question import Parameter, Question, Sources
from aftertrace.wire.bundle import Group

MOST = 1000
_SPAN = re.compile(r"(\d{1,6})(s|m|h|d)")
_UNITS = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of a time; ``more`` when the limit cut the list. The trend's parts divide the time evenly."""

    since_ns: int
    until_ns: int
    groups: list[Group]
    more: bool

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "groups": [asdict(group) for group in self.groups]}


def ask(sources: Sources, *, since: str, limit: int) -> Groups:
    """At most ``limit`` (1 .. 1000) groups since a span of time ago."""
    if not 1 <= limit <= MOST:
        raise UsageError("bad-limit", f"limit={limit} is not between 1 and {MOST}.", "Ask for less time instead.")
    match = _SPAN.fullmatch(since)
    if match is None:
        raise UsageError("bad-since", f"since={since[:40]!r} is no span of time.", "For example 15m, 24h or 7d.")
    until_ns = time.time_ns()
    since_ns = max(until_ns - int(match[1]) * _UNITS[match[2]], 0)
    found = sources.groups(since_ns, until_ns, limit + 1)
    return Groups(since_ns, until_ns, found[:limit], more=len(found) > limit)


QUESTION = Question(
    name="groups",
    help="Kept failures by cause: how many, since when, which versions and routes.",
    parameters=(
        Parameter("since", "How far back: 15m, 24h, 7d.", default="24h"),
        Parameter("limit", f"How many at most, up to {MOST}.", int, 20),
    ),
    ask=ask,
)

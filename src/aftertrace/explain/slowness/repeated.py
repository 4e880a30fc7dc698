"""One line's repeated calls as the reason why a request was slow: proven by their number, or likely."""

from __future__ import annotations

from typing import Any

from aftertrace.explain.cause.finding import Finding
from aftertrace.explain.cause.hops import Link
from aftertrace.explain.scene.company import Company
from aftertrace.explain.scene.scene import Scene
from aftertrace.explain.slowness import iterated, repeats
from aftertrace.explain.slowness.intervals import Intervals
from aftertrace.explain.slowness.iterated import Iterated
from aftertrace.explain.slowness.path import Kind, Row
from aftertrace.explain.slowness.repeats import Loop, Parts, Place
from aftertrace.explain.slowness.usual import LEAST_SIBLINGS, Counted, Usual, quantile
from aftertrace.model import Value
from aftertrace.reconstruct import levels, operators
from aftertrace.reconstruct.text import duration

_CALLS = 0.3  # of a loop's time
_OUTSIDE = 0.1  # of the rounds' time


def find(scene: Scene, parts: Parts, usual: Usual, company: Company) -> Finding | None:
    """None: no line's rounds made it slow, or each of them took longer than usual rather than being more."""
    loop = repeats.chief(scene, parts)
    if loop is None:
        return None
    place = repeats.place(scene, loop.frame, loop.line)
    counted = usual.counted(place)
    took, shared = _whole(scene, parts, loop)
    small = usual.doubts(took, counted.usual_ns, parts.path.duration_ns)
    if small is None or not _by_number(loop, counted):
        return None
    went = iterated.iterated(scene, loop)
    doubts = [*small, *shared, *_doubts(scene, loop, counted), *_unsure(loop)]
    first = loop.rounds[0].step
    ran = scene.line_before(loop.frame, first)
    name, value = (f"len({went.name})", operators.make(went.size)) if went is not None else ("", None)
    told = _details(scene, loop, counted, went)
    told |= {"took_ns": took, "share": took / parts.path.duration_ns}
    impact = _impact(scene, company, place, counted)
    return Finding(
        kind="slow",
        status="likely" if doubts else "verified",
        says=_says(scene, loop, counted),
        links=[Link(loop.frame, loop.line, first, name, value, ran=first if ran is None else ran)],
        values=_values(name, value),
        doubts=doubts,
        ruled_out=_ruled_out(loop, usual),
        unknown=[] if went is not None else ["how many items it went over: that is not among what was recorded"],
        details={"made_by": "repeated", "repeated": told, "impact": impact},
    )


def _whole(scene: Scene, parts: Parts, loop: Loop) -> tuple[int, list[str]]:
    """ns of the path that the rounds made, with what a loop's own code did between them: an ORM's work around each of
    its queries, a fetch after it. And why it may not be this line's: lines carry no times of their own."""
    if not iterated.is_loop(scene, loop.frame, loop.line):
        return loop.path_ns, []
    below = parts.below(loop.frame)
    extent = Intervals([(loop.rounds[0].start_ns, max(one.end_ns for one in loop.rounds))]).common(below)
    again = [one for one in repeats.loops(scene, parts) if one.frame is loop.frame and one.count == loop.count]
    calls = Intervals((each.start_ns, each.end_ns) for one in again for each in one.rounds).common(below)
    if extent <= loop.path_ns:
        return loop.path_ns, []
    lines = iterated.between(scene, loop)
    if calls >= _CALLS * extent or not lines - {loop.line}:
        return extent, []
    return extent, [f"the time between its rounds is that of lines {min(lines)}-{max(lines)} together"]


def _by_number(loop: Loop, counted: Counted) -> bool:
    """Whether it is that there were more rounds than usual, rather than that each took longer."""
    if not counted.counts:
        return True
    if loop.count <= max(counted.counts):
        return False
    if not counted.each:
        return True
    middle, often = quantile(sorted(counted.each), 0.5), quantile(sorted(counted.counts), 0.5)
    return loop.each_ns / max(middle, 1) <= loop.count / max(often, 1)


def _doubts(scene: Scene, loop: Loop, counted: Counted) -> list[str]:
    """Why it does not follow from the recording: nothing where there are more rounds than in any sibling, or where the
    same statement ran one after the other with different parameters."""
    if not loop.sequential:
        return ["some of the rounds ran at the same time"]
    if len(counted.counts) >= LEAST_SIBLINGS:
        return []
    row = _outside(loop)
    if row is not None and row.count >= loop.count and repeats.different(scene, loop) > 1:
        return []
    few = len(counted.counts)
    return [f"only {few} healthy siblings to compare it with" if few else "no healthy sibling to compare it with"]


def _unsure(loop: Loop) -> list[str]:
    """Without lines a frame's own calls to stores are not told apart by line; one round may have been the reason."""
    if loop.uneven:
        return [f"one of the rounds took {duration(loop.longest_ns)} of it"]
    if loop.frame.level == "lines" or all(one.frame is not None for one in loop.rounds):
        return []
    return [f"which line of {loop.frame.code.qualname}: {levels.of_call(loop.frame)}"]


def _says(scene: Scene, loop: Loop, counted: Counted) -> str:
    order = "one after the other" if loop.sequential else "some of them at once"
    said = f"{_does(scene, loop)} {loop.count:,} times, {order}"
    if counted.counts:
        low, high = min(counted.counts), max(counted.counts)
        said += f"; healthy siblings {low:,}-{high:,}" if low < high else f"; healthy siblings {high:,}"
    return said


def _does(scene: Scene, loop: Loop) -> str:
    """``runs models.py:31's query``, ``calls quote()``."""
    row = _outside(loop)
    site = repeats.site(scene, row) if row is not None else None
    if row is None:
        return f"calls {loop.function.rpartition('.')[2]}()" if loop.function else "makes its calls"
    what = {Kind.STATEMENT: "query", Kind.CALL: "call", Kind.POOL: "wait for a connection"}.get(row.kind, "call")
    if site is None or site[0] is loop.frame:
        return f"makes a {what}"
    return f"runs {site[0].code.path.rpartition('/')[2]}:{site[1]}'s {what}"


def _outside(loop: Loop) -> Row | None:
    """What the rounds asked of a store or service each time, where that is a good part of them."""
    row = loop.rows[0] if loop.rows else None
    if row is not None and row.kind is Kind.CODE:  # of a cheap query the rounds' own code may be more
        least = _OUTSIDE * loop.path_ns
        again = [one for one in loop.rows if one.kind is not Kind.CODE and one.count >= loop.count]
        return again[0] if again and again[0].total_ns >= least else None
    return row


def _values(name: str, value: Value | None) -> list[tuple[str, Value]]:
    return [(name, value)] if value is not None else []


def _ruled_out(loop: Loop, usual: Usual) -> list[str]:
    row = _outside(loop)
    known = usual.row(row) if row is not None else None
    if row is None or known is None or row.each_ns > 2 * known[1]:
        return []
    what = "query" if row.kind is Kind.STATEMENT else "call"
    return [f"slow {what} ({duration(row.each_ns)} vs {duration(known[1])} usual)"]


def _details(scene: Scene, loop: Loop, counted: Counted, went: Iterated | None) -> dict[str, Any]:
    row = _outside(loop)
    site = repeats.site(scene, row) if row is not None else None
    related = counted.correlation()
    return {
        "count": loop.count,
        "each_ns": loop.each_ns,
        "path_ns": loop.path_ns,
        "sequential": loop.sequential,
        "different": repeats.different(scene, loop),
        "what": row.what if row is not None else loop.function,
        "kind": row.kind.value if row is not None else Kind.CODE.value,
        "site": {"path": site[0].code.path, "line": site[1], "function": site[0].code.qualname} if site else None,
        "collection": {"name": went.name, "size": went.size, "exact": went.exact} if went is not None else None,
        "siblings": {
            "n": len(counted.counts),
            "least": min(counted.counts),
            "most": max(counted.counts),
            "each_ns": quantile(sorted(counted.each), 0.5) or None,
        }
        if counted.counts
        else None,
        "correlation": {"r": related[0], "n": related[1]} if related is not None else None,
    }


def _impact(scene: Scene, company: Company, place: Place, counted: Counted) -> dict[str, Any] | None:
    """How many other kept requests of its group made more rounds than any healthy sibling, and the most."""
    if not counted.counts:
        return None
    groups = {one.group for one in scene.execution.keeps if one.role == "failure" and one.group}
    members = [one for group in sorted(groups) for one in company.members(group)]
    most = [max((one.count for one in repeats.at(other, place)), default=0) for other in members]
    above = [count for count in most if count > max(counted.counts)]
    return {"members": len(members), "same": len(above), "most": max(above, default=0)} if members else None

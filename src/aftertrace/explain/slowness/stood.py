"""One slow thing as the reason: a statement, a call, a wait or a line of own code that made most of a request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aftertrace.explain.cause.finding import Finding
from aftertrace.explain.cause.hops import Link
from aftertrace.explain.scene.company import Company
from aftertrace.explain.scene.scene import Scene
from aftertrace.explain.slowness import holders, repeats
from aftertrace.explain.slowness.path import Kind, Row
from aftertrace.explain.slowness.repeats import Parts
from aftertrace.explain.slowness.stands import Stand, likeliest, span_of, stands, waits
from aftertrace.explain.slowness.usual import LEAST_SIBLINGS, Usual, quantile
from aftertrace.reconstruct import levels
from aftertrace.reconstruct.execution import Frame
from aftertrace.reconstruct.text import duration

_MOST_LINES = 4  # that are half of it, or a quarter with siblings
_HELD = "who held the lock"
_LONGER = 2  # times what is usual
_MUCH_LONGER = 3

_NAMES = {
    Kind.STATEMENT: "its statement",
    Kind.CALL: "its call, without what the called service recorded of it,",
    Kind.POOL: "waiting for a connection of the pool",
}
_WORDS = {
    "lock": "waited for a lock",
    "sleep": "slept",
    "pool": "waited for a connection",
    "wait": "waited",
    "": "its own code, or a library's that it called, ran or waited",
}


def call(scene: Scene, parts: Parts, usual: Usual) -> Finding | None:
    """The statement, call to a service, or wait for a connection that grew most, where it made the request slow."""
    rows = [one for one in parts.path.rows() if one.kind in {Kind.STATEMENT, Kind.CALL, Kind.POOL}]
    row = max(rows, key=lambda one: one.total_ns - usual.total(one), default=None)
    small = usual.doubts(row.total_ns, usual.total(row), parts.path.duration_ns) if row is not None else None
    if row is None or small is None:
        return None
    known = usual.row(row)
    if known is not None and row.each_ns < _LONGER * known[1] and row.count < _LONGER * known[0]:
        return None
    longest = max(row.spans, key=lambda one: row.spans[one])
    site = repeats.site(scene, Row(row.service, row.kind, row.what, row.total_ns, {longest: row.spans[longest]}))
    doubts = [_compared(row, known, len(usual.durations)), *small]
    if site is not None and site[0].level != "lines":
        doubts.append(_without_lines(site[0]))
    unknown = [] if site is not None else [f"which line of {row.service} it was: none of its lines was recorded there"]
    times = f" ({row.count:,} times)" if row.count > 1 else ""
    return Finding(
        kind="slow",
        status="likely" if site is not None else "unknown",
        says=f"{_NAMES[row.kind]} took {duration(row.total_ns)}{times}",
        links=[_link(scene, *site)] if site is not None else [],
        doubts=doubts,
        unknown=[*unknown, _unknown(row)],
        details={"made_by": row.kind.value, "single": _row(row, known)},
    )


def _link(scene: Scene, frame: Frame, line: int, step: int) -> Link:
    ran = scene.line_before(frame, step)
    return Link(frame, line, step, "", None, ran=step if ran is None else ran)


def _compared(row: Row, known: tuple[int, int] | None, siblings: int) -> str:
    if known is None:
        return "no healthy sibling made it" if siblings else "no healthy sibling to compare it with"
    count = f", {known[0]:,} times" if known[0] > 1 or row.count > 1 else ""
    return f"{duration(row.each_ns)} each, {duration(known[1])} usual{count} ({siblings} healthy siblings)"


def _unknown(row: Row) -> str:
    if row.kind is Kind.STATEMENT:
        return "why the statement took so long: what a database does is not recorded"
    if row.kind is Kind.POOL:
        return "who held the connections"
    return "what the call waited for: the network, or a service that was busy or not recorded"


def _row(row: Row, known: tuple[int, int] | None) -> dict[str, Any]:
    usual = {"count": known[0], "each_ns": known[1]} if known is not None else None
    return {"service": row.service, "what": row.what, "count": row.count, "total_ns": row.total_ns,
            "each_ns": row.each_ns, "usual": usual}  # fmt: skip


def line(scene: Scene, parts: Parts, usual: Usual, company: Company) -> Finding | None:
    """The line of a service's own code at which it stood, or which ran, for so long that it made the request slow; or
    where others took what it waited for."""
    for stand in stands(scene, parts)[:_MOST_LINES]:
        found = _line(scene, parts, usual, stand)
        if found is not None:
            return _with_holders(scene, found, stand, company)
    return None


def _with_holders(scene: Scene, found: Finding, stand: Stand, company: Company) -> Finding:
    """Who waited is not to blame: the line at which others took what it waited for, and did not give it back."""
    waited = found.links[0]
    if found.details["made_by"] not in {"lock", "pool", "wait"}:
        return found
    held = holders.find(scene, stand.frame, waited.line, waited.ran, company)
    if held is None:
        return found
    found.details["held"] = held.to_json()
    found.unknown = [one for one in found.unknown if one != _HELD]
    hold = held.first
    where = f"{waited.frame.code.path.rpartition('/')[2]}:{waited.line}"
    many = f"{held.requests} other request{'s' if held.requests > 1 else ''}"
    says = f"{many} held it, the longest for {duration(hold.end_ns - hold.start_ns)}"
    busy = holders.busiest(hold)
    if busy is not None:
        says += f", {duration(busy[2])} of that in {busy[1]}() (:{busy[0]})"
    found.next.append(f"show {hold.scene.execution.trace_id[:8]}")
    if (hold.frame.code.path, hold.line) == (waited.frame.code.path, waited.line):
        found.says += f"; {says}"
        return found
    taken = Link(hold.frame, hold.line, hold.step, "", None, ran=hold.step, of=hold.scene)
    found.links = [taken, replace(waited, says=f"{_WORDS[found.details['made_by']]} for {duration(stand.longest_ns)}")]
    found.says, found.status = f"{says}; this one waited for it at {where}", "likely"
    found.doubts = ["that it was held for so long may be meant so; there may be too few of them"]
    return found


def _line(scene: Scene, parts: Parts, usual: Usual, stand: Stand) -> Finding | None:
    number, sure = likeliest(scene, stand)
    before = usual.stood(repeats.place(scene, stand.frame, number))
    if before and stand.total_ns < _LONGER * max(before):
        return None
    small = usual.doubts(stand.total_ns, quantile(sorted(before), 0.5), parts.path.duration_ns)
    if small is None:
        return None
    kind = waits(scene, stand.frame, number, stand.step, suspended=stand.suspended)
    doubts = [*_doubts(scene, stand, kind, sure=sure), *_few(stand, before), *small]
    times = f", in {stand.count:,} pieces" if stand.count > 1 else ""
    where = "here" if sure or kind or len(stand.lines) == 1 else f"at lines {span_of(stand.lines)}"
    return Finding(
        kind="slow",
        status="likely" if doubts else "verified",
        says=f"{_WORDS[kind]} {where} for {duration(stand.total_ns)}{times}{_usually(before)}",
        links=[_link(scene, stand.frame, number, stand.step)],
        doubts=doubts,
        unknown=[_HELD] if kind == "lock" else [],
        details={"made_by": kind or Kind.CODE.value, "stood": _stood(stand, number, before)},
    )


def _doubts(scene: Scene, stand: Stand, kind: str, *, sure: bool) -> list[str]:
    if stand.frame.level != "lines":
        return [_without_lines(stand.frame)]
    if not sure:
        return [f"the time is that of lines {span_of(stand.lines)} together: lines carry no times of their own"]
    if stand.count > 1:
        return [f"one of {stand.count:,} times took {duration(stand.longest_ns)} of it"]
    if scene.execution.gaps:
        return ["what was lost of the recording may have run meanwhile"]
    return [] if kind else ["the process may have been stopped there: by its garbage collector, by other processes"]


def _without_lines(frame: Frame) -> str:
    return f"which line of {frame.code.qualname}: {levels.of_call(frame)}"


def _few(stand: Stand, before: list[int]) -> list[str]:
    if len(before) < LEAST_SIBLINGS:
        few = len(before)
        return [f"only {few} healthy siblings to compare it with" if few else "no healthy sibling to compare it with"]
    return [] if stand.total_ns >= _MUCH_LONGER * max(before) else ["a healthy sibling stood there for long, too"]


def _usually(before: list[int]) -> str:
    return f"; {duration(quantile(sorted(before), 0.5))} in healthy siblings" if before else ""


def _stood(stand: Stand, number: int, before: list[int]) -> dict[str, Any]:
    return {
        "line": number,
        "lines": list(stand.lines),
        "function": stand.frame.code.qualname,
        "total_ns": stand.total_ns,
        "longest_ns": stand.longest_ns,
        "count": stand.count,
        "suspended": stand.suspended,
        "siblings": {"n": len(before), "most_ns": max(before)} if before else None,
    }

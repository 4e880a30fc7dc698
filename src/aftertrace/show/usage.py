"""What processes report of their recording's cost, read out of the agent's status, and rates between two looks at it.

A report comes from a program that runs anything: whatever is in it gives a number and a text here, or nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

_STALE_S = 4.0  # processes that are asked report each second
_SPAN_S = 5.0  # rates are taken over so long, when there was time
_SPANS, _CALLS, _LINES = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Function:
    """One that costs much to record. ``share``: of CPU time; of one that was shed, what it cost when it was.
    ``calls_per_s``: recorded ones; None: not known yet."""

    path: str
    name: str
    line: int
    level: int  # 0 spans, 1 calls, 2 lines
    share: float
    calls_per_s: float | None

    @property
    def shed(self) -> bool:
        return self.level == _SPANS


@dataclass(frozen=True, slots=True)
class Outside:
    """The outermost recorded function under which calls ran outside of any request. ``started``: where its thread was
    (path:line), "" when it is no thread's function, or not known."""

    path: str
    name: str
    line: int
    calls: int
    started: str

    @property
    def module(self) -> bool:
        """A module's own lines: imports, a script."""
        return self.name == "<module>"


@dataclass(frozen=True, slots=True)
class Load:
    """One process. Shares are of its CPU time over about the last second of it; bytes and calls since its start, times
    in seconds. What has no report has None in `reported_ago_s`, and zeros."""

    service: str
    pid: int
    uid: str
    level: str
    connected: bool
    reported_ago_s: float | None
    budget: float  # 1: no limit
    code_share: float
    exceptions_share: float
    spans_share: float
    cpu_s: float
    calls: int
    at_lines: int  # functions
    at_calls: int
    at_spans: int
    exceptions: int  # 3 all events .. 0 none
    ring_bytes: int
    lost_bytes: int
    losing: bool  # bytes were lost since the look before
    ring_horizon_s: float | None  # None: nothing was written lately, or it is not known yet
    calls_per_s: float | None
    functions: tuple[Function, ...]
    outside: tuple[Outside, ...]

    @property
    def used(self) -> float:
        """Of the budget: 1 is all of it."""
        return (self.code_share + self.exceptions_share) / self.budget

    @property
    def left_by_spans(self) -> float:
        """What code may cost, of CPU time: spans are paid first, and leave a quarter of the budget at least."""
        return max(self.budget - self.spans_share, self.budget / 4)

    @property
    def limited(self) -> bool:
        return self.budget < 1

    @property
    def silent(self) -> bool:
        return self.reported_ago_s is None or self.reported_ago_s > _STALE_S

    @property
    def shed(self) -> tuple[Function, ...]:
        """At level `spans` nothing of a program's code is recorded: there it says nothing."""
        return tuple(one for one in self.functions if one.shed) if self.level != "spans" else ()

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "budget_used": self.used}


@dataclass(frozen=True, slots=True)
class View:
    """A look at the agent: its own status, its recorded processes, and those that are switched off (service, pid)."""

    agent: Mapping[str, Any]
    loads: tuple[Load, ...]
    idle: tuple[tuple[str, int], ...]

    def to_json(self) -> dict[str, Any]:
        names = ("agent", "pid", "uptime_s", "socket", "endpoint", "off", "memory", "ration", "spool", "counts")
        idle = [{"service": service, "pid": pid} for service, pid in self.idle]
        known = {name: self.agent[name] for name in names if name in self.agent}
        return {**known, "processes": [load.to_json() for load in self.loads], "idle": idle}


@dataclass(frozen=True, slots=True)
class _Look:
    """``at`` and ``reported`` as the agent's uptime counts."""

    at: float
    read: float
    lost: float
    reported: float
    calls: float
    cpu: float


class History:
    """Looks at one agent, one after the other: what changed between them gives the rates. ``service``: only its."""

    def __init__(self, service: str = "") -> None:
        self._service = service
        self._looks: dict[str, deque[_Look]] = {}
        self._uptime = 0.0

    def add(self, status: Mapping[str, Any]) -> View:
        uptime = _number(status, "uptime_s")
        if uptime < self._uptime:  # another agent
            self._looks.clear()
        self._uptime = uptime
        processes = [one for one in status["processes"] if self._service in {"", one["service"]}]
        self._looks = {
            uid: looks for uid, looks in self._looks.items() if uid in {one["process_uid"] for one in processes}
        }
        loads = sorted((self._load(one, uptime) for one in processes), key=lambda load: (load.service, load.pid))
        idle = [(str(one["service"]), int(one["pid"])) for one in status.get("idle", [])]
        return View(status, tuple(loads), tuple(sorted(one for one in idle if self._service in {"", one[0]})))

    def _load(self, process: Mapping[str, Any], uptime: float) -> Load:
        report = process.get("usage") or {}
        usage = report.get("usage") or {}
        looks = self._looks.setdefault(str(process["process_uid"]), deque())
        looks.append(_look(process, usage, uptime))
        while looks[-1].at - looks[0].at > _SPAN_S and len(looks) > 2:
            looks.popleft()
        cpu_rate, ring = _rate(looks, "cpu", "reported"), int(_number(usage, "ring_bytes"))
        written = _rate(looks, "read", "at")
        reported, level = process.get("reported_s"), str(process["level"])
        budget = min(_number(usage, "budget") or 1.0, 1.0)
        return Load(
            service=str(process["service"]),
            pid=int(process["pid"]),
            uid=str(process["process_uid"]),
            level="auto" if level == "lines" and budget < 1 else level,  # as it is asked for
            connected=bool(process["connected"]),
            reported_ago_s=max(uptime - float(reported), 0.0) if report and reported is not None else None,
            budget=budget,
            code_share=_number(usage, "code_share"),
            exceptions_share=_number(usage, "exceptions_share"),
            spans_share=_number(usage, "spans_share"),
            cpu_s=_number(usage, "cpu_s"),
            calls=int(_number(usage, "calls")),
            at_lines=int(_number(usage, "at_lines")),
            at_calls=int(_number(usage, "at_calls")),
            at_spans=int(_number(usage, "at_spans")),
            exceptions=int(_number(usage, "exceptions")) if "exceptions" in usage else 3,
            ring_bytes=ring,
            lost_bytes=int(process["lost_bytes"]),
            losing=len(looks) > 1 and looks[-1].lost > looks[-2].lost,
            ring_horizon_s=ring / written if ring and written else None,
            calls_per_s=_rate(looks, "calls", "reported"),
            functions=tuple(_functions(report.get("hot", ()), cpu_rate)),
            outside=tuple(_outside(report.get("outside", ()))),
        )


def _look(process: Mapping[str, Any], usage: Mapping[str, Any], uptime: float) -> _Look:
    return _Look(
        uptime,
        _number(process, "read_bytes"),
        _number(process, "lost_bytes"),
        _number(process, "reported_s"),
        _number(usage, "calls"),
        _number(usage, "cpu_s"),
    )


def _rate(looks: deque[_Look], what: str, clock: str) -> float | None:
    """Per second, from the oldest look that has a report to the newest; None: there was no time between them."""
    first = next(look for look in looks if look.reported or look is looks[-1])
    time = getattr(looks[-1], clock) - getattr(first, clock)
    return max((getattr(looks[-1], what) - getattr(first, what)) / time, 0.0) if time > 0 else None


def _number(data: Mapping[str, Any], name: str) -> float:
    return _as_number(data.get(name))


def _as_number(value: object) -> float:
    """A finite number that is not negative, as all of a report's are; else 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e18:
        return 0.0
    return float(value) if isfinite(value) else 0.0


def _functions(rows: Iterable[object], cpu_rate: float | None) -> Iterable[Function]:
    for row in rows:
        if isinstance(row, list | tuple) and len(row) == 6:
            line, level, calls, share = map(_as_number, row[2:])
            per_s = calls * cpu_rate if cpu_rate is not None else None
            yield Function(str(row[0]), str(row[1]), int(line), min(int(level), _LINES), share, per_s)


def _outside(rows: Iterable[object]) -> Iterable[Outside]:
    for row in rows:
        if isinstance(row, list | tuple) and len(row) == 5:
            yield Outside(str(row[0]), str(row[1]), int(_as_number(row[2])), int(_as_number(row[3])), str(row[4]))

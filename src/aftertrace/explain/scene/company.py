"""Requests that one is compared with: healthy siblings, neighbours that overlapped it, others of its group."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from aftertrace.errors import AftertraceError
from aftertrace.explain.question import Sources
from aftertrace.explain.scene.scene import Scene
from aftertrace.reconstruct.build import build
from aftertrace.reconstruct.execution import Execution
from aftertrace.wire.bundle import Group, TraceData

SIBLINGS, NEIGHBOURS, MEMBERS = 24, 12, 24
_MOST_GROUPS = 1000
_AT_ONCE = 8  # fetched
_MOST_HELD = 64  # of all of them: each is a whole execution
_MOST_STEPS, _LEAST = 300_000, 3  # of each kind: to build 40,000 takes a second; so many requests in any case


def group_of(execution: Execution) -> str:
    """The failure group of a request, as the service that failed first says; "" without one."""
    return next((keep.group for keep in execution.keeps if keep.group and keep.role == "failure"), "")


class Company:
    """Each is fetched and built when it is first asked for, and held. ``sources`` None: it is alone."""

    def __init__(self, sources: Sources | None, trace_id: str) -> None:
        self._sources = sources
        self._trace = trace_id
        self._scenes: dict[str, Scene | None] = {}
        self._fetched: dict[str, TraceData] = {}  # and not built yet
        self._ids: dict[str, list[str]] = {}
        self._left_out: dict[str, int] = {}

    def siblings(self, limit: int = SIBLINGS) -> Iterator[Scene]:
        """Healthy requests of the same routes, nearest in time first."""
        if self._sources is not None and "siblings" not in self._ids:
            self._ids["siblings"] = self._sources.siblings(self._trace, SIBLINGS)
        return self._built("siblings", self._ids.get("siblings", [])[:limit])

    def neighbours(self, limit: int = NEIGHBOURS) -> Iterator[Scene]:
        """Requests that were kept because they overlapped it, or that it overlapped."""
        if self._sources is not None and "neighbours" not in self._ids:
            self._ids["neighbours"] = self._sources.neighbours(self._trace, NEIGHBOURS)
        return self._built("neighbours", self._ids.get("neighbours", [])[:limit])

    def members(self, group: str, limit: int = MEMBERS) -> Iterator[Scene]:
        """Other kept requests of a failure group, newest first."""
        if self._sources is not None and f"of {group}" not in self._ids:
            found = self._sources.members(group, MEMBERS + 1) if group else []
            self._ids[f"of {group}"] = [one for one in found if one != self._trace]
        return self._built(f"of {group}", self._ids.get(f"of {group}", [])[:limit])

    def groups(self) -> list[Group]:
        """All failure groups, the last that failed first."""
        return self._sources.groups(0, time.time_ns(), _MOST_GROUPS) if self._sources is not None else []

    def left_out(self, kind: str = "siblings") -> int:
        """How many were not looked at, because those before them are so long."""
        return self._left_out.get(kind, 0)

    def _built(self, kind: str, ids: Sequence[str]) -> Iterator[Scene]:
        steps, count = 0, 0
        self._left_out[kind] = 0
        for place, one in enumerate(ids):
            if (steps >= _MOST_STEPS and count >= _LEAST) or (
                one not in self._scenes and len(self._scenes) >= _MOST_HELD
            ):
                self._left_out[kind] += 1
                continue
            if one not in self._scenes:
                if one not in self._fetched:
                    self._fetch([other for other in ids[place : place + _AT_ONCE] if other not in self._scenes])
                self._scenes[one] = _scene(self._fetched.pop(one, None))
            scene = self._scenes[one]
            if scene is not None:
                steps, count = steps + len(scene.execution.steps), count + 1
                yield scene

    def _fetch(self, trace_ids: list[str]) -> None:
        """Several at once: a query costs milliseconds, whatever it brings."""
        if self._sources is not None:
            with suppress(AftertraceError):
                self._fetched |= {one.trace_id: one for one in self._sources.traces(trace_ids)}


def _scene(trace: TraceData | None) -> Scene | None:
    """None: it is gone, or its recording cannot be read; a comparison does without it."""
    if trace is None or not (trace.spans or trace.recordings):
        return None
    try:
        return Scene(build(trace))
    except AftertraceError:
        return None

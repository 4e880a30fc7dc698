"""``aftertrace doctor --live``: where running processes lose context, and what their recording lacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from aftertrace.cli import watch
from aftertrace.cli.checks import Finding, told
from aftertrace.errors import AftertraceError
from aftertrace.show.top import EXCEPTIONS, percent, size, span
from aftertrace.show.usage import Function, Load, Outside, View
from aftertrace.show.words import path, place, printable

_MUCH = 0.01  # of recorded calls, from which calls outside of any request are a trouble
_USED_UP = 0.9  # of the budget, in every report
_NAMED = 3  # places, or functions, in a sentence
_MORE = "Calls of what is shed are missing in recordings. More: AFTERTRACE_BUDGET=5%; less code: AFTERTRACE_EXCLUDE."


def examine(socket: Path, service: str = "") -> dict[str, Any]:
    """The report: ``findings``, and ``services`` with the calls outside of any request. Takes some seconds."""
    try:
        views = watch.looks(socket, service)
    except AftertraceError as error:
        return {"findings": [told(error).to_json()], "services": []}
    loads = views[-1].loads
    services = [_Service(name, tuple(group)) for name, group in groupby(loads, key=lambda load: load.service)]
    findings = [*_connected(views[-1], service)]
    for one in services:
        findings += [*_silent(one), *_context(one)]
        for load in one.loads:
            findings += [*_budget(load, views), *_ring(load, views), *_exceptions(load)]
    return {"findings": [found.to_json() for found in findings], "services": [one.to_json() for one in services]}


class _Service:
    """The processes of one, and the places under which calls of theirs ran outside of any request, most first."""

    def __init__(self, name: str, loads: tuple[Load, ...]) -> None:
        self.name = printable(name) or "(unnamed)"
        self.loads = loads
        self.calls = sum(load.calls for load in loads)
        places = _merged(one for load in loads for one in load.outside)
        self.places = [one for one in places if not one.module]
        self.modules = sum(one.calls for one in places if one.module)
        self.outside = sum(one.calls for one in self.places)

    def share(self, calls: int) -> float:
        return min(calls / self.calls, 1.0) if self.calls else 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "service": self.name,
            "pids": [load.pid for load in self.loads],
            "calls": self.calls,
            "outside": self.outside,
            "in_modules": self.modules,
            "places": [asdict(one) for one in self.places],
        }


def _merged(places: Iterable[Outside]) -> list[Outside]:
    found: dict[tuple[str, int, str], Outside] = {}
    for one in places:
        key = (one.path, one.line, one.name)
        before = found.get(key, replace(one, calls=0))
        found[key] = replace(one, calls=before.calls + one.calls, started=before.started or one.started)
    return sorted(found.values(), key=lambda one: (-one.calls, one.path, one.line))


# -- checks ------------------------------------------------------------------------------------------------------------


def _connected(view: View, service: str) -> Iterator[Finding]:
    of = f" of `{printable(service)}`" if service else ""
    if view.loads:
        names = sorted({printable(load.service) or "(unnamed)" for load in view.loads})
        count = f"{len(view.loads)} {_processes(len(view.loads))}"
        yield Finding("processes", "ok", f"{count} recorded: {', '.join(names)}.")
    elif view.idle:
        text = f"No process{of} is recorded: {len(view.idle)} switched off."
        yield Finding("processes", "warn", text, f"aftertrace on {service}".rstrip())
    else:
        hint = "Record one: aftertrace run -- python app.py. What it would need: aftertrace doctor -- python app.py"
        yield Finding("processes", "bad", f"No process{of} is connected to the agent.", hint)


def _processes(count: int) -> str:
    return "process" if count == 1 else "processes"


def _silent(service: _Service) -> Iterator[Finding]:
    quiet = [str(load.pid) for load in service.loads if load.silent]
    if quiet:
        some = f"{_processes(len(quiet))} {', '.join(quiet[:_NAMED])}{'…' if len(quiet) > _NAMED else ''}"
        text = f"`{service.name}`, {some}: no report, so of what is said here it may be missing."
        hint = "It is stopped, stays in C code, has lost the agent, or has another version of aftertrace."
        yield Finding("reports", "warn", text, hint)


def _context(service: _Service) -> Iterator[Finding]:
    if not service.calls:
        return
    aside = ""
    if service.share(service.modules) >= _MUCH:
        aside = f" Modules' own lines (imports, a script) account for {percent(service.share(service.modules))} more."
    share = service.share(service.outside)
    if share < _MUCH:
        inside = percent(1 - share - service.share(service.modules))
        text = f"{inside} of recorded calls in `{service.name}` ran inside a request.{aside}"
        yield Finding("context", "ok", text)
        return
    text = f"{percent(share)} of recorded calls in `{service.name}` ran outside any request, {_under(service)}.{aside}"
    yield Finding("context", "warn", text, _remedy(service.places[0]))


def _under(service: _Service) -> str:
    first, *more = service.places
    how = "all" if not more else "most" if first.calls * 2 > service.outside else "the largest part"
    text = f"{how} of them under {_where(first)}"
    others = [_where(one) for one in more[: _NAMED - 1] if one.calls * 20 > service.outside]
    return f"{text}; then {'; '.join(others)}" if others else text


def _where(one: Outside) -> str:
    text = f"{printable(one.name)} ({place(one.path, one.line)})"
    return f"{text}, in a thread started at {path(one.started)}" if one.started else text


def _remedy(one: Outside) -> str:
    if one.started:
        return "Start the thread within the request it belongs to; work of its own wants a span around each piece."
    return "Work of its own wants a span around each piece; other work ran where its caller's context did not reach."


def _budget(load: Load, views: list[View]) -> Iterator[Finding]:
    if not load.limited or load.reported_ago_s is None or load.level == "spans":
        return
    used = [one.used for view in views for one in view.loads if one.uid == load.uid]
    budget = f"budget of {percent(load.budget)} of CPU time"
    if load.at_spans:
        text = f"{_who(load)} keeps to its {budget} only by not recording {_shed(load)}."
        yield Finding("budget", "warn", text, _MORE)
    elif min(used) >= _USED_UP:
        text = f"{_who(load)} uses all of its {budget}, all the time; nothing is shed yet."
        yield Finding("budget", "warn", text, _MORE)
    else:
        yield Finding("budget", "ok", f"{_who(load)} uses {percent(load.used)} of its {budget}.")
    if load.left_by_spans < load.budget / 2:
        text = f"Spans cost {_who(load)} {percent(load.spans_share)} of CPU time, as counted"
        text += f": {percent(load.left_by_spans)} is left for code."
        yield Finding("spans", "warn", text, "Fewer spans, or a larger budget: AFTERTRACE_BUDGET=5%.")


def _shed(load: Load) -> str:
    count = max(load.at_spans, len(load.shed))
    text = f"{count} {'function' if count == 1 else 'functions'}"
    costliest = sorted(load.shed, key=lambda one: -one.share)[:_NAMED]
    return f"{text}, such as {', '.join(map(_cost, costliest))}" if costliest else text


def _cost(one: Function) -> str:
    return f"{printable(one.name)} ({place(one.path, one.line)}), which cost {percent(one.share)}"


def _who(load: Load) -> str:
    return f"`{printable(load.service) or '(unnamed)'}` (process {load.pid})"


def _ring(load: Load, views: list[View]) -> Iterator[Finding]:
    if not load.lost_bytes:
        return
    now = any(one.losing for view in views for one in view.loads if one.uid == load.uid)
    when = "is losing" if now else "has lost"
    reach = f" Its ring of {size(load.ring_bytes)} holds {span(load.ring_horizon_s)}." if load.ring_horizon_s else ""
    lost = size(load.lost_bytes)
    text = f"{_who(load)} {when} recordings, {lost} so far: overwritten before the agent read them.{reach}"
    larger = max(load.ring_bytes >> 20, 8) * 2
    yield Finding(
        "ring", "warn", text, f"A larger ring: AFTERTRACE_RING_BYTES={larger}MiB; or less in it: --level auto."
    )


def _exceptions(load: Load) -> Iterator[Finding]:
    if load.exceptions < len(EXCEPTIONS) - 1 and load.reported_ago_s is not None:
        records = EXCEPTIONS[load.exceptions]
        text = f"Exceptions in code that is not recorded cost {_who(load)} so much that it records {records} now."
        yield Finding(
            "exceptions",
            "warn",
            text,
            "Causes that are exceptions may be missing in recordings. More: AFTERTRACE_BUDGET=5%.",
        )

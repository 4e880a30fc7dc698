"""``aftertrace top``: what recording costs, process by process and function by function, as lines of text."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aftertrace.show.console import Console
from aftertrace.show.usage import Function, Load, View
from aftertrace.show.words import path, printable

SORTS = ("cost", "calls", "level")
KEYS = (
    ("↑ ↓  j k", "choose a process"),
    ("s", "sort its functions by cost, calls, level"),
    ("?", "this help"),
    ("q  Ctrl-C", "end"),
)
EXCEPTIONS = (
    "no exceptions",
    "exceptions only where they leave a function",
    "exceptions, but not where they are handled",
    "all exceptions",
)
COUNTED = "Costs are counted, not timed: events recorded times what each takes on this machine, plus 30 %."
_HELP = (
    COUNTED,
    "Shares are of the process's CPU time, over about the last second of it.",
    "BUDGET  what code and exceptions cost, of what they may; SPANS are counted beside it",
    "RING    how far back the process's ring reaches at this rate, until the agent has read it",
    "LOST    bytes that were overwritten before the agent read them",
    "shed    not recorded now, as it costs too much; tried again when there is room",
)
_LEVELS = ("shed", "calls", "lines")
_NONE = "No process is recorded. Record one: aftertrace run -- python app.py"
_GAP = "  "
_NARROWEST = 30  # columns
_BELOW_HEADER = 4  # lines that even a small window has: trouble, the table's head, the chosen process, keys


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the person looks at. ``uid``: the process, "" for the first."""

    uid: str = ""
    sort: str = SORTS[0]
    help: bool = False

    def load(self, view: View) -> Load | None:
        found = [load for load in view.loads if load.uid == self.uid]
        return (found or view.loads or (None,))[0]

    def move(self, view: View, step: int) -> Chosen:
        uids = [load.uid for load in view.loads]
        if not uids:
            return self
        at = uids.index(self.uid) if self.uid in uids else 0
        return replace(self, uid=uids[min(max(at + step, 0), len(uids) - 1)])

    def next_sort(self) -> Chosen:
        return replace(self, sort=SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)])


# -- columns of a terminal -------------------------------------------------------------------------------------------


def columns(text: str) -> int:
    """How many a terminal needs for it."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def fit(text: str, width: int) -> str:
    """At most so many columns; what does not fit is cut, and seen to be."""
    if columns(text) <= width:
        return text
    while text and columns(text) > width - 1:
        text = text[: max(width - 1, 0)] if len(text) > width else text[:-1]
    return f"{text}…" if width > 0 else ""


def flow(parts: Sequence[str], separator: str, width: int) -> list[str]:
    """Parts on as few lines as hold them whole; one that is longer than a line is cut."""
    lines: list[str] = []
    for part in parts:
        if lines and columns(lines[-1] + separator + part) <= width:
            lines[-1] += separator + part
        else:
            lines.append(fit(part, width))
    return lines


def _fill(text: str, width: int, *, right: bool = False) -> str:
    text = fit(text, width)
    blanks = " " * (width - columns(text))
    return blanks + text if right else text + blanks


# -- numbers as people read them --------------------------------------------------------------------------------------


def percent(share: float) -> str:
    """``0.32 %``, ``4.1 %``, ``2 %``, ``83 %``"""
    amount = 100 * share
    if amount > 100:  # counted, and more than there can be
        return ">100 %"
    if amount and amount < 0.01:
        return "<0.01 %"
    text = f"{amount:.{2 if amount < 1 else 1 if amount < 10 else 0}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def span(seconds: float) -> str:
    """``0.4 s``, ``34 s``, ``12 min``, ``3 h``, ``4 days``"""
    for size, unit, least in ((86400, "days", 172800), (3600, "h", 7200), (60, "min", 120)):
        if seconds >= least:
            return f"{min(seconds / size, 999):.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def rate(per_s: float | None) -> str:
    if per_s is None:
        return ""
    return f"{per_s:,.0f}" if per_s >= 10 or per_s < 0.05 else f"{per_s:.1f}"


def bar(share: float, width: int) -> str:
    """Full at 1; whatever is not nothing is seen."""
    full = min(round(share * width), width) or int(share > 0)
    return "█" * full + "░" * (width - full)


# -- the table of processes ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Column:
    """``keep``: those with the lowest go first where a terminal is narrow."""

    title: str
    width: int
    keep: int
    cell: Callable[[Load], str]
    right: bool = True


_WIDE = 100  # columns, from which the bar is a long one


def _all_columns(width: int) -> list[_Column]:
    long = 10 if width >= _WIDE else 4
    return [
        _Column("PID", 7, 80, lambda load: str(load.pid)),
        _Column("LEVEL", 5, 60, lambda load: load.level, right=False),
        _Column("BUDGET USED", long + 7, 90, lambda load: _budget(load, long), right=False),
        _Column("OF", 5, 20, lambda load: percent(load.budget) if load.limited else "-"),
        _Column("SPANS", 7, 40, lambda load: percent(load.spans_share)),
        _Column("CPU s", 7, 25, lambda load: f"{load.cpu_s:,.1f}" if load.cpu_s < 1e4 else f"{load.cpu_s:,.0f}"),
        _Column("AT LINES", 8, 14, lambda load: f"{load.at_lines:,}"),
        _Column("AT CALLS", 8, 13, lambda load: f"{load.at_calls:,}"),
        _Column("AT NONE", 7, 12, lambda load: f"{load.at_spans:,}"),
        _Column("RING", 6, 70, _horizon),
        _Column("LOST", 7, 50, lambda load: size(load.lost_bytes) if load.lost_bytes else "-"),
        _Column("CALLS/s", 9, 30, lambda load: rate(load.calls_per_s)),
    ]


_UNREPORTED = {"PID", "LEVEL", "LOST"}  # known of a process that does not report


def _budget(load: Load, width: int) -> str:
    if not load.limited:
        return f"no limit, {percent(load.code_share + load.exceptions_share)}" if width > 4 else "no limit"
    used = f"{100 * load.used:,.0f}" if load.used >= 0.005 or not load.used else "<1"
    return f"{bar(load.used, width)} {used:>4} %"


def _horizon(load: Load) -> str:
    if load.ring_horizon_s is None:
        return "idle" if load.ring_bytes and load.calls_per_s is not None else ""
    return span(load.ring_horizon_s) if load.ring_horizon_s < 3600 else "> 1 h"


def _chosen_columns(width: int, name: int) -> list[_Column]:
    """Those that fit beside a service's name."""
    chosen = _all_columns(width)
    while chosen and _needs(chosen) > width - name:
        chosen.remove(min(chosen, key=lambda column: column.keep))
    return chosen


def _needs(chosen: Sequence[_Column]) -> int:
    return sum(column.width + len(_GAP) for column in chosen)


def processes(view: View, uid: str, console: Console, most: int) -> list[str]:
    """The table's lines, its head included; at most ``most`` processes, the chosen one among them."""
    if not view.loads and not view.idle:
        return [fit(_NONE, console.width)]
    longest = max(columns(_name(load)) for load in view.loads) if view.loads else 8
    name = min(max(longest, 8), max(console.width // 4, 12)) + 2
    chosen = _chosen_columns(console.width, name)
    head = _fill("  SERVICE", name) + "".join(_GAP + _fill(c.title, c.width, right=c.right) for c in chosen)
    at = next((index for index, load in enumerate(view.loads) if load.uid == uid), 0)
    first = min(max(at - most + 1, 0), max(len(view.loads) - most, 0))
    shown = view.loads[first : first + most]
    lines = [console.dim(head.rstrip()), *(_row(load, load.uid == uid, name, chosen, console) for load in shown)]
    lines += [_idle(one, name, console) for one in view.idle[: max(most - len(shown), 0)]]
    left = len(view.loads) + len(view.idle) - len(lines) + 1
    return [*lines, console.dim(f"  … {left:,} more")] if left else lines


def _name(load: Load) -> str:
    return printable(load.service) or "(unnamed)"


def _row(load: Load, chosen: bool, name: int, shown: Sequence[_Column], console: Console) -> str:
    title = _fill(f"{'>' if chosen else ' '} {_name(load)}", name)
    line = console.bold(title) if chosen else title
    cells = [_cell(load, column, console) for column in shown if load.reported_ago_s is not None]
    if not cells:
        known = [column.cell(load) if column.title in _UNREPORTED else "" for column in shown]
        cells = [_GAP + _fill(text, c.width, right=c.right) for text, c in zip(known, shown, strict=True)]
    return (line + "".join(cells)).rstrip()


def _cell(load: Load, column: _Column, console: Console) -> str:
    text = _GAP + _fill(column.cell(load), column.width, right=column.right)
    if load.silent:
        return console.dim(text)
    if column.title == "BUDGET USED" and load.limited and load.used >= 0.9:
        return console.doubt(text)
    if column.title == "LOST" and load.lost_bytes:
        return console.bad(text) if load.losing else console.doubt(text)
    return text


def _idle(one: tuple[str, int], name: int, console: Console) -> str:
    title = _fill(f"  {printable(one[0]) or '(unnamed)'}", name)
    return console.dim(fit(f"{title}{_GAP}{one[1]:>7}{_GAP}off", console.width))


# -- one process -----------------------------------------------------------------------------------------------------


def about(load: Load, console: Console) -> list[str]:
    """What a row has no room for, in sentences."""
    width = console.width
    if not load.connected:
        parts = [f"{_title(load)}: not connected, its ring is read, and nothing else heard of it"]
    elif load.reported_ago_s is None:
        parts = [f"{_title(load)}: no report yet"]
    else:
        parts = [f"{_title(load)}: {_cost(load)}", *_limits(load)]
        if load.silent:
            parts.append(f"no report for {span(load.reported_ago_s)}")
    lines = [console.bold(line) for line in flow(parts, "; ", width)]
    if load.reported_ago_s is not None:
        shown = console.doubt if load.at_spans or load.exceptions < 3 else console.dim
        lines += [shown(line) for line in flow(_levels(load), "; ", width)]
    return lines


def _title(load: Load) -> str:
    return f"{_name(load)} {load.pid}"


def _cost(load: Load) -> str:
    cost = f"code costs {percent(load.code_share)} of its CPU time"
    return cost + (f", exceptions {percent(load.exceptions_share)}" if load.exceptions_share else "")


def _limits(load: Load) -> list[str]:
    if not load.limited:
        return ["no limit"]
    squeezed = load.left_by_spans < 0.9 * load.budget
    return [f"{percent(load.budget)} allowed" + (f", spans leave {percent(load.left_by_spans)}" if squeezed else "")]


def _levels(load: Load) -> list[str]:
    parts = [f"functions: {load.at_lines:,} at lines, {load.at_calls:,} at calls"]
    if load.at_spans:
        parts[0] += f", {load.at_spans:,} not recorded"
    return [*parts, EXCEPTIONS[min(load.exceptions, 3)]]


def functions(load: Load, sort: str, console: Console, most: int) -> list[str]:
    """By what was asked for, with a head; at most ``most`` lines in all."""
    if most < 2:
        return []
    if not load.functions:
        return [console.dim("No code of it is recorded now.")] if load.reported_ago_s is not None else []
    wide = console.width >= 60
    head = f"{'LEVEL':<5}  {'COST':>11}  " + (f"{'CALLS/s':>9}  " if wide else "") + "FUNCTION"
    ranked = sorted(load.functions, key=_RANKS[sort])
    shown = ranked[: most - 1] if len(ranked) < most else ranked[: most - 2]
    name = max((columns(printable(one.name)) for one in shown), default=0)
    lines = [console.dim(fit(head, console.width)), *(_function(one, load, wide, name, console) for one in shown)]
    left = len(ranked) - len(shown)
    return [*lines, console.dim(f"… {left:,} more")] if left else lines


_RANKS: dict[str, Callable[[Function], tuple[Any, ...]]] = {
    "cost": lambda one: (-one.share, one.path, one.line),
    "calls": lambda one: (one.shed, -(one.calls_per_s or 0), -one.share, one.path, one.line),
    "level": lambda one: (one.level, -one.share, one.path, one.line),
}


def _function(one: Function, load: Load, wide: bool, longest: int, console: Console) -> str:
    shed = one.shed and load.level != "spans"
    level = "spans" if one.shed and not shed else _LEVELS[one.level]
    cost = f"was {percent(one.share)}" if one.shed else percent(one.share)
    calls = f"{rate(one.calls_per_s) if not one.shed else '':>9}  " if wide else ""
    start = f"{level:<5}  {cost:>11}  {calls}"
    left = console.width - columns(start)
    where = f"{path(one.path)}:{one.line}"
    name = _fill(printable(one.name), min(longest, max(left - columns(where) - 2, left // 2)))
    room = left - columns(name) - 2
    place = f"{_GAP}{fit(where, room)}" if room > 8 else ""
    if shed:
        return console.paint(start + name, "yellow", bold=True) + console.doubt(place)
    return start + name + console.dim(place)


# -- the whole -------------------------------------------------------------------------------------------------------


def header(view: View, console: Console) -> list[str]:
    """The agent: what it remembers, keeps, and has not got rid of."""
    agent, width = view.agent, console.width
    memory, spool, counts = agent["memory"], agent["spool"], agent["counts"]
    first = f"aftertrace {agent['agent']}  agent {agent['pid']}, up {span(agent['uptime_s'])}"
    held = f"memory {size(memory['bytes'])} of {size(memory['limit'])}"
    reach = f"the last {span(memory['horizon_s'])} remembered, {memory['traces']:,} requests"
    if not memory["traces"]:
        reach = "nothing to remember yet"
    waiting = spool["files"] + spool["waiting"]
    spooled = f"spool {waiting:,} waiting, {size(spool['bytes'])}" if waiting else "spool empty"
    second = [held, reach, f"{counts['kept']:,} kept", spooled]
    if counts.get("left_out"):  # an older agent has no limit
        second.append(f"{counts['left_out']:,} left out ({size(agent.get('ration', {}).get('bytes_s', 0))}/s allowed)")
    if counts["dropped"]:
        second.append(f"{counts['dropped']:,} given up")
    return [console.bold(fit(first, width)), *flow(second, " · ", width)]


def screen(view: View, chosen: Chosen, console: Console, height: int, trouble: str = "") -> list[str]:
    """All of a terminal: ``height`` lines or fewer, each no wider than it. ``trouble``: why the view is an old one."""
    if console.width < _NARROWEST:
        return [fit(f"{_NARROWEST} columns are needed", console.width)][:height]
    about_agent = header(view, console)[: max(height - _BELOW_HEADER, 1)]
    lines = [*about_agent, console.bad(fit(trouble, console.width)) if trouble else ""]
    if chosen.help:
        return _clipped(lines + _help(console), height, "q end  ? back", console)
    load = chosen.load(view)
    lines += processes(view, load.uid if load else "", console, max((height - len(lines) - 5) // 2, 1))
    if load:
        lines += ["", *about(load, console)]
        lines += functions(load, chosen.sort, console, height - len(lines) - 1)
    keys = f"q end  ? help  j k process  s sort, now by {chosen.sort}"
    return _clipped(lines, height, keys, console)


def _help(console: Console) -> list[str]:
    keys = [fit(f"{key:<10} {what}", console.width) for key, what in KEYS]
    return [*keys, "", *(row for line in _HELP for row in flow(line.split(" "), " ", console.width))]


def _clipped(lines: list[str], height: int, keys: str, console: Console) -> list[str]:
    room = max(height - 1, 0)
    shown = lines[:room]
    return [*shown, *[""] * (room - len(shown)), console.dim(fit(keys, console.width))]


def table(view: View, console: Console, most: int = 10) -> list[str]:
    """For no terminal: all processes, and the functions of each that cost most."""
    lines = [*header(view, console), "", *processes(view, "", console, 1 << 20)]
    for load in view.loads:
        lines += ["", *about(load, console), *functions(load, SORTS[0], console, most + 1)]
    return [*lines, "", console.dim(fit(COUNTED, console.width))]

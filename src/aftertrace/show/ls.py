"""``ls`` as a table."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from typing import Any

from aftertrace.reconstruct.text import duration
from aftertrace.show.console import Console
from aftertrace.show.words import clip, moment, pad, tidy

_ID = 8  # digits of an id, more where that is not enough to tell two apart
_GAP = "  "


def render(answer: dict[str, Any], console: Console, now_ns: int = 0) -> str:
    """A line for each request, newest first; "" when there is none."""
    traces = answer["traces"]
    if not traces:
        return ""
    now_ns = now_ns or time.time_ns()
    digits = _digits([one["trace_id"] for one in traces])
    table = [_cells(one, digits, now_ns) for one in traces]
    head = ["time", "id", "request", "status", "services", "took", "kept because"]
    widths = _widths([head, *table], console.width)
    lines = [console.dim(_line(head, widths))]
    for cells, one in zip(table, traces, strict=True):
        lines.append(_painted(cells, widths, console, failed=one["status"] == "error" or one["http_status"] >= 500))
    return "\n".join(line.rstrip() for line in lines)


def _digits(ids: Iterable[str]) -> int:
    found = sorted(ids)
    same = (_common(a, b) for a, b in itertools.pairwise(found) if a != b)
    return max(_ID, max(same, default=0) + 1)


def _common(a: str, b: str) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))


def _cells(one: dict[str, Any], digits: int, now_ns: int) -> list[str]:
    status = str(one["http_status"] or {"unset": "-"}.get(one["status"], one["status"]))
    reasons = dict.fromkeys(tidy(trigger["reason"] or trigger["trigger"]) for trigger in one["triggers"])
    return [
        moment(one["time_ns"], now_ns),
        one["trace_id"][:digits],
        tidy(one["name"]) or "(no spans)",
        status,
        clip(" > ".join(one["services"]), 48),
        duration(one["duration_ns"]) if one["spans"] else "-",
        "; ".join(reasons),
    ]


def _widths(rows: list[list[str]], width: int) -> list[int]:
    """Each column as wide as it needs; name, services and the last give way when the line is too narrow."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for column, least in ((6, 24), (2, 18), (4, 16), (6, 8), (2, 8)):
        over = sum(widths) + len(_GAP) * (len(widths) - 1) - width
        if over > 0:
            widths[column] = max(widths[column] - over, min(least, widths[column]))
    return widths


def _line(cells: list[str], widths: list[int]) -> str:
    return _GAP.join(pad(cell, width) for cell, width in zip(cells, widths, strict=True))


def _painted(cells: list[str], widths: list[int], console: Console, *, failed: bool) -> str:
    padded = [pad(cell, width) for cell, width in zip(cells, widths, strict=True)]
    padded[0], padded[1] = console.dim(padded[0]), console.bold(padded[1])
    padded[3] = console.bad(padded[3]) if failed else padded[3]
    padded[4] = console.name(padded[4])
    return _GAP.join(padded)

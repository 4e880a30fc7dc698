"""``groups`` as a table."""

from __future__ import annotations

import time
from typing import Any

from aftertrace.show.console import Console
from aftertrace.show.words import clip, moment, tidy

_BARS = "▁▂▃▄▅▆▇█"
_ID = 8  # digits of an id
_HEAD = ("group", "count", "first", "last", "trend", "failure", "route", "versions")
_GAP = "  "


def render(answer: dict[str, Any], console: Console, now_ns: int = 0) -> str:
    """A line for each group; "" when there is none."""
    if not answer["groups"]:
        return ""
    now_ns = now_ns or time.time_ns()
    rows = [_HEAD, *(_cells(one, now_ns) for one in answer["groups"])]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
    for column, least in ((7, 10), (6, 16), (5, 24)):  # what gives way when the line is too narrow
        over = sum(widths) + len(_GAP) * (len(widths) - 1) - console.width
        widths[column] = max(widths[column] - max(over, 0), min(least, widths[column]))
    lines = []
    for number, row in enumerate(rows):
        cells = [clip(cell, width) for cell, width in zip(row, widths, strict=True)]
        padded = [
            cell.rjust(w) if at == 1 else cell.ljust(w) for at, (cell, w) in enumerate(zip(cells, widths, strict=True))
        ]
        if number:
            padded[0], padded[5] = console.bold(padded[0]), console.bad(padded[5])
        line = _GAP.join(padded).rstrip()
        lines.append(line if number else console.dim(line))
    return "\n".join(lines)


def bars(counts: list[float]) -> str:
    """A bar for each count, as high as it is against the highest; a blank for none."""
    most = max(counts, default=0.0)
    return "".join(_BARS[min(int(one / most * len(_BARS)), len(_BARS) - 1)] if one else " " for one in counts)


def _cells(one: dict[str, Any], now_ns: int) -> tuple[str, ...]:
    return (
        one["id"][:_ID],
        f"{one['count']:,.0f}",
        moment(one["first_ns"], now_ns),
        moment(one["last_ns"], now_ns),
        bars(one["trend"]),
        tidy(one["title"]),
        tidy(", ".join(one["routes"] or one["services"])),
        tidy(", ".join(one["versions"])),
    )

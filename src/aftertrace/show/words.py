"""Small pieces of text that all renderers share: paths, times, columns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from aftertrace.reconstruct.text import printable, shorten
from aftertrace.show.console import Console

__all__ = ["clip", "missing", "moment", "not_kept", "pad", "path", "place", "printable", "shorten", "tidy"]


def path(full: str) -> str:
    """``gateway/regions.py`` for a longer path: its last two parts."""
    return printable("/".join(full.rsplit("/", 2)[-2:]))


def place(full: str, line: int) -> str:
    """``gateway/regions.py:12``"""
    return f"{path(full)}:{line}" if line else path(full)


def tidy(text: str) -> str:
    """Recorded text on one line, runs of blanks as one."""
    return printable(" ".join(text.split()))


def clip(text: str, width: int) -> str:
    """One line, at most ``width`` columns."""
    return shorten(tidy(text), width)


def missing(coverage: dict[str, Any], console: Console) -> Iterator[str]:
    """A line on the services whose agents did not give what they had recorded."""
    if coverage["agents"] is not None and coverage["missing"]:
        yield console.doubt(clip(coverage["says"], console.width))


def not_kept(answer: dict[str, Any], console: Console) -> Iterator[str]:
    """Of a request of which spans came but nothing was kept: why not, and what would keep the next."""
    told = answer.get("not_kept")
    if told:
        yield console.bad("not kept: ") + clip(told["message"], console.width - 10)
        if told.get("hint"):
            yield "          " + console.dim(clip(told["hint"], console.width - 10))


def pad(text: str, width: int) -> str:
    """Exactly ``width`` columns."""
    return shorten(text, width).ljust(width)


def moment(time_ns: int, now_ns: int) -> str:
    """``02:13:07`` of today, ``11-24 02:13:07`` of this year, else with the year; in UTC, as recorded times are."""
    try:
        then, now = (datetime.fromtimestamp(ns / 1e9, UTC) for ns in (time_ns, now_ns))
    except (ValueError, OverflowError, OSError):
        return str(time_ns)
    if then.date() == now.date():
        return f"{then:%H:%M:%S}"
    return f"{then:%m-%d %H:%M:%S}" if then.year == now.year else f"{then:%Y-%m-%d %H:%M}"

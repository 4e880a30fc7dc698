"""The blocks that ``why`` has for two requests at one row: what is wrong, and both of them side by side in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aftertrace.show.console import Console
from aftertrace.show.words import clip, pad, tidy

type Part = dict[str, Any]

_MOST_EVENTS = 9
_LEAST = 20  # columns for each of the two
_MS = 8


def wrong(finding: Part, console: Console) -> Iterator[str]:
    """``WRONG      stock[A-17]: pieces is -1 after the write``"""
    if finding["wrong"]:
        text = clip(f"{finding['key']}: {finding['wrong']}", console.width - 11)
        yield f"{console.bold('WRONG'.ljust(9))}  {console.bad(text)}"


def beside(finding: Part, console: Console) -> Iterator[str]:
    """The two requests' statements on the row, and what they decided, by the host's clock."""
    room = max((console.width - _MS - 5) // 2, _LEAST)
    names = [f"{tidy(one['trace_id'])[:8]}  {tidy(one['service'])} pid {one['pid']}" for one in finding["requests"]]
    yield console.dim(f"{'ms':>{_MS}}   {pad(names[0], room)}  {clip(names[1], room)}".rstrip())
    events = finding["events"]
    for one in events[:_MOST_EVENTS]:
        text = clip(f":{one['line']} {one['text']}", room)
        left, right = (pad(text, room), "") if one["request"] == 0 else (" " * room, text)
        yield f"{one['ms']:>{_MS}.2f}   {left}  {right}".rstrip()
    said = [f"order certain: {finding['order']}"] if finding["order"] else ["order likely"]
    said += [f"{finding['between']} requests wrote in between"] if finding["between"] > 1 else []
    said += [f"{len(events) - _MOST_EVENTS} more in --json"] if len(events) > _MOST_EVENTS else []
    yield "   " + console.dim(clip("; ".join(said), console.width - 3))

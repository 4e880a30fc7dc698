"""``find`` as text: each request with its matches, then what was not judged and why."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from aftertrace.show.console import Console
from aftertrace.show.words import clip, moment, place, printable, shorten, tidy

_ID = 8  # digits of an id
_REASONS = 5


def render(answer: dict[str, Any], console: Console, now_ns: int = 0) -> str:
    """Requests in the order of the answer; "" when nothing was found."""
    now_ns = now_ns or time.time_ns()
    lines: list[str] = []
    for one in answer["requests"]:
        head = [console.dim(moment(one["time_ns"], now_ns)), console.bold(one["trace_id"][:_ID])]
        lines.append("  ".join([*head, clip(one["name"], max(console.width - 30, 20)) or "(no spans)"]))
        for match in one["matches"]:
            lines += _match(match, console)
        if one["more"]:
            lines.append(console.dim(f"    and {one['more']:,} more in this request"))
    return "\n".join(line.rstrip() for line in lines)


def _match(match: dict[str, Any], console: Console) -> Iterator[str]:
    where = place(match["path"], match["line"]) if match["path"] else ""
    what = tidy(match["function"]) if match["path"] else f"span {tidy(match['span'])}"
    at = f"step {match['address']}" if match["address"] else f"span {match['span_id']}" if match["span_id"] else ""
    times = f"{match['times']:,} times" if match["times"] > 1 else ""
    service = printable(match["service"])
    words = [one for one in (where, what, at, times) if one]
    line = "  ".join(words)
    room = console.width - 4 - len(service) - 2
    yield f"    {console.name(service)}  {shorten(line, room)}"
    for value in match["values"]:
        text = f"{tidy(value['name'])} = {printable(value['text'])}"
        yield f"      {console.good(shorten(text, console.width - 6))}"
    if match["source"]:
        yield console.dim(f"      {clip(match['source'], console.width - 6)}")


def summary(answer: dict[str, Any]) -> Iterator[str]:
    """How much was judged, and what could not be."""
    kept, judged, of = answer["kept"], answer["judged"], answer["of"]
    found = f"{_count(answer['matches'], 'match', 'es')} in {_count(answer['matched'], 'request')}" if judged else ""
    ruled_out = f"; {_count(kept - of, 'other')} cannot hold it, by their spans" if kept > of else ""
    told = f"{judged:,} of {_count(of, 'request')} judged{ruled_out}"
    yield f"{found}; {told}" if found else told
    if answer["unjudged"]:
        yield f"{_count(answer['unjudged'], 'request')} could not be judged:"
        for one in answer["reasons"][:_REASONS]:
            yield f"  {one['requests']:,}  {tidy(one['reason'])}"
        if len(answer["reasons"]) > _REASONS:
            yield f"     and {_count(len(answer['reasons']) - _REASONS, 'other reason')}"
    for one in answer["unmet"]:
        near = f"; there is {', '.join(tidy(name) for name in one['near'])}" if one["near"] else ""
        yield f"no request that was looked at had {tidy(one['name'])}{near}"


def _count(number: int, thing: str, plural: str = "s") -> str:
    return f"{number:,} {thing}{'' if number == 1 else plural}"

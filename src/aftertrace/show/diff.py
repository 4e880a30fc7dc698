"""``diff`` as text: where they part, with both sides, then what sets the request apart, the best first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aftertrace.show.console import Console
from aftertrace.show.words import clip, pad, path, place, tidy

type Part = dict[str, Any]

_MOST = 10  # differences of a text


def render(answer: Part, console: Console) -> str:
    """At most about twenty lines."""
    return "\n".join([
        _head(answer, console), _against(answer, console), *_first(answer, console), *_differences(answer, console),
        *_rest(answer, console),
    ])  # fmt: skip


def _head(answer: Part, console: Console) -> str:
    request = answer["request"]
    name = clip(f"{request['name']} {request['http_status'] or ''}".strip() or "(no spans)", 40)
    return f"{console.bold(name)}   {console.name(clip(' > '.join(request['services']), 50))}"


def _against(answer: Part, console: Console) -> str:
    against = answer["against"]
    if against["kind"] == "request":
        said = f"against {against['trace_ids'][0][:8]}"
    else:
        count, others = len(against["trace_ids"]), len(against["failing"])
        said = f"against {count} healthy siblings" if count != 1 else "against 1 healthy sibling"
        said = f"{1 + others} failures of its group {said}" if others else said
    least = answer["least_p"]
    said += f"; {answer['compared']:,} facts compared" if answer["compared"] else ""
    said += f", none can have a p below {least:.2g}" if least is not None else ""
    return console.dim(clip(said, console.width))


# -- the first


def _first(answer: Part, console: Console) -> Iterator[str]:
    first = answer["first"]
    if first is None:
        return
    where = f"{console.name(tidy(first['service']))}  {place(first['path'], first['line'])}  {_function(first)}"
    yield f"{console.bold('FIRST DIVERGENCE')}  {where}"
    if first["source"]:
        yield f"   {console.bold(clip(first['source'], console.width - 3))}"
    yield f"   here     {console.bad(clip(_here(first), console.width - 12))}"
    one_other = answer["against"]["kind"] == "request"
    there = clip(_there(first, one_other=one_other), console.width - 12)
    yield f"   {'there  ' if one_other else 'healthy'}  {console.good(there)}"


def _function(one: Part) -> str:
    return tidy(one["function"]).rpartition(".")[2]


def _name(one: Part) -> str:
    name = tidy(one["name"])
    return name.replace("return", "its result", 1) if name.startswith("return") else name


def _here(first: Part) -> str:
    if first["here"] is not None:
        return f"{_name(first)} = {first['here']['text']}"
    line = first.get("here_line")
    said = first["says"].split("; ")[0]
    return f"{said} · {line['source']}" if line and line["source"] else said


def _there(first: Part, *, one_other: bool) -> str:
    count = first["healthy"]
    if first["there"]:
        values = ", ".join(_counted(one) for one in first["there"][:5])
        return values if one_other else f"{values}   ({count['count']} of {count['of']} have it)"
    line = first.get("there_line")
    said = "; ".join(first["says"].split("; ")[1:])
    said = f"{said} · {line['source']}" if line and line["source"] else said
    return said if one_other else f"{said or 'do not'}   ({count['count']} of {count['of']} do)"


def _counted(one: Part) -> str:
    return f"{one['text']} {one['count']}x" if one["count"] > 1 else f"{one['text']}"


# -- all of them


def _differences(answer: Part, console: Console) -> Iterator[str]:
    found = answer["differences"][:_MOST]
    if not found:
        return
    counted = answer["against"]["kind"] != "request"
    title = "DIFFERENCES" + ("   failing healthy     q" if counted else "")
    yield console.bold(title)
    names = max(len(tidy(one["service"])) for one in found)
    places = max(len(_where(one)) for one in found)
    for one in found:
        numbers = (
            f"   {_ratio(one['failing']):>7} {_ratio(one['healthy']):>7} {_q(one['q']):>5}  " if counted else "   "
        )
        left = f"{numbers}{pad(tidy(one['service']), names)}  {pad(_where(one), places)}  "
        also = f" (and at {one['also']} more places)" if one["also"] else ""
        said = clip(f"{one['says']}{also}", max(console.width - len(left), 30))
        yield f"{console.dim(left)}{said}"
    more = answer["differences_count"] - len(found)
    if more > 0:
        yield console.dim(f"   {more} more: --json has the first {len(answer['differences'])}")


def _where(one: Part) -> str:
    return f"{path(one['path']).rpartition('/')[2]}:{one['line']}" if one["path"] else "(statement)"


def _ratio(count: Part) -> str:
    return f"{count['count']}/{count['of']}"


def _q(q: float | None) -> str:
    return "" if q is None else f"{q:.2g}" if q >= 0.001 else f"{q:.0e}"


def _rest(answer: Part, console: Console) -> Iterator[str]:
    services = answer["coverage"]["services"].values()
    whole = bool(services) and not answer["coverage"]["says"]
    said = ["lines + values of all of them"] if whole else answer["coverage"]["says"]
    for title, found, paint in (
        ("RECORDED", said if answer["against"]["trace_ids"] else [], console.dim if whole else console.doubt),
        ("LEFT OUT", answer["cut"], console.doubt),
        ("UNKNOWN", answer["unknown"], console.doubt),
    ):
        if found:
            yield f"{console.bold(title.ljust(9))}  {paint(clip(' - '.join(found), max(console.width - 11, 30)))}"

"""``show`` as a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from aftertrace.reconstruct.text import duration
from aftertrace.show import words
from aftertrace.show.console import Console
from aftertrace.show.words import clip, place, tidy

type Row = dict[str, Any]

_DEEPEST = 20  # levels of indentation; deeper ones say how deep
_LEVELS = {"calls": "  calls only", "mixed": "  not all lines"}
_ERROR, _WARNING = 17, 13  # OTLP severities


def render(answer: dict[str, Any], console: Console, *, shed: bool = False) -> str:
    """The request: a head, its outline, and what of it is missing. ``shed``: with each function that was shed."""
    lines = [*_head(answer, console), ""]
    service = ""
    for row in answer["rows"]:
        lines.extend(_lines(row, console, service))
        service = row.get("service", service)
    lines.extend(_shed(answer, console, whole=shed))
    lines.extend(_missing(answer, console))
    return "\n".join(lines)


def _head(answer: dict[str, Any], console: Console) -> Iterator[str]:
    root = next((row for row in answer["rows"] if row["type"] == "span"), None)
    name = f"{tidy(root['name'])} {root['http_status'] or ''}".strip() if root else "(no spans)"
    way = " > ".join(tidy(one["service"]) for one in answer["services"])
    took = duration(answer["duration_ns"])
    yield f"{console.bold(answer['trace_id'])}  {clip(name, 60)}  {console.name(way)}  {took}"
    for keep in answer["keeps"]:
        yield f"kept: {clip(keep['trigger'], 30)}  {clip(keep['reason'], 80)}  {console.name(tidy(keep['service']))}"
    recorded = [one for one in answer["services"] if one["level"]]
    levels = ", ".join(f"{tidy(one['service'])} {one['level']}{_skew(one)}" for one in recorded)
    count = f"{len(recorded)} of {len(answer['services'])} services"
    said = (
        f"recorded: {count}"
        + (f" ({levels})" if levels else "")
        + ("" if answer["gaps"] or any(_says(one) for one in recorded) else ", no gaps")
    )
    yield console.dim(clip(f"{said}; {answer['steps']:,} steps", console.width))
    yield from words.not_kept(answer, console)
    yield from words.missing(answer["coverage"], console)


def _skew(service: dict[str, Any]) -> str:
    return f", clock off by {duration(abs(service['skew_ns']))}" if service["skew_ns"] else ""


def _says(service: dict[str, Any]) -> str:
    """What it shed, "" for nothing."""
    return str(service["shed"]["says"]) if service["shed"] else ""


def _shed(answer: dict[str, Any], console: Console, *, whole: bool) -> Iterator[str]:
    """Of each service in one line what was not recorded to stay within the budget; ``whole``: all of it."""
    found = [(tidy(one["service"]), one["shed"]) for one in answer["services"] if _says(one)]
    if found:
        yield ""
    for service, shed in found:
        more = shed["functions"] and not whole
        said = clip(f"shed: {service}: {shed['says']}", console.width - (8 if more else 0))
        yield console.doubt(said) + (console.dim("  --shed") if more else "")
        for one in shed["functions"] if whole else ():
            part = " (some of its calls are)" if one["partly"] else ""
            where = f" at {place(one['path'], one['line'])}" if one["path"] else ""
            said = f"{one['function']}{where}{': ' if one['says'] else ''}{one['says']}{part}"
            yield "  " + console.dim(clip(said, console.width - 2))
        left = shed["functions_count"] - len(shed["functions"])
        if whole and left:
            yield "  " + console.dim(f"and {left:,} more")


def _missing(answer: dict[str, Any], console: Console) -> Iterator[str]:
    if answer["gaps"] or answer["left_out"]:
        yield ""
    for gap in answer["gaps"]:
        who = f"{tidy(gap['service'])}: " if gap["service"] else ""
        yield console.doubt(clip(f"gap: {who}{gap['reason']}{': ' if gap['detail'] else ''}{gap['detail']}", 200))
    if answer["left_out"]:
        yield console.doubt(f"{answer['left_out']:,} spans, calls or logs are left out; --limit shows more")


def _indent(depth: int) -> str:
    return "  " * depth if depth <= _DEEPEST else "  " * (_DEEPEST - 1) + f"[{depth}] "


def _lines(row: Row, console: Console, service: str) -> Iterator[str]:
    indent = _indent(row["depth"])
    room = max(console.width - len(indent), 30)
    makers: dict[str, Callable[[], Iterator[str]]] = {
        "span": lambda: _span(row, console, room, service),
        "call": lambda: _call(row, console, room),
        "log": lambda: _log(row, console, room),
        "keep": lambda: iter([console.doubt(clip(f"keep: {row['text']}", room))]),
        "gap": lambda: iter([console.doubt(clip(f"gap: {row['text']}", room))]),
        "left_out": lambda: iter([console.doubt(_left_out(row, room))]),
    }
    for line in makers[row["type"]]():
        yield indent + line


def _took(row: Row) -> str:
    if row["duration_ns"] is not None:
        return duration(row["duration_ns"])
    return "end not recorded" if row.get("end_shed") else "not ended"


def _span(row: Row, console: Console, room: int, service: str) -> Iterator[str]:
    failed = row["status"] == "error"
    said = f" {row['http_status']}" if row["http_status"] else " error" if failed else ""
    took = _took(row)
    who = f"{tidy(row['service'])} " if row["service"] != service else ""
    arrow = {"client": "→ ", "producer": "⇢ "}.get(row["kind"], "")
    named = row["detail"] != row["name"] and f" {row['name']} " in f" {row['detail']} "
    name = "" if named else row["name"]  # GET of "redis GET ?"
    head = clip(name, max(room - len(who) - len(said) - len(took) - 6, 12))
    left = room - len(arrow) - len(who) - len(head) - len(said) - len(took) - 4
    detail = clip(row["detail"], left) if left > 12 and row["detail"] not in row["name"] else ""
    yield (
        f"{arrow}{console.name(who)}{console.bold(head)}{console.bad(said) if failed else said}"
        f"{'  ' if head and detail else ''}{console.dim(detail)}  "
        f"{console.dim(took) if row['duration_ns'] is not None else console.doubt(took)}"
    )
    for one in row["exceptions"] or ([{"type": "", "message": row["message"]}] if failed and row["message"] else []):
        name = one["type"].rpartition(".")[2]
        yield "  " + console.bad(clip(f"! {name}{': ' if name and one['message'] else ''}{one['message']}", room - 2))


def _call(row: Row, console: Console, room: int) -> Iterator[str]:
    where, took = place(row["path"], row["raised_line"] or row["line"]), _took(row)
    given = ", ".join(f"{name}={value}" if name else value for name, value in row["arguments"])
    given = given if row["complete"] else "… beginning not recorded"
    came = _came(row)
    level = _LEVELS.get(row["level"], "") if row["cause"] != "level" else ""
    left = room - len(where) - len(took) - len(level) - 4
    came = clip(came, max(left - len(row["function"]) - 6, left // 2))
    head = clip(f"{row['function']}({given})", max(left - len(came) - 1, 16))
    came = f" {came}" if came else ""
    yield (
        f"{head}{console.bad(came) if row['raised'] else came}  {console.dim(where)}  "
        f"{console.dim(took) if row['ended'] else console.doubt(took)}{console.doubt(level)}"
    )


def _came(row: Row) -> str:
    """What a call gave back: the whole exception only where it was raised, not on its way up."""
    if row["raised"]:
        return f"! {row['raised'] if row['raised_here'] else row['raised'].partition('(')[0]}"
    return f"= {row['returned']}" if row["returned"] else ""


def _log(row: Row, console: Console, room: int) -> Iterator[str]:
    level = row["severity"]
    name = "ERROR" if level >= _ERROR else "WARNING" if level >= _WARNING else "log"
    line = clip(f"{name}: {row['text']}", room)
    yield console.bad(line) if level >= _ERROR else console.doubt(line) if level >= _WARNING else console.dim(line)


def _left_out(row: Row, room: int) -> str:
    named = ", ".join(f"{tidy(label)} {count:,}x" for label, count in row["labels"])
    return clip(f"… {row['count']:,} more: {named}", room)

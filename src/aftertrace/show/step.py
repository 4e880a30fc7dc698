"""A debugger session's answers as text for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from aftertrace.reconstruct.text import duration
from aftertrace.show import show
from aftertrace.show.console import Console
from aftertrace.show.words import clip, path, place, printable, shorten, tidy

type Answer = dict[str, Any]

_INLINE = 0.55  # share of the width that code takes before values begin
_MARGIN = 10  # columns of line numbers and marks


def render(answer: Answer, console: Console) -> str:
    """One answer, without a line end; "" for nothing to say."""
    return "\n".join(_RENDERERS[answer["answer"]](answer, console))


# -- a stop


def _stop(answer: Answer, console: Console) -> Iterator[str]:
    yield from _said_before(answer, console)
    yield _headline(answer, console)
    if answer["source"]:
        yield from _source(answer["source"], console, {one["name"] for one in answer["changed"]}, answer["selected"])
    elif answer["place"]:
        yield console.doubt("  the text of this file was not recorded, or is not proven to be what ran")
    if answer["place"] and answer["place"]["not_recorded"]:
        yield "  " + console.doubt(clip(answer["place"]["not_recorded"], console.width - 2))
    yield from _happens(answer, console)
    yield from _changes(answer, console)


_REASONS = {
    "end of recording": "this is the last recorded step",
    "start of recording": "this is the first recorded step",
    "nothing there": "there is nothing further that way",
}


def _said_before(answer: Answer, console: Console) -> Iterator[str]:
    for gap in answer["gaps"]:
        yield "  " + console.doubt(clip(f"not recorded between: {gap['reason']}: {gap['detail']}", console.width - 2))
    if answer["from"]["service"] != answer["service"]:
        yield console.name(f"  {tidy(answer['from']['service'])} → {tidy(answer['service'])}")
    if answer["reason"] in _REASONS:
        yield console.doubt(f"  {_REASONS[answer['reason']]}")
    if answer["breakpoint"]:
        yield console.dim(f"  breakpoint {answer['breakpoint']}")


def _headline(answer: Answer, console: Console) -> str:
    here = answer["place"]
    after = f"step {answer['step']:,} of {answer['steps']:,}  +{duration(answer['since_start_ns'])}"
    if not here:
        what = clip(f"{answer['kind'].replace('_', ' ')} {answer['text']}", console.width // 2)
        return f"{console.name(tidy(answer['service']))}  {what}  {console.dim(after)}"
    where, function = place(here["path"], here["line"]), printable(here["function"])
    up = f"  (frame {answer['selected']} up)" if answer["selected"] else ""
    left = f"{tidy(here['service'])}  {where}  {function}{up}"
    blank = " " * max(console.width - len(left) - len(after), 2)
    return (
        f"{console.name(tidy(here['service']))}  {where}  {console.bold(function)}{console.doubt(up)}"
        f"{blank}{console.dim(after)}"
    )


def _source(source: Answer, console: Console, changed: set[str], selected: int = 0) -> Iterator[str]:
    lines = source["lines"]
    texts = [printable(line["text"].expandtabs(4).rstrip()) for line in lines]
    cut = _common_indent(texts)
    most = int((console.width - _MARGIN) * _INLINE)
    column = min(max((len(text) - cut for text in texts), default=0), most) + 2
    for line, text in zip(lines, texts, strict=True):
        current = line["line"] == source["current"]
        code = text[cut:]
        code = shorten(code, console.width - _MARGIN)
        shown = _beside(code, line["wrote"], console, changed, column)
        mark = _mark(line, console, current=current, up=bool(selected))
        yield f"{mark} {_emphasised(shown, code, line, console, current=current)}"


def _beside(code: str, wrote: list[Answer], console: Console, changed: set[str], column: int) -> str:
    """A line's code with what it wrote: from the column on, or nearer to the code where room is short."""
    new, old = ([_said(one) for one in wrote if (one["name"] in changed) is wanted] for wanted in (True, False))
    need = sum(len(text) + 2 for text in [*new, *old])
    start = max(len(code) + 2, min(column, console.width - _MARGIN - need))
    room = console.width - _MARGIN - start
    new = _fitted(new, room)
    old = _fitted(old, room - sum(len(text) + 2 for text in new))
    if not new and not old:
        return code
    return code.ljust(start) + "  ".join([*map(console.good, new), *map(console.dim, old)])


def _said(one: Answer) -> str:
    return f"{tidy(one['name'])} = {tidy(one['text'])}"


def _mark(line: Answer, console: Console, *, current: bool, up: bool) -> str:
    number = f"{line['line']:>5}"
    if current:
        return console.paint(f" {'▷' if up else '▶'}{number}  ", "yellow", bold=True)
    return console.dim(f"  {number} {'·' if line['ran'] else ' '}")


def _emphasised(shown: str, code: str, line: Answer, console: Console, *, current: bool) -> str:
    if current:
        return console.bold(code) + shown[len(code) :]
    return console.dim(code) + shown[len(code) :] if line["ran"] is False else shown


def _common_indent(texts: list[str]) -> int:
    return min((len(text) - len(text.lstrip()) for text in texts if text), default=0)


def _fitted(values: list[str], room: int) -> list[str]:
    """As many as there is room for, the long ones cut so that the short ones stay whole."""
    while values and room // len(values) < 10:
        values = values[:-1]
    found: list[str] = []
    for left, text in zip(range(len(values), 0, -1), values, strict=True):
        short = sum(len(other) + 2 for other in values[len(found) + 1 :])
        most = max(room - short, room // left) - 2
        found.append(shorten(text, most))
        room -= len(found[-1]) + 2
    return found


def _happens(answer: Answer, console: Console) -> Iterator[str]:
    width = console.width
    if answer["selected"]:
        return
    if answer["exception"] and answer["kind"] in {"raise", "unwind", "throw"}:
        yield "  " + console.bad(clip(f"{answer['says']}: {answer['exception']['text']}", width - 2))
    elif answer["kind"] in {"return", "yield"} and answer["value"]:
        yield "  " + clip(f"{answer['says']} {answer['value']['text']}", width - 2)
    elif answer["says"] and answer["kind"] != "start":
        yield f"  {answer['says']}"
    if answer["last_of_process"]:
        yield "  " + console.doubt(f"nothing later was recorded of process {answer['pid']}")


def _changes(answer: Answer, console: Console) -> Iterator[str]:
    """What changed and does not stand beside a line that is shown."""
    beside = {
        (line["line"], one["name"]) for line in (answer["source"] or {"lines": []})["lines"] for one in line["wrote"]
    }
    for one in answer["changed"]:
        if (one["line"], one["name"]) not in beside:
            where = console.dim(f"   line {one['line']}") if one["line"] else ""
            yield f"  {console.good(clip(f'{one["name"]} = {one["text"]}', console.width - 16))}{where}"
    for name in answer["deleted"]:
        yield console.dim(f"  {printable(name)} was deleted")


# -- questions


def _stack(answer: Answer, console: Console) -> Iterator[str]:
    if not answer["stack"]:
        yield "  no recorded function runs here"
    service = ""
    for number, entry in enumerate(answer["stack"]):
        if entry["border"]:
            sign = {"http": "⇡", "queue": "⇡", "task": "·"}[entry["border"]["kind"]]
            yield "      " + console.dim(clip(f"{sign} {entry['border']['text']}", console.width - 6))
        mark = "▶" if entry["selected"] else " "
        who = tidy(entry["service"]) if entry["service"] != service else ""
        service = entry["service"]
        left = f" {mark}{number:>3} "
        where = place(entry["path"], entry["line"])
        code = clip(
            entry["source"], max(console.width - len(left) - len(who) - len(where) - len(entry["function"]) - 8, 0)
        )
        yield (
            f"{console.paint(left, 'yellow', bold=True) if entry['selected'] else console.dim(left)}"
            f"{console.name(who + '  ') if who else ''}{where}  {console.bold(printable(entry['function']))}"
            f"{'   ' + console.dim(code) if len(code) > 8 else ''}"
        )


def _locals(answer: Answer, console: Console) -> Iterator[str]:
    if not answer["locals"]:
        yield console.dim("  none")
    widest = min(max((len(one["name"]) for one in answer["locals"]), default=0), 24)
    for one in answer["locals"]:
        where = f"line {one['line']}" if one["line"] else ""
        text = clip(one["text"], max(console.width - widest - 16, 20))
        text = console.good(text) if one["changed"] else text
        name = clip(one["name"], 24)
        yield f"  {console.bold(name)}{' ' * (widest - len(name))} = {text}{'  ' + console.dim(where) if where else ''}"


def _value(answer: Answer, console: Console) -> Iterator[str]:
    if answer["unknown"]:
        yield console.doubt(f"  {printable(answer['unknown'])}")
    else:
        yield f"  {console.dim(tidy(answer['expression']) + ' =')} {answer['text']}"


def _history(answer: Answer, console: Console) -> Iterator[str]:
    if answer["earlier"]:
        yield console.doubt(f"   … {answer['earlier']:,} values before these")
    for one in answer["values"]:
        mark = console.paint("▶", "yellow") if one["now"] else " "
        where = f"step {one['step']:,}" + (f"  line {one['line']}" if one["line"] else "")
        yield f" {mark} {clip(one['text'], console.width - 36).ljust(30)}  {console.dim(where)}"
    if answer["later"]:
        yield console.doubt(f"   … {answer['later']:,} values after these")


def _listed(answer: Answer, console: Console) -> Iterator[str]:
    yield console.dim(path(answer["source"]["path"]))
    yield from _source(answer["source"], console, set())


def _breakpoints(answer: Answer, console: Console) -> Iterator[str]:
    if not answer["breakpoints"]:
        yield console.dim("  no breakpoints")
    for one in answer["breakpoints"]:
        when = f" if {tidy(one['condition'])}" if one["condition"] else ""
        hits = f"{one['hits']:,} step{'' if one['hits'] == 1 else 's'}"
        hits = console.dim(hits) if one["hits"] else console.doubt(hits)
        yield f"  {one['number']:>2}  {tidy(one['where'])}{when}  {hits}"


def _gaps(answer: Answer, console: Console) -> Iterator[str]:
    if not answer["gaps"]:
        yield console.dim("  none: all that ran in recorded code is here")
    for gap in answer["gaps"]:
        where = f"after step {gap['step']:,}: " if gap["step"] is not None else ""
        who = f"{tidy(gap['service'])}: " if gap["service"] else ""
        detail = f": {gap['detail']}" if gap["detail"] else ""
        yield "  " + console.doubt(clip(f"{who}{where}{gap['reason']}{detail}", 200))


def _spans(answer: Answer, console: Console) -> Iterator[str]:
    return iter(show.render(answer, console).splitlines())


def _help(answer: Answer, console: Console) -> Iterator[str]:
    group = ""
    for one in answer["commands"]:
        if one["group"] != group:
            group = one["group"]
            yield console.dim(group)
        name, _, argument = one["usage"].partition(" ")
        usage = f"{console.bold(name)} {argument}" + " " * max(23 - len(one["usage"]), 1)
        yield f"  {usage}{', '.join(one['short']).ljust(11)}{one['help']}"
    yield console.dim(answer["place"])
    yield console.dim("an empty line repeats the last command")


def _error(answer: Answer, console: Console) -> Iterator[str]:
    yield console.bad(clip(answer["error"]["message"], 300))
    if answer["error"]["hint"]:
        yield console.dim(clip(answer["error"]["hint"], 300))


def _quit(_: Answer, __: Console) -> Iterator[str]:
    return iter(())


_RENDERERS: dict[str, Callable[[Answer, Console], Iterator[str]]] = {
    "stop": _stop,
    "stack": _stack,
    "locals": _locals,
    "value": _value,
    "history": _history,
    "source": _listed,
    "breakpoints": _breakpoints,
    "gaps": _gaps,
    "spans": _spans,
    "help": _help,
    "error": _error,
    "quit": _quit,
}

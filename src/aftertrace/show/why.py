"""``why`` in at most twenty lines: the cause, how it got there, what was ruled out, what is not known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from aftertrace.reconstruct.text import duration
from aftertrace.show import race, slow, words
from aftertrace.show.console import Console
from aftertrace.show.words import clip, moment, pad, path, place, shorten, tidy

type Part = dict[str, Any]
type Block = Callable[[Part, Console], Iterator[str]]

_ABOVE: dict[str, Block] = {"slow": slow.where, "race": race.wrong}  # by the kind of the finding
_BELOW: dict[str, Block] = {"slow": slow.rounds, "silence": slow.standing, "race": race.beside}
_WHOLE = {"race"}  # kinds whose own block tells how it got there

_MOST_LINKS, _LEAST_LINKS = 9, 4
_MOST_VALUES = 3
_MOST_EVIDENCE = 2  # lines of what siblings had
_MOST_LINES = 20
_MOST_COMMON = 2
_ID = 8  # digits of a group's id
_LONG_NAME = 24
_LEAST_SOURCE = 24  # columns of a line's code that stay whatever its value needs
_COLOURS = {"verified": "green", "likely": "yellow", "unknown": "red"}


def render(answer: Part, console: Console) -> str:
    """The answer as WHY.md wants it."""
    lines = [_head(answer, console), *_group(answer, console), _recorded(answer, console)]
    lines += [*words.not_kept(answer, console), *words.missing(answer["coverage"], console)]
    lines += [*_found(_ABOVE, answer, console), *_cause(answer, console), *_found(_BELOW, answer, console)]
    rest = list(_rest(answer, console))
    if answer["finding"] is not None and answer["finding"]["kind"] in _WHOLE:
        return "\n".join([*lines, *rest])
    most = min(max(_MOST_LINES - len(lines) - len(rest) - 2, _LEAST_LINKS), _MOST_LINKS)
    return "\n".join([*lines, *_chain(answer["chain"], most, console), *rest])


def _found(blocks: Mapping[str, Block], answer: Part, console: Console) -> Iterator[str]:
    """What a finding of some kind has of its own, above or below the cause."""
    finding = answer["finding"]
    block = blocks.get(finding["kind"]) if finding is not None else None
    if block is not None:
        yield from block(finding, console)


def _head(answer: Part, console: Console) -> str:
    request = answer["request"]
    name = clip(f"{request['name']} {request['http_status'] or ''}".strip() or "(no spans)", 40)
    way = clip(" > ".join(request["services"]), 50)
    facts = [_time(request["time_ns"]), duration(request["duration_ns"]) if request["duration_ns"] else ""]
    return "   ".join([console.bold(name), console.name(way), *(one for one in facts if one)])


def _time(time_ns: int) -> str:
    try:
        return f"{datetime.fromtimestamp(time_ns / 1e9, UTC):%H:%M:%S.%f}"[:-3] + "Z" if time_ns else ""
    except (ValueError, OverflowError, OSError):
        return ""


def _group(answer: Part, console: Console) -> Iterator[str]:
    """``group 1f2e3d4c: 41x since 01:58, every one country = 'CH', none before gateway 2.14.0``"""
    group, common = answer["group"], [one["says"] for one in answer["commonality"][:_MOST_COMMON]]
    if group is None or (group["count"] <= 1 and not common):
        return
    elsewhere = answer["impact"]["elsewhere"]
    also = [f"the same on {len(elsewhere)} other routes" if len(elsewhere) > 1 else "the same on another route"]
    since = moment(group["first_ns"], max(group["last_ns"], answer["request"]["time_ns"]))
    count = f"group {tidy(group['id'])[:_ID]}: {group['count']:,.0f}x since {since}"
    yield console.doubt(clip(", ".join([count, *common, *(also if elsewhere else [])]), console.width))


def _recorded(answer: Part, console: Console) -> str:
    found = answer["coverage"]
    kept = ", ".join(dict.fromkeys(tidy(keep["trigger"]).replace("-", " ") for keep in answer["kept"]))
    levels = {one["level"] for one in found["services"] if one["level"]}
    what = "lines + values" if levels == {"lines"} else ", ".join(sorted(levels))
    count = f"kept: {clip(kept, 50)}   " if kept else ""
    count += f"recorded: {found['recorded']} of {found['of']} services" + (f", {what}" if what else "")
    shed = [
        f"{one['service']}: {one['shed']['says']}" for one in found["services"] if one["shed"] and one["shed"]["says"]
    ]
    if not found["gaps"] and not shed:
        return console.dim(shorten(f"{count}, no gaps", console.width))
    if shed:
        said = f"shed: {shed[0]}" + (f"; {len(shed) - 1} more services" if len(shed) > 1 else "")
        return console.dim(f"{count}; ") + console.doubt(clip(said, max(console.width - len(count) - 2, 20)))
    first = found["gaps"][0]
    gap = f"{len(found['gaps'])} gaps, the first: {first['service']} {first['reason']} {first['detail']}"
    return console.dim(f"{count}; ") + console.doubt(clip(gap, max(console.width - len(count) - 2, 20)))


def _cause(answer: Part, console: Console) -> Iterator[str]:
    cause = answer["cause"]
    title = console.paint(f"CAUSE ({cause['status']})", _COLOURS.get(cause["status"], ""), bold=True)
    if cause["status"] == "unknown":
        yield title + (f"  {tidy(cause['says'])}" if cause["says"] else "")
        yield from _also(answer, console, "look at")
        return
    function = tidy(cause["function"]).rpartition(".")[2]
    yield f"{title}  {console.name(tidy(cause['service']))}  {place(cause['path'], cause['line'])}  {function}"
    value = clip(_named(cause), 50)
    source = clip(cause["source"], max(console.width - len(value) - 8, 24))
    yield f"   {console.bold(source)}     {console.good(value)}".rstrip()
    said = [cause["says"], _with(cause), *cause["doubts"]]
    yield "   " + clip("; ".join(one for one in said if one), console.width - 3)
    for proof in [one for one in answer["evidence"] if one["kind"] != "same-value"][:_MOST_EVIDENCE]:
        yield "   " + console.dim(clip(proof["says"], console.width - 3))
    yield from _also(answer, console, "or")


def _also(answer: Part, console: Console, word: str) -> Iterator[str]:
    for other in answer["also"][:2]:
        where = f"{word} {other['service']} {place(other['path'], other['line'])}   {other['source']}"
        text = f"{where}   {_named(other) or tidy(other['says'])}"
        yield "   " + console.doubt(clip(text, console.width - 3))


def _named(one: Part) -> str:
    """``zone = ''``"""
    if not one["name"] or not one["value"]:
        return ""
    name = tidy(one["name"])
    if len(name) > _LONG_NAME and name[0] in "{[(" and "[" in name[1:]:  # a display in the call: its item says enough
        name = f"…{name[name.rindex('[') :]}"
    return f"{name} = {one['value']['text']}"


def _with(cause: Part) -> str:
    shown = [_named(one) for one in cause["values"] if one["name"] != cause["name"]][:_MOST_VALUES]
    return f"with {', '.join(one for one in shown if one)}" if any(shown) else ""


# -- how it got there


def _chain(chain: list[Part], most: int, console: Console) -> Iterator[str]:
    if not chain:
        return
    yield console.bold("HOW IT GOT THERE")
    shown = _chosen(chain, most)
    names = max((len(tidy(link["service"])) for link in shown), default=0)
    places = max((len(_where(link)) for link in shown), default=0)
    service = ""
    for number, link in enumerate(shown, 1):
        who = tidy(link["service"]) if link["service"] != service else ""
        service = link["service"]
        yield _link(number, link, pad(who, names), pad(_where(link), places), console)
    if len(shown) < len(chain):
        more = f"{len(chain) - len(shown)} more lines that pass it on: --json has them all"
        yield console.dim(f"   {more}")


def _where(link: Part) -> str:
    return f"{path(link['path']).rpartition('/')[2]}:{link['line']}"


def _link(number: int, link: Part, who: str, where: str, console: Console) -> str:
    left = f"{number:>2} {who}  {where}  "
    said = _said(link)
    value = _named(link)
    room = max(console.width - len(left), 2 * _LEAST_SOURCE)
    tail = clip(" · ".join(one for one in (value, said) if one), room - _LEAST_SOURCE - 3)
    source = clip(link["source"], room - len(tail) - 3)
    painted = console.bad(tail) if _fails(link) else console.good(tail) if value else console.dim(tail)
    return f"{console.dim(f'{number:>2}')} {console.name(who)}  {where}  {source}   {painted}".rstrip()


def _said(link: Part) -> str:
    border = link["border"]
    says = "" if border and link["says"] in _CARRIES else link["says"]
    crossed = f"→ {border['says']}" if border else ""
    return " · ".join(one for one in (says, crossed) if one)


def _fails(link: Part) -> bool:
    """The end of the chain: an exception, a death."""
    return bool(link["says"]) and link["says"] not in _CARRIES


_CARRIES = {"passed on", "waited for it"}  # what says of a link that nothing happens to the value there


def _chosen(chain: list[Part], most: int) -> list[Part]:
    """The links that matter most, in order: borders and failures, then where the value gets a new name."""
    if len(chain) <= most:
        return chain
    ranked = sorted(range(len(chain)), key=lambda i: (_weight(chain[i], i), i))
    return [chain[i] for i in sorted(ranked[:most])]


def _weight(link: Part, index: int) -> int:
    if index == 0 or link["border"] or _fails(link):
        return 0
    return 2 if link["says"] in _CARRIES else 1


# -- the rest


def _rest(answer: Part, console: Console) -> Iterator[str]:
    for title, found, paint in (
        ("RULED OUT", answer["ruled_out"], console.dim),
        ("UNKNOWN", answer["unknown"], console.doubt),
        ("NEXT TIME", [answer["next_failure"]] if answer["next_failure"] else [], console.dim),
    ):
        if found:
            text = clip(" - ".join(found), max(console.width - 11, 30))
            yield f"{console.bold(title.ljust(9))}  {paint(text)}"

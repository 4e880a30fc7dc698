"""The blocks that ``why`` has for a slow request: where its time went, how often that happened, what has not ended."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from aftertrace.reconstruct.text import duration
from aftertrace.show.console import Console
from aftertrace.show.words import clip, pad, tidy

type Part = dict[str, Any]

_MOST_ROWS = 4
_LEAST_SHARE = 0.02
_LEAST_WHAT = 20  # columns
_COLUMNS = re.compile(r"SELECT .+? FROM ", re.IGNORECASE)


def where(finding: Part, console: Console) -> Iterator[str]:
    """``WHERE 0.91 s WENT (critical path)``"""
    usual = finding["usual"]
    about = "critical path"
    if usual is not None:
        about += f"; p50 {duration(usual['p50_ns'])}, p99 {duration(usual['p99_ns'])} of {usual['n']} healthy siblings"
    ended = "" if finding["ended"] else " SO FAR"
    part = finding["part"]
    of = f" OF {tidy(part['service'])} {tidy(part['name'])}" if part is not None else ""
    title = clip(f"WHERE {duration(finding['duration_ns'])}{of}{ended} WENT", 60)
    yield console.bold(title) + console.dim(" " + clip(f"({about})", max(console.width - len(title) - 1, 20)))
    rows = [one for one in finding["where"] if one["kind"] not in {"code", "unrecorded", "other"}]
    shown = [one for one in rows if one["share"] >= _LEAST_SHARE][:_MOST_ROWS]
    yield from _rows(shown, finding, console)
    rest = [_short(one) for one in finding["where"] if one not in shown and one["share"] >= _LEAST_SHARE / 4]
    if rest:
        yield "   " + console.dim(clip(" - ".join(rest), console.width - 3))


def _rows(rows: list[Part], finding: Part, console: Console) -> Iterator[str]:
    names = max((len(tidy(one["service"])) for one in rows), default=0)
    counts = [_count(one, finding) for one in rows]
    width = max(map(len, counts), default=0)
    room = max(console.width - names - width - 3 - 2 * 3 - 16, _LEAST_WHAT)
    said = [_what(one["what"], room) for one in rows]
    columns = min(max(map(len, said), default=0), room)
    for one, what, count in zip(rows, said, counts, strict=True):
        time = f"{duration(one['total_ns']):>8} {one['share']:>5.0%}"
        name = console.name(pad(tidy(one["service"]), names))
        yield f"   {name}  {pad(what, columns)}  {pad(count, width)}  {time}"


def _what(text: str, width: int) -> str:
    """A statement that is too long without its columns: what it asks of whom says more."""
    text = tidy(text)
    return text if len(text) <= width else _COLUMNS.sub("SELECT … FROM ", text, count=1)


def _count(row: Part, finding: Part) -> str:
    again = finding.get("repeated")
    if again and again["sequential"] and (again["what"], again["kind"]) == (row["what"], row["kind"]):
        return f"{row['count']:,}x one after the other"
    return f"{row['count']:,}x" if row["count"] > 1 else ""


def _short(row: Part) -> str:
    what = {"code": "own code", "unrecorded": "not recorded"}.get(row["kind"], clip(row["what"], 40))
    return f"{tidy(row['service'])} {what} {duration(row['total_ns'])}".strip()


def rounds(finding: Part, console: Console) -> Iterator[str]:
    """What stands below the cause: a round's time, and the group."""
    again = finding.get("repeated")
    if not again:
        return
    siblings, related = again["siblings"], again["correlation"]
    each = again["took_ns"] // again["count"]  # with what its loop did in between
    said = [f"{duration(each)} a round"]
    if siblings and siblings["each_ns"] and each < 2 * again["each_ns"]:
        said[0] += f", {duration(siblings['each_ns'])} in healthy siblings"
    said.append(f"{again['share']:.0%} of the request")
    if related and related["r"] >= _RELATED:
        said.append(f"r = {related['r']:.2f} of rounds and duration over {related['n']} siblings (likely)")
    yield "   " + console.dim(clip("; ".join(said), console.width - 3))
    impact = finding.get("impact")
    if impact and impact["same"]:
        text = f"{impact['same']} of {impact['members']} other kept requests of its group made more rounds than any"
        text += f" healthy one, {impact['most']:,} at most"
        yield f"{console.bold('IMPACT'.ljust(9))}  {clip(text, max(console.width - 11, 30))}"


_RELATED = 0.5


def standing(finding: Part, console: Console) -> Iterator[str]:
    """The parts of a request that have not ended, and since when."""
    parts = [f"{tidy(one['service'])} {tidy(one['name'])} {duration(one['for_ns'])}" for one in finding["open"]]
    if parts:
        yield f"{console.bold('NOT ENDED'.ljust(9))}  {clip(' - '.join(parts), max(console.width - 11, 30))}"

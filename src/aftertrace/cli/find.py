"""``aftertrace find``: a question about all recorded requests, afterwards."""

from __future__ import annotations

import sys
from collections import Counter
from types import TracebackType
from typing import Any, Self

import click

from aftertrace.cli import client
from aftertrace.cli.answers import following, json_option, put
from aftertrace.show import find

_INTERRUPTED = 130


@click.command("find")
@click.argument("query", metavar="'EXPR'", nargs=-1, required=True)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many matches at most.")
@click.option("--since", default="", metavar="TIME", help="Only requests kept since: 15m, 24h, 7d, or a time.")
@click.option("--until", default="", metavar="TIME", help="Only requests kept until: 15m, 24h, 7d, or a time.")
@json_option
@click.pass_context
def command(ctx: click.Context, query: tuple[str, ...], limit: int, since: str, until: str, *, as_json: bool) -> None:
    """Where, in all recorded requests, EXPR held: newest request first, with the values that made it so.

    \b
    '{ call.function = "reserve" && arg.qty < 0 }'    calls, by what they were given
    '{ return = null }'                               ... and by what they gave back
    '{ line = "orders/pricing.py:41" && local.discount > 0.3 }'
    '{ exception.type = "KeyError" }'
    '{ span.http.response.status_code >= 500 && duration > 1s } >> { resource.service.name = "inventory" }'

    A value that was not recorded, was cut or redacted neither fits nor not; requests where it matters are counted.
    Ctrl-C ends the search and shows what was found so far. The language: docs/query.md
    """
    text = " ".join(query)
    answer, whole = _search(text, limit, since, until)
    answer["partial"] = not whole
    put(answer, find.render, as_json=as_json)
    if not as_json:
        for line in find.summary(answer):
            click.echo(line, err=True)
        _end(answer, limit)
    if not whole:
        ctx.exit(_INTERRUPTED)


def _search(query: str, limit: int, since: str, until: str) -> tuple[dict[str, Any], bool]:
    """All pages as one answer; False: it was interrupted."""
    answer: dict[str, Any] = {}
    with _Progress() as progress:
        try:
            while True:
                left = limit - answer.get("matches", 0)
                page = client.ask(
                    "find", query=query, limit=left, since=since, until=until, cursor=answer.get("cursor", "")
                )
                answer = joined(answer, page) if answer else page
                progress.tell(answer)
                if not answer["cursor"] or answer["matches"] >= limit:
                    return answer, True
        except KeyboardInterrupt:
            if not answer:
                raise
            return answer, False


def joined(before: dict[str, Any], page: dict[str, Any]) -> dict[str, Any]:
    """Two pages as one; the counts of all requests are those of the first."""
    sums = {name: before[name] + page[name] for name in ("judged", "matched", "unjudged", "matches", "requests")}
    reasons: Counter[str] = Counter()
    for part in (before, page):
        reasons.update({one["reason"]: one["requests"] for one in part["reasons"]})
    told = [{"reason": reason, "requests": count} for reason, count in reasons.most_common()]
    unmet = before["unmet"]
    if page["judged"]:
        names = {one["name"]: one["near"] for one in page["unmet"]}
        unmet = [
            {"name": one["name"], "near": list(dict.fromkeys([*one["near"], *names[one["name"]]]))[:5]}
            for one in unmet
            if one["name"] in names
        ]
    back_to = page["judged_back_to_ns"] or before["judged_back_to_ns"]
    return {**before, **sums, "reasons": told, "unmet": unmet, "cursor": page["cursor"], "judged_back_to_ns": back_to}


class _Progress:
    """How far it is, on stderr: one line that is written over at a terminal, else a line for each page."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = 0

    def __enter__(self) -> Self:
        return self

    def tell(self, answer: dict[str, Any]) -> None:
        if not answer["cursor"]:
            return
        line = f"{answer['judged']:,} of {answer['of']:,} requests judged, {answer['matches']:,} matches"
        if self._terminal:
            click.echo("\r" + line.ljust(self._shown), nl=False, err=True)
            self._shown = len(line)
        else:
            click.echo(line, err=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            click.echo("\r" + " " * self._shown + "\r", nl=False, err=True)


def _end(answer: dict[str, Any], limit: int) -> None:
    """The last lines: what was left out, and what to do next."""
    if answer["partial"]:
        click.echo("Partial: the search was ended before all requests were judged.", err=True)
    elif answer["cursor"]:
        click.echo(f"There may be more: --limit {min(limit * 5, 1000)}, or a narrower query.", err=True)
    if answer["requests"]:
        first = answer["requests"][0]
        short = first["trace_id"][:8]
        at = next((match["address"] for match in first["matches"] if match["address"]), "")
        following(f"step {short} --at {at}" if at else f"step {short}", f"why {short}", f"show {short}", as_json=False)
    elif not answer["kept"]:
        click.echo("No request was kept in that time. Requests that fail are kept by themselves.", err=True)
        following("ls", "keep 'service=NAME' --for 1h", as_json=False)
    else:
        following("ls", "find '{ }' --limit 1", as_json=False)

"""``aftertrace ls``: the kept requests."""

from __future__ import annotations

from typing import Any

import click

from aftertrace.cli import client
from aftertrace.cli.answers import following, json_option, put
from aftertrace.show import ls


@click.command("ls")
@click.argument("query", nargs=-1)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many at most.")
@json_option
def command(query: tuple[str, ...], limit: int, *, as_json: bool) -> None:
    """Kept requests, newest first. QUERY narrows them: service=orders status=error name~checkout since=15m"""
    answer = client.ask("ls", query=" ".join(query), limit=limit)
    put(answer, ls.render, as_json=as_json)
    _say(answer, limit, as_json=as_json)


def _say(answer: dict[str, Any], limit: int, *, as_json: bool) -> None:
    traces = answer["traces"]
    if traces:
        if answer["more"]:
            click.echo(f"more than {limit}: narrow the query, or --limit {min(limit * 5, 1000)}", err=True)
        short = traces[0]["trace_id"][:8]
        following(f"why {short}", f"show {short}", f"step {short}", as_json=as_json)
    elif answer["query"]:
        click.echo(f"No kept request fits {answer['query']!r}.", err=True)
        following("ls", as_json=as_json)
    else:
        click.echo(
            "No request was kept yet. Requests that fail are kept by themselves; aftertrace.keep() keeps one.", err=True
        )
        following("run --service NAME -- python app.py", "demo", as_json=as_json)

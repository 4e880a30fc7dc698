"""``aftertrace groups``: kept failures by cause."""

from __future__ import annotations

import click

from aftertrace.cli import client
from aftertrace.cli.answers import following, json_option, put
from aftertrace.show import groups


@click.command("groups")
@click.option("--since", default="24h", show_default=True, metavar="TIME", help="How far back: 15m, 24h, 7d.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many at most.")
@json_option
def command(since: str, limit: int, *, as_json: bool) -> None:
    """Kept failures by cause, the last that failed first: how many, since when, in which versions, on which routes.

    A count is of all that failed, also of those that were not kept because too many failed alike.
    """
    answer = client.ask("groups", since=since, limit=limit)
    put(answer, groups.render, as_json=as_json)
    found = answer["groups"]
    if found:
        if answer["more"]:
            click.echo(f"more than {limit}: --since less, or --limit {min(limit * 5, 1000)}", err=True)
        following(f"why {found[0]['newest'][:8]}", f"ls group={found[0]['id'][:8]}", as_json=as_json)
    else:
        click.echo(f"Nothing that failed was kept in the last {since}.", err=True)
        following("ls", "groups --since 7d", as_json=as_json)

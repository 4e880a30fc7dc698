"""``aftertrace show``: one request as a tree."""

from __future__ import annotations

from functools import partial

import click

from aftertrace.cli import client
from aftertrace.cli.answers import following, json_option, put
from aftertrace.show import show


@click.command("show")
@click.argument("reference", metavar="[ID]", default="last")
@click.option("--limit", default=200, show_default=True, type=click.IntRange(1, 10_000), help="How many rows at most.")
@click.option("--shed", is_flag=True, help="Each function that was not recorded to stay within the budget.")
@json_option
def command(reference: str, limit: int, *, shed: bool, as_json: bool) -> None:
    """The request ID as a tree over its services. ID: a trace id or a prefix of one, a span id, or last."""
    answer = client.ask("show", reference=reference, limit=limit)
    put(answer, partial(show.render, shed=shed), as_json=as_json)
    short = answer["trace_id"][:8]
    following(f"why {short}", *([f"step {short}"] if answer["steps"] else []), as_json=as_json)

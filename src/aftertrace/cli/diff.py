"""``aftertrace diff``: where a request parts from healthy ones, or from one other."""

from __future__ import annotations

import click

from aftertrace.cli import client
from aftertrace.cli.answers import following, json_option, put
from aftertrace.show import diff


@click.command("diff")
@click.argument("reference", metavar="[ID]", default="last")
@click.argument("other", metavar="[ID2]", default="")
@json_option
def command(reference: str, other: str, *, as_json: bool) -> None:
    """Where the request ID parts from the healthy requests of its route, or from the request ID2: the first other
    branch or value, then all that sets it apart, what separates best first.

    Counts are of requests; q is the share of false ones to be expected among all as good as it, after everything that
    was compared (Fisher's exact test, Benjamini-Hochberg). ID: a trace id or a prefix of one, a span id, or last.
    """
    answer = client.ask("diff", reference=reference, other=other)
    put(answer, diff.render, as_json=as_json)
    following(*answer["next"], as_json=as_json)

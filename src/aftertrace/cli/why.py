"""``aftertrace why``: the cause of a failed request."""

from __future__ import annotations

import click

from aftertrace.cli import client
from aftertrace.cli.answers import following, json_option, put
from aftertrace.show import why


@click.command("why")
@click.argument("reference", metavar="[ID]", default="last")
@json_option
def command(reference: str, *, as_json: bool) -> None:
    """Why the request ID failed: the line and value that caused it, as a short chain of what was recorded.

    "verified" follows from the recording; "likely" has a doubt, which is said; what cannot be told is "unknown".
    ID: a trace id or a prefix of one, a span id, or last.
    """
    answer = client.ask("why", reference=reference)
    put(answer, why.render, as_json=as_json)
    following(*answer["next"], as_json=as_json)

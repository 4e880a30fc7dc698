"""``aftertrace keep``: keep what fits a rule from now on, what agents remember now, or one request."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import click

from aftertrace.cli import client
from aftertrace.cli.answers import following, json_option
from aftertrace.errors import UsageError
from aftertrace.reconstruct.text import duration
from aftertrace.show.words import tidy
from aftertrace.wire import rules

_ID = re.compile(r"[0-9a-f]{8,32}")
_LOOK_S = 0.3
_LONGEST_S = 110.0


@click.command("keep")
@click.argument("words", metavar="[EXPR | ID]", nargs=-1)
@click.option("--for", "how_long", metavar="TIME", help="How long the rule holds, as 15m or 1d  [default: 1h].")
@click.option("--live", is_flag=True, help="Ask all agents for what they remember now that fits.")
@click.option("--list", "listing", is_flag=True, help="The rules that hold.")
@click.option("--remove", metavar="RULE", help="End a rule.")
@json_option
def command(words: tuple[str, ...], how_long: str | None, remove: str | None, *, live: bool, listing: bool,
            as_json: bool) -> None:  # fmt: skip
    """Keep requests that fit EXPR from now on, though nothing goes wrong in them; or the remembered request ID.

    EXPR: service=orders route="GET /cart/{id}" duration>500ms status>=400 error name~cart attribute=value, all of
    which must hold of one span: a request's first, or a server's or consumer's.
    """
    text = " ".join(words).strip()
    if sum([bool(text), listing, remove is not None]) != 1:
        raise UsageError("what-to-keep", "Give a rule, a trace id, --list or --remove RULE.", rules.HINT)
    if listing:
        _list(client.send("GET", "/api/v1/keep/rules"), as_json=as_json)
    elif remove is not None:
        _removed(client.send("DELETE", f"/api/v1/keep/rules/{client.quoted(remove)}"), as_json=as_json)
    elif _ID.fullmatch(text.lower()):
        _one(client.send("POST", "/api/v1/keep/trace", {"trace": text}), as_json=as_json)
    else:
        _rule(text, how_long, live=live, as_json=as_json)


def _list(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(answer))
        return
    for one in answer["rules"]:
        click.echo(f"{one['id']}  {duration(int(one['left_s'] * 1e9)):>8} left  {tidy(one['expression'])}")
    if not answer["rules"]:
        click.echo("No rule holds.", err=True)
    following("keep 'EXPR' --for 1h" if not answer["rules"] else "keep --remove RULE", as_json=False)


def _removed(answer: dict[str, Any], *, as_json: bool) -> None:
    click.echo(json.dumps(answer) if as_json else f"removed: {tidy(answer['removed']['expression'])}")


def _one(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(answer))
        return
    services = ", ".join(tidy(one) for one in answer["services"])
    was = "was kept already" if answer["state"] == "kept" else "is kept"
    click.echo(f"{answer['trace_id']} {was}: {services}")
    following(f"show {answer['trace_id'][:8]}", as_json=False)


def _rule(text: str, how_long: str | None, *, live: bool, as_json: bool) -> None:
    rule = rules.parse(text)
    seconds = rules.seconds(how_long) if how_long else 0.0 if live else 3600.0
    answer = client.send("POST", "/api/v1/keep", {"expression": rule.expression, "for_s": seconds, "live": live})
    if answer["rule"] is not None and not as_json:
        held = answer["rule"]
        agents = len(answer["agents"])
        click.echo(f"rule {held['id']} holds for {duration(int(held['left_s'] * 1e9))}; {_agents(agents)} follow it")
    if answer["search"] is not None:
        answer["search"] = _follow(answer["search"], as_json=as_json)
    if as_json:
        print(json.dumps(answer))
    else:
        kept = answer["search"] is not None
        following(f"ls trigger=rule{' since=15m' if kept else ''}", "keep --list", as_json=False)


def _follow(search: dict[str, Any], *, as_json: bool) -> dict[str, Any]:
    """Until all agents have looked through their memories. Ctrl-C ends the waiting: the agents go on."""
    until, said = time.monotonic() + _LONGEST_S, ""
    try:
        while True:
            line = _progress(search)
            if line != said and not as_json:
                click.echo(line, err=not search["done"])
                said = line
            if search["done"] or time.monotonic() > until:
                return search
            time.sleep(_LOOK_S)
            search = client.send("GET", f"/api/v1/keep/search/{search['id']}")
    except KeyboardInterrupt:
        click.echo("The agents go on with what they began.", err=True)
        raise


def _progress(search: dict[str, Any]) -> str:
    kept = sum(int(one.get("kept", 0)) for one in search["replies"])
    problems = dict.fromkeys(tidy(str(one["problem"])) for one in search["replies"] if one.get("problem"))
    count = (
        f"{search['answered']} of {_agents(search['agents'])} answered: {kept:,} request{'' if kept == 1 else 's'} kept"
    )
    return "; ".join([count, *problems])


def _agents(count: int) -> str:
    return f"{count} agent{'' if count == 1 else 's'}"

"""``aftertrace agent``: the per-host agent alone."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import click

from aftertrace.settings import Settings, from_environment, parse_size


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _announce(settings: Settings, *, as_json: bool) -> None:
    """The ready line: for people on stderr, for programs on stdout."""
    socket, endpoint = settings.agent_socket, settings.endpoint
    if as_json:
        print(json.dumps({"agent_socket": socket, "endpoint": endpoint, "pid": os.getpid()}), flush=True)
    click.echo(f"aftertrace agent listens at {socket}, ships to {endpoint}", err=True)


@click.command("agent")
@click.option("--socket", type=click.Path(path_type=Path), help="Where to listen [AFTERTRACE_AGENT_SOCKET].")
@click.option("--endpoint", help="Where spans and recordings go, OTLP/HTTP [AFTERTRACE_ENDPOINT].")
@click.option("--memory", help="What it may hold, as 256MiB [AFTERTRACE_AGENT_MEMORY].")
@click.option(
    "--spool", type=click.Path(path_type=Path), help="Where it puts what cannot be sent [AFTERTRACE_SPOOL_DIR]."
)
@click.option("--json", "as_json", is_flag=True, help="Say where it listens as one line of JSON on stdout.")
def command(
    socket: Path | None, endpoint: str | None, memory: str | None, spool: Path | None, *, as_json: bool
) -> None:
    """The per-host agent alone: remembers minutes of this host's processes, ships what is kept."""
    from aftertrace.agent.main import run  # noqa: PLC0415  # only when it is wanted

    settings = from_environment()
    given: dict[str, Any] = {"agent_socket": str((socket or Path(settings.agent_socket)).absolute())}
    if endpoint:
        given["endpoint"] = endpoint.rstrip("/")
    if memory:
        given["agent_memory"] = parse_size("--memory", memory)
    if spool:
        given["spool_dir"] = str(spool.absolute())
    settings = settings.replace(**given)
    logging.basicConfig(level=logging.WARNING, format="aftertrace agent: %(message)s", stream=sys.stderr)
    run(settings, _stop_on_signals(), lambda: _announce(settings, as_json=as_json))

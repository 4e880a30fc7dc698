"""``aftertrace up``: server and agent on this machine."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aftertrace.agent import listen
from aftertrace.cli.serve import announce, make_options, quiet_logs, server_options, server_parts
from aftertrace.settings import from_environment

if TYPE_CHECKING:
    from aftertrace.serve.run import Addresses

_AGENT = [sys.executable, "-P", "-c", "from aftertrace.cli.main import main; main()", "agent"]


@click.command("up")
@server_options
@click.option("--agent-socket", type=click.Path(path_type=Path), help="Where recorded programs find the agent.")
def command(store_dir: Path | None, agent_socket: Path | None, *, as_json: bool, **words: Any) -> None:
    """Server and agent on this machine, until Ctrl-C."""
    server_parts()
    from aftertrace.serve.run import run  # noqa: PLC0415  # heavy: only when it is wanted
    from aftertrace.serve.supervise import supervise  # noqa: PLC0415

    quiet_logs()
    settings = from_environment()
    options = make_options(settings, store_dir, **words)
    socket = (agent_socket or Path(settings.agent_socket)).absolute()
    if listen.answers(socket):  # or the agent that we start would end again and again
        raise listen.taken(socket)

    def ready(addresses: Addresses) -> None:
        announce("aftertrace is up", addresses, options.store_dir, as_json=as_json, agent_socket=str(socket))
        prefix = "" if socket == Path(settings.agent_socket) else f"AFTERTRACE_AGENT_SOCKET={socket} "
        click.echo(f"Record a program:  {prefix}aftertrace run --service NAME -- python app.py", err=True)

    async def agent(addresses: Addresses, stop: asyncio.Event) -> None:
        env = {**os.environ, "AFTERTRACE_ENDPOINT": addresses.otlp, "AFTERTRACE_AGENT_SOCKET": str(socket)}
        if options.token:
            env["AFTERTRACE_TOKEN"] = options.token
        await supervise(_AGENT, env, stop, lambda text: click.echo(f"aftertrace: {text}", err=True))

    run(options, ready, agent)

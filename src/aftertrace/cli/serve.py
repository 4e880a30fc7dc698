"""``aftertrace serve``: the server alone."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aftertrace.errors import NotInstalled
from aftertrace.settings import Settings, from_environment

if TYPE_CHECKING:
    from aftertrace.serve.run import Addresses, Options


_GRPC = "OTLP/gRPC; -1: none  [AFTERTRACE_GRPC_PORT; default: 4317, any free one beside another --otlp-port]"


def server_options[Command: Callable[..., Any]](command: Command) -> Command:
    """The options that ``serve`` and ``up`` share."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Say where it listens as one line of JSON on stdout."),
        click.option("--token", envvar="AFTERTRACE_TOKEN", default="", help="Ask for this token [AFTERTRACE_TOKEN]."),
        click.option("--store", "store_dir", type=click.Path(path_type=Path), help="Directory of the store."),
        click.option("--bind", "host", default="127.0.0.1", show_default=True, help="Address to listen on."),
        click.option("--otlp-port", default=4318, show_default=True, type=click.IntRange(0, 65535), help="OTLP/HTTP."),
        click.option("--grpc-port", type=click.IntRange(-1, 65535), envvar="AFTERTRACE_GRPC_PORT", help=_GRPC),
        click.option("--api-port", default=7070, show_default=True, type=click.IntRange(0, 65535), help="Questions."),
    ):
        command = option(command)
    return command


def server_parts() -> None:
    """Raises NotInstalled when this is the light install."""
    try:
        import aftertrace.serve.run  # noqa: F401, PLC0415  # heavy: only when it is wanted
    except ModuleNotFoundError as error:
        raise NotInstalled(
            "no-server-parts", f"The server needs {error.name}.", "Install it: pip install 'aftertrace[server]'."
        ) from None


def quiet_logs() -> None:
    """Warnings and errors of the server's parts, one line each, on stderr."""
    logging.basicConfig(level=logging.WARNING, format="aftertrace: %(name)s: %(message)s", stream=sys.stderr)


def make_options(settings: Settings, store_dir: Path | None, **words: Any) -> Options:
    from aftertrace.serve.run import Options  # noqa: PLC0415  # heavy: only when it is wanted

    return Options(store_dir=(store_dir or Path(settings.store_dir)).absolute(), **words)


def announce(title: str, addresses: Addresses, store_dir: Path, *, as_json: bool, **more: str) -> None:
    """The ready line: for people on stderr, for programs on stdout."""
    if as_json:
        where = {"api": addresses.api, "otlp": addresses.otlp, "grpc": addresses.grpc}
        print(json.dumps({**where, "store": str(store_dir), **more}), flush=True)
    server = "" if addresses.api == Settings().server else f"AFTERTRACE_SERVER={addresses.api} "
    click.echo(
        f"{title} (store: {store_dir})\n"
        f"  questions  {addresses.api}\n"
        f"  OTLP/HTTP  {addresses.otlp}\n"
        f"  OTLP/gRPC  {addresses.grpc or f'none: {addresses.no_grpc}'}\n"
        f"Kept requests:  {server}aftertrace ls",
        err=True,
    )


@click.command("serve")
@server_options
def command(store_dir: Path | None, *, as_json: bool, **words: Any) -> None:
    """Receive, store and answer: the server without an agent."""
    server_parts()
    from aftertrace.serve.run import run  # noqa: PLC0415  # heavy: only when it is wanted

    quiet_logs()
    options = make_options(from_environment(), store_dir, **words)
    run(options, lambda addresses: announce("aftertrace serves", addresses, options.store_dir, as_json=as_json))

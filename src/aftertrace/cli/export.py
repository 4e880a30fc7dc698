"""``aftertrace export``: a request as one file that needs no server."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import click

from aftertrace.cli import client
from aftertrace.cli.answers import following
from aftertrace.errors import UsageError
from aftertrace.wire import bundle
from aftertrace.wire.shape import Shaper

_SAYS = {
    "shape": "values by shape (type, size, a hash that only this file has); in it are names, times and source text",
    "full": "with all recorded values and source text: whoever has the file can read them",
}


@click.command("export")
@click.argument("reference", metavar="[ID]", default="last")
@click.option("-o", "--output", required=True, metavar="FILE", type=click.Path(path_type=Path), help="Where it goes.")
@click.option(
    "--values",
    type=click.Choice(["shape", "full"]),
    default="shape",
    show_default=True,
    help="What of values goes into it: their shapes only, or all that was recorded.",
)
@click.option("--force", is_flag=True, help="Overwrite FILE.")
def command(reference: str, output: Path, values: str, *, force: bool) -> None:
    """The request ID as one file: its spans, recordings, logs and sources. `aftertrace open FILE` reads it anywhere.

    ID: a trace id or a prefix of one, a span id, a link or log line with one, a request's id, or last.
    """
    if output.exists() and not force:
        raise UsageError("file-exists", f"{output} is there already.", "--force overwrites it.")
    trace = client.bundle(reference)
    data = bundle.dump(Shaper().trace(trace) if values == "shape" else trace)
    _write(output, data)
    services = len({span.service for span in trace.spans})
    click.echo(f"{output}: {len(data):,} bytes, {services} services, {_SAYS[values]}.", err=True)
    following(f"open {output} why", f"open {output} step", as_json=False)


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all. UsageError: it cannot be written."""
    aside = ""
    try:
        descriptor, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(aside).replace(path)
    except OSError as error:
        raise UsageError(
            "bad-output", f"{path} cannot be written: {error.strerror or error}.", "Name another file."
        ) from None
    finally:
        with suppress(OSError):
            if aside:
                Path(aside).unlink()

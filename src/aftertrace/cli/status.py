"""``aftertrace status``: how the agent on this machine is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from aftertrace.errors import Unavailable
from aftertrace.settings import from_environment
from aftertrace.wire import handover

_TIMEOUT_S = 5.0
_COLUMNS = ("SERVICE", "PID", "LEVEL", "OPEN SPANS", "READ", "LOST")


def ask(socket: Path) -> dict[str, Any]:
    """The agent's status. Raises Unavailable."""
    try:
        with handover.connect(socket, _TIMEOUT_S) as connection:
            handover.send(connection, handover.Status())
            answer = json.loads(_line(connection))
    except OSError:
        raise Unavailable("no-agent", f"No agent listens at {socket}.", "Start one: aftertrace up") from None
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or "processes" not in answer:
        raise Unavailable("not-an-agent", f"What listens at {socket} is no agent.", "AFTERTRACE_AGENT_SOCKET names it.")
    return answer


def _line(connection: Any) -> bytes:
    lines = handover.Lines()
    while data := connection.recv(1 << 16):
        if whole := lines.feed(data):
            return whole[0]
    raise ValueError("it ended early")


@click.command("status")
@click.option("--socket", type=click.Path(path_type=Path), help="The agent's socket [AFTERTRACE_AGENT_SOCKET].")
@click.option("--json", "as_json", is_flag=True, help="As one line of JSON.")
def command(socket: Path | None, *, as_json: bool) -> None:
    """How the agent on this machine is: its processes, its memory, what it shipped."""
    answer = ask((socket or Path(from_environment().agent_socket)).absolute())
    click.echo(json.dumps(answer) if as_json else "\n".join(_lines(answer)))


def _lines(answer: dict[str, Any]) -> list[str]:
    memory, spool, counts = answer["memory"], answer["spool"], answer["counts"]
    rows = [_COLUMNS, *(_row(process) for process in answer["processes"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    held, limit, oldest = _size(memory["bytes"]), _size(memory["limit"]), memory["horizon_s"]
    made = ", ".join(f"{counts[name]:,} {name}" for name in ("recordings", "spans", "sources"))
    none = "No process is recorded. Record one: aftertrace run -- python app.py"
    return [
        *(table if answer["processes"] else [none]),
        "",
        f"memory   {held} of {limit}: {memory['traces']:,} traces of the last {oldest:,.0f} s",
        f"kept     {counts['kept']:,} traces: {made}",
        f"shipped  {counts['requests']:,} requests, {_size(counts['sent_bytes'])}, to {answer['endpoint']}",
        f"spool    {spool['files']:,} requests, {_size(spool['bytes'])}; {spool['waiting']:,} more in memory",
        f"lost     {counts['dropped']:,} requests, {counts['rejected']:,} items that the server did not take",
        f"refused  {counts['refused']:,} connections",
    ]


def _row(process: dict[str, Any]) -> tuple[str, ...]:
    read, lost = _size(process["read_bytes"]), _size(process["lost_bytes"])
    service = process["service"] + ("" if process["connected"] else " (not connected)")
    return service, str(process["pid"]), process["level"], str(process["open_spans"]), read, lost


def _size(count: float) -> str:
    """As people read it."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}"
        count /= 1024
    return f"{count:,.1f} GiB"

"""``aftertrace status``: how the agent on this machine is."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from aftertrace.errors import Unauthorized, Unavailable
from aftertrace.settings import from_environment
from aftertrace.wire import handover
from aftertrace.wire.handover import Message, SetLevel, Switch

_TIMEOUT_S = 5.0
_COLUMNS = ("SERVICE", "PID", "LEVEL", "OPEN SPANS", "READ", "LOST")


def ask(socket: Path, *, watch: bool = False) -> dict[str, Any]:
    """The agent's status; ``watch``: its processes are asked to report, too. Raises Unavailable, Unauthorized."""
    return _asked(socket, handover.Status(watch), "processes")


def order(socket: Path, message: SetLevel | Switch) -> dict[str, Any]:
    """Has the agent do something; its answer. Raises Unavailable, Unauthorized."""
    return _asked(socket, message, "told")


def _asked(socket: Path, message: Message, expected: str) -> dict[str, Any]:
    """``expected`` is a word of the answer."""
    try:
        with handover.connect(socket, _TIMEOUT_S) as connection:
            handover.send(connection, message)
            answer = json.loads(_line(connection))
    except PermissionError:
        hint = "Ask as the user who runs it, or as root."
        raise Unauthorized("not-yours", f"The agent at {socket} takes no questions of this user.", hint) from None
    except OSError:
        raise Unavailable("no-agent", f"No agent listens at {socket}.", "Start one: aftertrace up") from None
    except ValueError:
        answer = None
    if isinstance(answer, dict) and "error" in answer:
        told = answer["error"]
        raise Unauthorized(str(told["slug"]), str(told["message"]), str(told["hint"]))
    if not isinstance(answer, dict) or expected not in answer:
        raise Unavailable("not-an-agent", f"What listens at {socket} is no agent.", "AFTERTRACE_AGENT_SOCKET names it.")
    return answer


def _line(connection: Any) -> bytes:
    lines = handover.Lines()
    while data := connection.recv(1 << 16):
        if whole := lines.feed(data):
            return whole[0]
    raise ValueError("it ended early")


@click.command("status")
@click.option(
    "--socket", type=click.Path(path_type=Path, readable=False), help="The agent's socket [AFTERTRACE_AGENT_SOCKET]."
)
@click.option("--json", "as_json", is_flag=True, help="As one line of JSON.")
def command(socket: Path | None, *, as_json: bool) -> None:
    """How the agent on this machine is: its processes, its memory, what it shipped."""
    answer = ask((socket or Path(from_environment().agent_socket)).absolute())
    click.echo(json.dumps(answer) if as_json else "\n".join(_lines(answer)))


def _lines(answer: dict[str, Any]) -> list[str]:
    memory, spool, counts = answer["memory"], answer["spool"], answer["counts"]
    idle = [(one["service"], str(one["pid"]), "off", "", "", "") for one in answer.get("idle", [])]
    rows = [_COLUMNS, *(_row(process) for process in answer["processes"]), *idle]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    held, limit, oldest = _size(memory["bytes"]), _size(memory["limit"]), memory["horizon_s"]
    made = ", ".join(f"{counts[name]:,} {name}" for name in ("recordings", "spans", "sources"))
    none = "No process is recorded. Record one: aftertrace run -- python app.py"
    return [
        *(table if len(rows) > 1 else [none]),
        *_switched(answer.get("off", [])),
        "",
        f"memory   {held} of {limit}: {memory['traces']:,} traces of the last {oldest:,.0f} s",
        f"kept     {counts['kept']:,} traces: {made}{_left_out(answer)}",
        f"shipped  {counts['requests']:,} requests, {_size(counts['sent_bytes'])}, to {answer['endpoint']}",
        f"spool    {spool['files']:,} requests, {_size(spool['bytes'])}; {spool['waiting']:,} more in memory",
        f"lost     {counts['dropped']:,} requests, {counts['rejected']:,} items that the server did not take",
        f"refused  {counts['refused']:,} connections",
    ]


def _left_out(answer: dict[str, Any]) -> str:
    """What had to stay behind for the limit of bytes a second; an older agent has none."""
    count, limit = answer["counts"].get("left_out", 0), answer.get("ration", {}).get("bytes_s", 0)
    return f"; {count:,} left out, as no more than {_size(limit)}/s may leave" if count else ""


def _switched(offs: list[dict[str, Any]]) -> list[str]:
    lines = [""] if offs else []
    for off in offs:
        until = f", until {time.strftime('%H:%M', time.localtime(off['until']))}" if off["until"] else ""
        lines.append(f"off      {off['service'] or 'every service'}{until}: {off['reason']}")
    return lines


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

"""``aftertrace off SERVICE`` and ``aftertrace on SERVICE``: recording ends or begins within seconds, no restart."""

from __future__ import annotations

import getpass
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from aftertrace.cli import status
from aftertrace.errors import UsageError
from aftertrace.settings import from_environment
from aftertrace.wire.handover import Switch

_WAIT_S = 5.0
_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class _State:
    """What the agent says of a service: process ids, and the list's line that holds it off."""

    recorded: list[int]
    idle: list[int]
    reason: str | None


def _ask(socket: Path, service: str) -> _State:
    """ "": every service. Raises Unavailable."""
    answer = status.ask(socket)
    ours = [entry for entry in answer["processes"] if service in {"", entry["service"]} and entry["connected"]]
    idle = [entry for entry in answer.get("idle", []) if service in {"", entry["service"]}]
    held = [off for off in answer.get("off", []) if not off["argv"] and off["service"] in {"", service}]
    return _State([one["pid"] for one in ours], [one["pid"] for one in idle], held[0]["reason"] if held else None)


def _wait(socket: Path, service: str, told: list[int], *, on: bool) -> _State:
    """What has come of it within some seconds; ``told`` are the processes that were to change."""
    until = time.monotonic() + _WAIT_S
    while True:
        state = _ask(socket, service)
        if not set(told) - set(state.recorded if on else state.idle) or time.monotonic() > until:
            return state
        time.sleep(_LOOK_S)


def _named(service: str | None, *, everything: bool) -> str:
    if everything == bool(service):
        raise UsageError("which-service", "Name a service, or say --all.", "aftertrace status lists them.")
    return service or ""


def _switch(service: str, socket: Path | None, reason: str, *, on: bool, as_json: bool) -> None:
    path = (socket or Path(from_environment().agent_socket)).absolute()
    before = _ask(path, service)
    status.order(path, Switch(on=on, service=service, reason=reason))
    state = _wait(path, service, before.idle if on else before.recorded, on=on)
    if as_json:
        told = {"service": service, "on": on, "recorded": state.recorded, "idle": state.idle, "held": state.reason}
        click.echo(json.dumps(told))
    else:
        click.echo("\n".join(_lines(service, state, on=on)))


def _lines(service: str, state: _State, *, on: bool) -> list[str]:
    name = service or "every service"
    back = f"aftertrace on {service or '--all'}"
    done, late = (state.recorded, state.idle) if on else (state.idle, state.recorded)
    if on and state.reason is not None:
        return [f"{name} stays off, as all services are ({state.reason}).", "Switch all on: aftertrace on --all"]
    lines = [f"{name} is {'on' if on else 'off'}: {_count(done)} {'recorded' if on else 'not recorded any more'}."]
    if late:
        pids = ", ".join(map(str, late))
        lines.append(f"{_count(late)} did not answer within {_WAIT_S:.0f} s (pid {pids}); see aftertrace status.")
    if not on:
        lines.append(f"Processes that start later are not recorded either, until: {back}")
    return lines


def _count(pids: list[int]) -> str:
    return f"{len(pids)} process{'' if len(pids) == 1 else 'es'}"


def _common(command: Any) -> Any:
    for decorate in (
        click.argument("service", required=False),
        click.option("--all", "everything", is_flag=True, help="Every service."),
        click.option(
            "--socket",
            type=click.Path(path_type=Path, readable=False),
            help="The agent's socket [AFTERTRACE_AGENT_SOCKET].",
        ),
        click.option("--json", "as_json", is_flag=True, help="As one line of JSON."),
    ):
        command = decorate(command)
    return command


@click.command("off")
@click.option("--reason", help="Why, for those who read the status later.")
@_common
def off(service: str | None, reason: str | None, socket: Path | None, *, everything: bool, as_json: bool) -> None:
    """End the recording of a service's processes within seconds, without a restart.

    Those that start later are not recorded either, until `aftertrace on`.
    """
    said = f"{reason or 'switched off'}, by {_user()}"
    _switch(_named(service, everything=everything), socket, said, on=False, as_json=as_json)


@click.command("on")
@_common
def on(service: str | None, socket: Path | None, *, everything: bool, as_json: bool) -> None:
    """Record a service's processes again, without a restart; also those that died early twice."""
    _switch(_named(service, everything=everything), socket, "", on=True, as_json=as_json)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "a user without a name"

"""Looks at the agent while its processes report what recording costs: for `top` and `doctor --live`."""

from __future__ import annotations

import time
from pathlib import Path

from aftertrace.cli.status import ask
from aftertrace.show.usage import History, View

_BETWEEN_S = 0.5
_FIRST_S = 4.0  # a process hears of it within a second, and reports a second later; one that is busy in C does not
_MORE_S = 2.2  # two more reports


def look(socket: Path, history: History) -> View:
    """What is known now; the processes are asked to go on reporting. Raises Unavailable, Unauthorized."""
    return history.add(ask(socket, watch=True))


def looks(socket: Path, service: str = "") -> list[View]:
    """Until every process has reported, or will not, and for two seconds more: all views from that moment on. Raises
    Unavailable, Unauthorized."""
    history, until = History(service), time.monotonic() + _FIRST_S
    began = float(ask(socket, watch=True)["uptime_s"])
    view = look(socket, history)
    while not _all_reported(view, began) and time.monotonic() < until:
        time.sleep(_BETWEEN_S)
        view = look(socket, history)
    views, until = [view], time.monotonic() + _MORE_S
    while view.loads and time.monotonic() < until:
        time.sleep(_BETWEEN_S)
        view = look(socket, history)
        views.append(view)
    return views


def _all_reported(view: View, since: float) -> bool:
    """Since then; of those that can."""
    age = float(view.agent["uptime_s"]) - since
    return all(load.reported_ago_s is not None and load.reported_ago_s < age for load in view.loads if load.connected)

"""``aftertrace.install()``: records a program that was not started by ``aftertrace run``."""

from __future__ import annotations

import os
import sys

from aftertrace.record import bootstrap, recorder
from aftertrace.record.program import Program
from aftertrace.settings import from_environment, parse_budget, parse_level

TYPE_CHECKING = False  # nothing is imported at a start that can be done without
if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from aftertrace.settings import Settings


def install(
    *,
    service: str | None = None,
    level: str | None = None,
    budget: str | float | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    root: str | Path | None = None,
    agent_socket: str | Path | None = None,
) -> bool:
    """Begins to record this process; what is left out, the environment says (``AFTERTRACE_*``). Code that is loaded
    already is recorded too. Again, or under ``aftertrace run``: nothing changes. Whether the process is recorded;
    AFTERTRACE_ENABLED=0 makes it False. Raises UsageError for a word that cannot be read."""
    settings = override(
        from_environment(),
        service=service,
        level=level,
        budget=budget,
        include=include,
        exclude=exclude,
        root=root,
        agent_socket=agent_socket,
    )
    active = recorder.active()
    if active is not None:
        return active.recording
    begun = recorder.start(settings, Program(sys.orig_argv), _say)
    if begun:
        bootstrap.instrument(_say)
    return begun


def override(
    settings: Settings,
    *,
    service: str | None = None,
    level: str | None = None,
    budget: str | float | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    root: str | Path | None = None,
    agent_socket: str | Path | None = None,
) -> Settings:
    """Settings with these words in place of the environment's. Raises UsageError."""
    return settings.replace(
        service=settings.service if service is None else service,
        level=settings.level if level is None else parse_level(level),
        budget=settings.budget if budget is None else parse_budget(str(budget)),
        include=settings.include if include is None else tuple(include),
        exclude=settings.exclude if exclude is None else tuple(exclude),
        root=settings.root if root is None else str(root),
        agent_socket=settings.agent_socket if agent_socket is None else os.fspath(agent_socket),
    )


def _say(sentence: str) -> None:
    if sys.stderr is not None:
        print(f"aftertrace: {sentence}", file=sys.stderr)

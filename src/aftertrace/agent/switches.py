"""Services that are switched off: on somebody's word, or because they died early twice (D17)."""

from __future__ import annotations

import os
import time
from pathlib import Path

from aftertrace.agent.deaths import Command
from aftertrace.agent.tell import Teller
from aftertrace.wire import switches
from aftertrace.wire.switches import Off

ASLEEP_S = 3600.0  # how long a command that died early twice is not recorded
_LONGEST = 512  # of a reason


class Switches:
    """The list, in memory and beside the socket, where it outlives the agent."""

    def __init__(self, socket: Path, teller: Teller) -> None:
        self._file = switches.path(str(socket))
        self._teller = teller
        self._offs = switches.read(self._file, {os.geteuid(), 0})

    def off(self, service: str, reason: str) -> None:
        """Every process of the service, "" for all, until on()."""
        self._add(Off(service, reason[:_LONGEST], time.time()))

    def asleep(self, command: Command, reason: str) -> None:
        """What starts of one user's command from now on, for an hour."""
        now = time.time()
        self._add(Off(command.service, reason, now, now + ASLEEP_S, command.argv, command.user))

    def _add(self, new: Off) -> None:
        self._offs = [off for off in self._held() if _place(off) != _place(new)] + [new]
        while len(switches.encode(self._offs)) > switches.LIMIT:  # those that somebody said stay longest
            self._offs.remove(min(self._offs, key=lambda off: (not off.argv, off is new, off.since)))
        self._save()

    def on(self, service: str) -> None:
        """On again, "": all."""
        self._offs = [off for off in self._held() if service not in {"", off.service}]
        self._save()

    def held(self, service: str) -> Off | None:
        """What keeps the processes of a service that run from being recorded."""
        return next((off for off in self._offs if not off.argv and off.service in {"", service}), None)

    def state(self) -> list[dict[str, object]]:
        return [off.asdict() for off in self._held()]

    def _held(self) -> list[Off]:
        now = time.time()
        return [off for off in self._offs if off.holds(off.service, off.argv, off.user, now)]

    def _save(self) -> None:
        try:
            switches.write(self._file, self._offs)
        except OSError as error:
            self._teller.once("switches", f"{self._file} cannot be written: {error.strerror}")


def _place(off: Off) -> tuple[str, tuple[str, ...], int]:
    return off.service, off.argv, off.user

"""Services that are switched off: on somebody's word, or because they died early twice (D17)."""

from __future__ import annotations

import os
import time
from pathlib import Path

from aftertrace.agent.tell import Teller
from aftertrace.wire import switches
from aftertrace.wire.switches import Off

ASLEEP_S = 3600.0  # how long a command that died early twice is not recorded
_MOST = 1024


class Switches:
    """The list, in memory and beside the socket, where it outlives the agent."""

    def __init__(self, socket: Path, teller: Teller) -> None:
        self._file = switches.path(str(socket))
        self._teller = teller
        self._offs = switches.read(self._file, {os.geteuid(), 0})

    def off(self, service: str, reason: str, argv: tuple[str, ...] = ()) -> None:
        """Off from now on; a command alone (``argv``) for an hour."""
        now = time.time()
        self._offs = [off for off in self._held() if (off.service, off.argv) != (service, argv)][-_MOST + 1 :]
        self._offs.append(Off(service, reason, now, now + ASLEEP_S if argv else 0.0, argv))
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
        return [off for off in self._offs if off.holds(off.service, off.argv, now)]

    def _save(self) -> None:
        try:
            switches.write(self._file, self._offs)
        except OSError as error:
            self._teller.once("switches", f"{self._file} cannot be written: {error.strerror}")

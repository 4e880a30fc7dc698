"""The recorder of this process, from its start to its end."""

from __future__ import annotations

import atexit
import os
import sys
from os import geteuid as _geteuid
from time import time as _time  # the program may put another in its place

from aftertrace import _native
from aftertrace.record import loaded, memory, resource
from aftertrace.record.connection import trusted
from aftertrace.record.fork import Forks
from aftertrace.record.link import Link
from aftertrace.record.roots import entry_directories, rules
from aftertrace.settings import most
from aftertrace.wire import switches
from aftertrace.wire.handover import Idle, Ring, SetLevel, Switch

TYPE_CHECKING = False  # nothing is imported at a start that can be done without
if TYPE_CHECKING:
    from collections.abc import Callable

    from aftertrace.record.program import Program
    from aftertrace.settings import Level, Settings
    from aftertrace.wire.switches import Off

type Say = Callable[[str], object]  # takes "slug: sentence", to be told once

_active: Recorder | None = None


def start(settings: Settings, program: Program, say: Say) -> bool:
    """Begins to record this process, once; whether it records. What stands in the way is said, not raised. One whose
    service is switched off waits to be switched on."""
    global _active  # noqa: PLW0603  # there is one recorder in a process
    if _active is not None:
        return _active.recording
    if not settings.enabled or not program.has_user_code():
        return False
    recorder = Recorder(settings, program, say)
    try:
        if not recorder.is_off():
            recorder.begin()
    except (OSError, RuntimeError) as error:
        say(f"not-recording: no ring in memory can be had: {error}")
        return False
    _active = recorder
    if recorder.recording and _native.status()["tool_id"] < 0:
        say("no-tool-id: other debuggers or profilers hold all of sys.monitoring's ids: spans only")
    recorder.connect()
    return recorder.recording


def active() -> Recorder | None:
    """The recorder of this process; None: it is not recorded, and never will be."""
    return _active


class Recorder:
    """Settings in force, and the link to the agent. ``recording``: False while the service is switched off."""

    def __init__(self, settings: Settings, program: Program, say: Say) -> None:
        self.settings = settings
        self.recording = False
        self.service = resource.service(settings, program)
        self.level: Level = settings.level
        self._resource = resource.attributes(self.service, settings.root)
        self.rules = rules(settings, program, _entries(program))
        self._say = say
        self._argv = switches.shortened(sys.orig_argv)
        self._asleep = False  # two of its kind have died early: the agent's list alone does not wake it
        self._socket = os.path.abspath(settings.agent_socket)
        self._trusted = trusted(settings)
        self.link = Link(self._socket, self._trusted, self._offer, self._order)

    def is_off(self) -> bool:
        """Whether the agent's list says that this process is not to be recorded; it is told."""
        now = _time()
        found = (off for off in switches.read(switches.path(self._socket), self._trusted))
        off = next((off for off in found if off.holds(self.service, self._argv, _geteuid(), now)), None)
        if off is None:
            return False
        self._asleep = bool(off.argv)
        self._say(f"switched-off: not recording {self.service!r}: {off.reason}. To record it: {_switch_on(off)}")
        return True

    def begin(self) -> None:
        """OSError: no ring can be had."""
        ring = memory.ring_bytes(self.settings.ring_bytes)
        _native.start(
            most(self.level),
            budget=self.settings.share(self.level),
            ring_bytes=ring,
            defs_bytes=memory.definitions_bytes(ring),
            roots=self.rules.roots,
            libraries=self.rules.libraries,
            include=self.rules.include,
            exclude=self.rules.exclude,
        )
        self.recording = True
        loaded.arm()

    def connect(self) -> None:
        """Offers the ring, follows forks, ends in order."""
        self.link.open()
        if self.link.trouble:
            self._say(f"no-agent: {self.link.trouble}")
        os.register_at_fork(after_in_child=self._in_child)  # before the next line's: no ring for one that is off
        Forks(self.link, self.end).follow()
        atexit.register(self.end)

    def end(self) -> None:
        """The program ends in order."""
        self.link.finish()
        _native.close()

    def _in_child(self) -> None:
        if self.recording and self.is_off():
            self.recording = False
            _native.stop()

    def _offer(self) -> Ring | Idle:
        if not self.recording:
            return Idle(os.getpid(), self.service, self._argv, self._asleep)
        return Ring(
            process_uid=_native.process_uid().hex(),
            pid=os.getpid(),
            service=self.service,
            level=self.level,
            resource={**self._resource, "process.pid": os.getpid()},
            argv=self._argv,
        )

    def _order(self, message: SetLevel | Switch) -> None:
        """What the agent says, on the link's thread."""
        if isinstance(message, SetLevel):
            _native.set_budget(self.settings.share(message.level))
            _native.set_level(most(message.level))
            self.level = message.level
        elif message.on != self.recording:
            self._switch(on=message.on)
            self.link.renew()

    def _switch(self, *, on: bool) -> None:
        if not on:
            self.recording = self._asleep = False
            _native.close()
            return
        try:
            self.begin()
        except (OSError, RuntimeError):  # no ring can be had now: not tried again until it is told to
            self._asleep = True
            return
        from aftertrace.record import boundaries  # noqa: PLC0415  # loaded already, unless the process began switched off

        if not boundaries.report():
            boundaries.install()


def _entries(program: Program) -> tuple[str, ...]:
    """The user's installed packages: of this command, and of those that started it (a worker's own command line says
    nothing)."""
    inherited = [part for part in os.environ.get("AFTERTRACE_ENTRIES", "").split(os.pathsep) if part.startswith("/")]
    found = tuple(dict.fromkeys([*inherited, *entry_directories(program)]))
    if found:
        os.environ["AFTERTRACE_ENTRIES"] = os.pathsep.join(found)
    return found


def _switch_on(off: Off) -> str:
    return f"aftertrace on {off.service}" if off.service else "aftertrace on --all"

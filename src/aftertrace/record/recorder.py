"""The recorder of this process, from its start to its end."""

from __future__ import annotations

import atexit
import os
import sys

from aftertrace import _native
from aftertrace.record import loaded, memory, resource
from aftertrace.record.fork import Forks
from aftertrace.record.link import Link
from aftertrace.record.roots import entry_directories, rules
from aftertrace.settings import most
from aftertrace.wire.handover import Ring

TYPE_CHECKING = False  # nothing is imported at a start that can be done without
if TYPE_CHECKING:
    from collections.abc import Callable

    from aftertrace.record.program import Program
    from aftertrace.settings import Level, Settings

type Say = Callable[[str], object]  # takes "slug: sentence", to be told once

_WORDS, _WORD = 64, 512  # of the command line, that are handed over

_active: Recorder | None = None


def start(settings: Settings, program: Program, say: Say) -> bool:
    """Begins to record this process, once; whether it records. What stands in the way is said, not raised."""
    global _active  # noqa: PLW0603  # there is one recorder in a process
    if _active is not None:
        return True
    if not settings.enabled or not program.has_user_code():
        return False
    recorder = Recorder(settings, program)
    try:
        recorder.begin()
    except (OSError, RuntimeError) as error:
        say(f"not-recording: no ring in memory can be had: {error}")
        return False
    _active = recorder
    if _native.status()["tool_id"] < 0:
        say("no-tool-id: other debuggers or profilers hold all of sys.monitoring's ids: spans only")
    recorder.connect()
    return True


def active() -> Recorder | None:
    """The recorder of this process; None: it is not recorded."""
    return _active


class Recorder:
    """Settings in force, and the link to the agent."""

    def __init__(self, settings: Settings, program: Program) -> None:
        self.settings = settings
        self.service = resource.service(settings, program)
        self.level: Level = settings.level
        self._resource = resource.attributes(self.service, settings.root)
        self.rules = rules(settings, program, _entries(program))
        self.link = Link(os.path.abspath(settings.agent_socket), self._offer, self._set_level)

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
        loaded.arm()

    def connect(self) -> None:
        """Offers the ring, follows forks, ends in order."""
        self.link.open()
        Forks(self.link, self.end).follow()
        atexit.register(self.end)

    def end(self) -> None:
        """The program ends in order."""
        self.link.finish()
        _native.close()

    def _offer(self) -> Ring:
        return Ring(
            process_uid=_native.process_uid().hex(),
            pid=os.getpid(),
            service=self.service,
            level=self.level,
            resource={**self._resource, "process.pid": os.getpid()},
            argv=tuple(word[:_WORD] for word in sys.orig_argv[:_WORDS]),
        )

    def _set_level(self, level: Level) -> None:
        _native.set_budget(self.settings.share(level))
        _native.set_level(most(level))
        self.level = level


def _entries(program: Program) -> tuple[str, ...]:
    """The user's installed packages: of this command, and of those that started it (a worker's own command line says
    nothing)."""
    inherited = [part for part in os.environ.get("AFTERTRACE_ENTRIES", "").split(os.pathsep) if part.startswith("/")]
    found = tuple(dict.fromkeys([*inherited, *entry_directories(program)]))
    if found:
        os.environ["AFTERTRACE_ENTRIES"] = os.pathsep.join(found)
    return found

"""``aftertrace run``: puts the recorder into the environment and becomes the program (exec: same PID, same signals)."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from aftertrace.errors import CannotRun, CommandNotFound
from aftertrace.record.connection import look, trouble, trusted
from aftertrace.record.program import Program, is_python, shebang
from aftertrace.settings import Settings

SITE = str(Path(__file__).absolute().with_name("site"))


@dataclass(frozen=True, slots=True)
class Command:
    """What will be executed: ``words`` as the system gets them, and ``python``, the interpreter's command line that
    they come down to ([] when that cannot be told: a shell script, a binary)."""

    executable: str
    words: list[str]
    python: list[str]


def command(words: list[str], settings: Settings, say: Callable[[str], object]) -> NoReturn:
    """Becomes ``words`` under the recorder. ``say`` takes what a person should know before. Raises CommandNotFound,
    CannotRun."""
    found = resolve(words)
    env = dict(os.environ)
    if settings.enabled:
        said = warnings(found, settings)
        for sentence in said.values():
            say(sentence)
        env |= environment(env, settings, found) | {"AFTERTRACE_TOLD": ",".join(said)}
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # it may be closed
            stream.flush()
    try:
        os.execve(found.executable, found.words, env)  # noqa: S606  # becoming the program is the point
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CannotRun("cannot-run", f"{words[0]} does not start: {reason}.", "Can it be run without us?") from None


def resolve(words: list[str]) -> Command:
    """The command as a shell would find it; ``app.py`` without execute permission runs under this interpreter."""
    name = words[0]
    script = Path(name)
    if script.suffix == ".py" and script.is_file() and not ("/" in name and os.access(name, os.X_OK) and shebang(name)):
        words = [sys.executable, *words]
        return Command(sys.executable, words, words)
    executable = shutil.which(name)
    if executable is None:
        raise _absent(name)
    return Command(executable, words, _python_words(executable, words))


def _absent(name: str) -> CannotRun:
    if "/" in name and Path(name).exists():
        return CannotRun("not-executable", f"{name} may not be executed.", f"chmod +x {name}, or: python {name}")
    hint = "Is its environment active? Write the command as you run it without us: aftertrace run -- python app.py"
    return CommandNotFound("no-such-command", f"There is no command {name!r}.", hint)


def _python_words(executable: str, words: list[str]) -> list[str]:
    if is_python(executable):
        return words
    line = shebang(executable)
    return [*line, executable, *words[1:]] if line and is_python(line[0]) else []


def warnings(found: Command, settings: Settings) -> dict[str, str]:
    """What keeps this command, or its recording, from being what the person expects: slug -> sentence."""
    said: dict[str, str] = {}
    if found.python:
        isolated = Program(found.python).isolated
        if isolated:
            flags = " and ".join(dict.fromkeys(isolated))
            said["isolated"] = (
                f"Python started with {flags} reads no environment: the program runs, and is not recorded."
            )
    try:
        look(settings.agent_socket, trusted(settings))
    except (OSError, ValueError) as error:
        why = trouble(settings.agent_socket, error) or f"no agent at {settings.agent_socket}"
        said["no-agent"] = (
            f"{why}: what is recorded stays in the process until one starts (aftertrace up, or aftertrace agent)."
        )
    return said


def environment(env: Mapping[str, str], settings: Settings, found: Command) -> dict[str, str]:
    """The variables that make the program, and what it starts, record itself."""
    added = {
        "PYTHONPATH": first_on(env.get("PYTHONPATH", "")),
        "AFTERTRACE_LEVEL": settings.level,
        "AFTERTRACE_ROOT": _absolute(settings.root),
        "AFTERTRACE_AGENT_SOCKET": _absolute(settings.agent_socket),
        "AFTERTRACE_DEFAULT_SERVICE": service_of(found),
        "AFTERTRACE_STDERR": _stderr(),
    }
    if settings.budget:
        added["AFTERTRACE_BUDGET"] = f"{settings.budget:g}"
    if settings.service and settings.service != env.get("OTEL_SERVICE_NAME"):
        added["AFTERTRACE_SERVICE"] = settings.service
    if settings.include:
        added["AFTERTRACE_INCLUDE"] = ",".join(settings.include)
    if settings.exclude:
        added["AFTERTRACE_EXCLUDE"] = ",".join(settings.exclude)
    return added


def _absolute(path: str) -> str:
    try:
        return str(Path(path).absolute())
    except OSError:  # the working directory is gone: the program says what it cannot do without it
        return path


def _stderr() -> str:
    """Which file stderr is: where the recorder may speak."""
    try:
        found = os.fstat(2)
    except OSError:
        return ""
    return f"{found.st_dev}:{found.st_ino}"


def service_of(found: Command) -> str:
    """The service's name when nobody gave one."""
    return Program(found.python).service() if found.python else Path(found.executable).stem


def first_on(pythonpath: str) -> str:
    """PYTHONPATH with our sitecustomize found first; an unset one must not become the working directory."""
    others = [part for part in pythonpath.split(os.pathsep) if part != SITE] if pythonpath else []
    return os.pathsep.join([SITE, *others])

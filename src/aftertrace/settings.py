"""Every setting, read from the environment (``AFTERTRACE_*``) once; command-line options override single fields."""

from __future__ import annotations

import os

from aftertrace.errors import UsageError
from aftertrace.fields import Fields

TYPE_CHECKING = False  # a recorded program loads this module: its imports are of its start's cost
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

type Level = Literal["spans", "calls", "lines", "auto"]
LEVELS: tuple[Level, ...] = ("spans", "calls", "lines", "auto")  # auto: lines, as far as the budget allows
BUDGET = 0.02
HANG_S = 10.0


def _runtime_dir() -> str:
    base = os.environ.get("XDG_RUNTIME_DIR")
    return f"{base}/aftertrace" if base else f"{os.environ.get('TMPDIR') or '/tmp'}/aftertrace-{os.getuid()}"  # noqa: S108  # the user's own directory


def _data_dir() -> str:
    home = os.path.expanduser("~")  # noqa: PTH111
    if not home.startswith("/"):  # a user without a name, and without HOME
        return f"{_runtime_dir()}/data"
    return f"{os.environ.get('XDG_DATA_HOME') or f'{home}/.local/share'}/aftertrace"


class Settings(Fields):
    """One process's settings. Sizes in bytes, times in seconds, budget as a share of process CPU (0.02 = 2 %)."""

    enabled: bool = True  # AFTERTRACE_ENABLED
    service: str = ""  # AFTERTRACE_SERVICE, else OTEL_SERVICE_NAME, else derived from the command
    level: Level = "auto"  # AFTERTRACE_LEVEL
    budget: float = 0.0  # AFTERTRACE_BUDGET: "2%" or "0.02"; 0: not said, see share()
    include: tuple[str, ...] = ()  # AFTERTRACE_INCLUDE: globs of paths or dotted modules, comma-separated
    exclude: tuple[str, ...] = ()  # AFTERTRACE_EXCLUDE
    root: str = ""  # AFTERTRACE_ROOT: the project's tree; default: the working directory at the start
    hang_s: float = HANG_S  # AFTERTRACE_HANG_S: seconds; a request that is open longer is kept while it is
    ring_bytes: int = 0  # AFTERTRACE_RING_BYTES; 0: min(16 MiB, 3 % of memory.max)
    agent_socket: str = ""  # AFTERTRACE_AGENT_SOCKET
    agent_user: int = -1  # AFTERTRACE_AGENT_USER: another user (name, number) whose agent may read what is recorded
    agent_group: int = -1  # AFTERTRACE_AGENT_GROUP: for an agent: whose processes it takes beside its own user's
    endpoint: str = "http://127.0.0.1:4318"  # AFTERTRACE_ENDPOINT: where recordings and spans go
    server: str = "http://127.0.0.1:7070"  # AFTERTRACE_SERVER: where questions are asked
    token: str = ""  # AFTERTRACE_TOKEN: shown to the server by agents and the command line, asked for by the server
    agent_memory: int = 256 << 20  # AFTERTRACE_AGENT_MEMORY
    keep_bytes_s: int = 8 << 20  # AFTERTRACE_KEEP_BYTES_S: bytes a second that an agent may ship; 0: no limit
    spool_dir: str = ""  # AFTERTRACE_SPOOL_DIR
    spool_bytes: int = 256 << 20  # AFTERTRACE_SPOOL_BYTES
    store_dir: str = ""  # AFTERTRACE_STORE_DIR

    def share(self, level: Level) -> float:
        """Of the process's CPU time, that recording its code may cost at this level. A level that is asked for by its
        name is what is recorded, unless a budget is named too."""
        return self.budget or (BUDGET if level == "auto" else 1.0)


def _number(name: str, text: str, units: Mapping[str, int]) -> int:
    body, factor = text.strip(), 1
    for suffix, value in units.items():
        if body.lower().endswith(suffix):
            body, factor = body[: -len(suffix)], value
            break
    try:
        number = int(float(body) * factor)
    except (ValueError, OverflowError):
        number = -1
    if number < 0:
        raise UsageError(
            "bad-setting", f"{name}={text!r} is not a size.", "Write bytes, or a number with KiB, MiB or GiB."
        )
    return number


_SIZES = {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def parse_size(name: str, text: str) -> int:
    """``256MiB`` as bytes; ``name`` is what the setting or option is called. Raises UsageError."""
    return _number(name, text, _SIZES)


def parse_budget(text: str) -> float:
    """``2%`` or ``0.02`` as a share. Raises UsageError outside 0.5 % .. 100 %."""
    try:
        share = float(text.rstrip("% ")) / 100 if text.strip().endswith("%") else float(text)
    except ValueError:
        share = 0.0
    if not 0.005 <= share <= 1.0:
        raise UsageError(
            "bad-budget", f"Budget {text!r} is not between 0.5% and 100%.", "Write for example --budget 2%."
        )
    return share


def parse_level(text: str) -> Level:
    """One of LEVELS. Raises UsageError."""
    for level in LEVELS:
        if text == level:
            return level
    raise UsageError("bad-level", f"Level {text!r} is unknown.", f"Choose one of {', '.join(LEVELS)}.")


def most(level: Level) -> int:
    """The level as the recorder's number: 0 spans, 1 calls, 2 lines."""
    return min(LEVELS.index(level), 2)


def _user(text: str) -> int:
    """A user's number, -1 for none. Raises UsageError."""
    if not text or text.isdecimal():
        return int(text or -1)
    import pwd  # noqa: PLC0415  # rarely wanted

    try:
        return pwd.getpwnam(text).pw_uid
    except KeyError:
        raise UsageError("bad-setting", f"There is no user {text!r}.", "Write its number.") from None


def _group(text: str) -> int:
    """A group's number, -1 for none. Raises UsageError."""
    if not text or text.isdecimal():
        return int(text or -1)
    import grp  # noqa: PLC0415  # rarely wanted

    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        raise UsageError("bad-setting", f"There is no group {text!r}.", "Write its number.") from None


def _seconds(name: str, text: str) -> float:
    """A span of time from 0.1 s to a day. Raises UsageError."""
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 86400:
        raise UsageError("bad-setting", f"{name}={text[:40]!r} is not from 0.1 to 86400 seconds.", f"Write {name}=10.")
    return seconds


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def from_environment(env: Mapping[str, str] | None = None) -> Settings:
    """The settings that the environment gives. Raises UsageError on one that cannot be read."""
    env = os.environ if env is None else env
    get = env.get
    return Settings(
        enabled=get("AFTERTRACE_ENABLED", "1").lower() not in {"0", "false", "no", "off"},
        service=get("AFTERTRACE_SERVICE") or get("OTEL_SERVICE_NAME") or "",
        level=parse_level(get("AFTERTRACE_LEVEL") or "auto"),
        budget=parse_budget(get("AFTERTRACE_BUDGET", "")) if get("AFTERTRACE_BUDGET") else 0.0,
        include=_list(get("AFTERTRACE_INCLUDE", "")),
        exclude=_list(get("AFTERTRACE_EXCLUDE", "")),
        root=get("AFTERTRACE_ROOT", ""),
        ring_bytes=_number("AFTERTRACE_RING_BYTES", get("AFTERTRACE_RING_BYTES", "0"), _SIZES),
        agent_socket=get("AFTERTRACE_AGENT_SOCKET") or f"{_runtime_dir()}/agent.sock",
        agent_user=_user(get("AFTERTRACE_AGENT_USER", "").strip()),
        agent_group=_group(get("AFTERTRACE_AGENT_GROUP", "").strip()),
        endpoint=get("AFTERTRACE_ENDPOINT", "http://127.0.0.1:4318").rstrip("/"),
        server=get("AFTERTRACE_SERVER", "http://127.0.0.1:7070").rstrip("/"),
        token=get("AFTERTRACE_TOKEN", ""),
        hang_s=_seconds("AFTERTRACE_HANG_S", get("AFTERTRACE_HANG_S") or str(HANG_S)),
        agent_memory=_number("AFTERTRACE_AGENT_MEMORY", get("AFTERTRACE_AGENT_MEMORY", "256MiB"), _SIZES),
        keep_bytes_s=_number("AFTERTRACE_KEEP_BYTES_S", get("AFTERTRACE_KEEP_BYTES_S", "8MiB"), _SIZES),
        spool_dir=get("AFTERTRACE_SPOOL_DIR") or f"{_data_dir()}/spool",
        spool_bytes=_number("AFTERTRACE_SPOOL_BYTES", get("AFTERTRACE_SPOOL_BYTES", "256MiB"), _SIZES),
        store_dir=get("AFTERTRACE_STORE_DIR") or f"{_data_dir()}/store",
    )

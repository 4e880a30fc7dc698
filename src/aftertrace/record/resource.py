"""Who this process is: the service's name, and the resource attributes that go with all that it sends (OTel)."""

from __future__ import annotations

import os
import sys

from aftertrace import __version__

TYPE_CHECKING = False  # nothing is imported at a start that can be done without
if TYPE_CHECKING:
    from aftertrace.record.program import Program
    from aftertrace.settings import Settings

type Attributes = dict[str, str | int]

_MUCH = 1 << 20  # bytes of packed-refs that are looked through


def given() -> dict[str, str]:
    """OTEL_RESOURCE_ATTRIBUTES: ``key=value,key=value``, percent-encoded. What cannot be read is left out."""
    found: dict[str, str] = {}
    for pair in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        key, equals, value = pair.partition("=")
        if equals and key.strip():
            found[key.strip()] = _unquote(value.strip())
    return found


def _unquote(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote  # noqa: PLC0415  # some ms at every start, needed by few

    return unquote(text)


def service(settings: Settings, program: Program) -> str:
    """AFTERTRACE_SERVICE, OTEL_SERVICE_NAME, service.name of OTEL_RESOURCE_ATTRIBUTES, else what the command says."""
    derived = os.environ.get("AFTERTRACE_DEFAULT_SERVICE") or program.service() or "python"
    return settings.service or given().get("service.name") or derived


def attributes(name: str, root: str) -> Attributes:
    """The resource of this process. ``root`` is where its .git is looked for."""
    revision = git_revision(root)
    return {
        **({"vcs.ref.head.revision": revision} if revision else {}),
        "host.name": os.uname().nodename,
        **given(),
        "service.name": name,
        "process.pid": os.getpid(),
        "process.executable.path": sys.executable or "",
        "process.runtime.name": sys.implementation.name,
        "process.runtime.version": sys.version.partition(" ")[0],
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "aftertrace",
        "telemetry.sdk.version": __version__,
    }


def git_revision(root: str) -> str:
    """The commit that is checked out around ``root``, from git's own files; "" when there is none."""
    try:
        place = os.path.abspath(root)
        while not os.path.exists(f"{place}/.git"):
            if place == "/":
                return ""
            place = os.path.dirname(place)
        return _head(_git_directory(place))
    except (OSError, ValueError):
        return ""


def _git_directory(place: str) -> str:
    """``.git`` itself, or what it points to in a worktree or submodule."""
    git = f"{place}/.git"
    return git if os.path.isdir(git) else os.path.join(place, _text(git).removeprefix("gitdir:").strip())


def _head(git: str) -> str:
    head = _text(f"{git}/HEAD")
    if not head.startswith("ref:"):
        return _revision(head)
    name = head.removeprefix("ref:").strip()
    common = f"{git}/commondir"
    places = [git, os.path.join(git, _text(common))] if os.path.exists(common) else [git]
    for place in places:
        if os.path.isfile(f"{place}/{name}"):
            return _revision(_text(f"{place}/{name}"))
    return _packed(f"{places[-1]}/packed-refs", name)


def _packed(path: str, name: str) -> str:
    for line in _text(path).splitlines() if os.path.exists(path) else []:
        revision, _, ref = line.partition(" ")
        if ref == name:
            return _revision(revision)
    return ""


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read(_MUCH).strip()


def _revision(text: str) -> str:
    return text if len(text) in {40, 64} and set(text) <= set("0123456789abcdef") else ""

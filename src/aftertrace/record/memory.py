"""How large the ring may be: min(16 MiB, 3 % of the memory that the cgroup or RLIMIT_AS allows) (D2)."""

from __future__ import annotations

from resource import RLIMIT_AS, getrlimit

MOST = 16 << 20
LEAST = 512 << 10
_SHARE = 0.03
_ROOT = "/sys/fs/cgroup"


def ring_bytes(asked: int) -> int:
    """Bytes of the ring; ``asked`` is the setting, 0 when there is none."""
    if asked:
        return max(asked, 2 * 65536)
    limits = [limit for limit in (memory_limit(), getrlimit(RLIMIT_AS)[0]) if limit is not None and limit >= 0]
    return max(LEAST, min(MOST, int(min(limits) * _SHARE))) if limits else MOST


def definitions_bytes(ring: int) -> int:
    """Bytes for file names and line tables: a quarter of the ring, some 500 bytes a function."""
    return max(1 << 20, ring // 4)


def memory_limit(root: str = _ROOT, own: str = "/proc/self/cgroup") -> int | None:
    """The lowest memory limit of this process's cgroups, v2 or v1, in bytes; None: none is set."""
    paths: list[str] = []
    for line in _text(own).splitlines():
        number, _, group = line.partition(":")
        controllers, _, path = group.partition(":")
        relative = path.strip("/")
        if number == "0" and not controllers:
            paths += [f"{place}/memory.max" for place in _up(root, relative)]
        elif "memory" in controllers.split(","):
            paths += [f"{place}/memory.limit_in_bytes" for place in _up(f"{root}/memory", relative)]
    limits = [int(text) for text in map(_text, paths) if text.isdigit()]
    return min((limit for limit in limits if 0 < limit < 1 << 60), default=None)


def _up(root: str, relative: str) -> list[str]:
    """The group's directory and all above it, ``root`` included."""
    found = [root]
    for part in relative.split("/") if relative else []:
        found.append(f"{found[-1]}/{part}")
    return found


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except (OSError, ValueError):
        return ""

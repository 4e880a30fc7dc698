"""Hosts: network namespaces joined by a bridge, where this machine allows it; else one host under several names.

The harness itself moves into namespaces of its own (network, mounts; of users, where it is not root): all that it makes
there ends with its last process, however that ends. The hosts hang on a bridge in it; no route leads out.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

OUTSIDE = "198.18.0.1"  # the harness's own address on the bridge (RFC 2544: addresses for benchmarks)
_HOST = "198.18.0.{}"
_MS_PRIVATE = 1 << 18
_MS_REC = 1 << 14


@dataclass(slots=True)
class Host:
    """``holder`` keeps its namespaces; None: it is only a name, with directories and ports of its own."""

    name: str
    address: str
    directory: Path
    holder: subprocess.Popen[bytes] | None = None

    def words(self, command: Sequence[str]) -> list[str]:
        """The command, so that it runs there; it keeps its process id."""
        if self.holder is None:
            return list(command)
        return ["nsenter", "--net", "--uts", "--target", str(self.holder.pid), "--", *command]


@dataclass(slots=True)
class Hosts:
    """All of them; ``why_not`` is empty when they are namespaces."""

    why_not: str
    outside: str = OUTSIDE
    hosts: dict[str, Host] = field(default_factory=dict)

    @classmethod
    def prepare(cls, *, wanted: bool = True) -> Hosts:
        """Before any thread is started: the process moves into namespaces of its own."""
        why_not = _move_in() if wanted else "not wanted"
        return cls(why_not, "127.0.0.1" if why_not else OUTSIDE)

    def add(self, name: str, directory: Path) -> Host:
        directory.mkdir(parents=True, exist_ok=True)
        host = Host(name, "127.0.0.1" if self.why_not else _HOST.format(11 + len(self.hosts)), directory)
        if not self.why_not:
            words = ["unshare", "--net", "--uts", "sh", "-c", f"hostname {name}; echo; exec cat"]
            host.holder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert host.holder.stdout is not None
            host.holder.stdout.readline()
            self._plug(host, len(self.hosts))
        self.hosts[name] = host
        return host

    def _plug(self, host: Host, number: int) -> None:
        assert host.holder is not None
        _ip("link", "add", f"at{number}", "type", "veth", "peer", "name", "eth0", "netns", str(host.holder.pid))
        _ip("link", "set", f"at{number}", "master", "bridge", "up")
        for words in (["addr", "add", f"{host.address}/24", "dev", "eth0"], ["link", "set", "eth0", "up"]):
            _run(host.words(["ip", *words]))
        _run(host.words(["ip", "link", "set", "lo", "up"]))

    def small_disk(self, place: Path, size: int) -> str:
        """A file system of so many bytes at a directory that is made; why not, where that is not allowed."""
        place.mkdir(parents=True, exist_ok=True)
        if self.why_not:
            return f"no mounts: {self.why_not}"
        done = _run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)], check=False)
        return "" if done.returncode == 0 else done.stderr.strip()

    def no_disk(self, place: Path) -> None:
        _run(["umount", "--lazy", str(place)], check=False)

    def close(self) -> None:
        for number, host in enumerate(self.hosts.values()):
            if host.holder is not None:
                _run(["ip", "link", "delete", f"at{number}"], check=False)
                host.holder.kill()
                host.holder.communicate()
        self.hosts.clear()


def _move_in() -> str:
    """Why not, in a sentence; "" when it has moved."""
    missing = [name for name in ("ip", "nsenter", "unshare", "mount") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed"
    user, group, flags = os.getuid(), os.getgid(), os.CLONE_NEWNET | os.CLONE_NEWNS
    try:
        os.unshare(flags | (0 if user == 0 else os.CLONE_NEWUSER))
        if user != 0:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    except OSError as error:
        return f"namespaces are not allowed ({error.strerror})"
    if ctypes.CDLL(None, use_errno=True).mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None) != 0:
        return "mounts cannot be made private"
    try:
        _ip("link", "set", "lo", "up")
        _ip("link", "add", "bridge", "type", "bridge")
        _ip("addr", "add", f"{OUTSIDE}/24", "dev", "bridge")
        _ip("link", "set", "bridge", "up")
    except subprocess.CalledProcessError as error:
        return f"no bridge can be made ({error.stderr.strip()})"
    return ""


def _ip(*words: str) -> None:
    _run(["ip", *words])


def _run(words: Sequence[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, check=check, capture_output=True, text=True)

"""Small limits, closed streams, missing places: a program runs as it does bare, recorded or told once why not."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ..record.conftest import COMMAND, START, Agent, environment
from .conftest import PROGRAM, Ended, Places, needs_root

NO_RING = "aftertrace: not-recording: no ring in memory can be had: "


def limit(what: int, most: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(what, (most, most))


def same(bare: Ended, done: Ended) -> None:
    """For the program nothing is different."""
    assert (done.code, done.out) == (bare.code, bare.out), done.err
    assert [line for line in done.err.splitlines() if line not in done.said()] == bare.err.splitlines()


@pytest.mark.parametrize(
    "before",
    [
        limit(resource.RLIMIT_AS, 64 << 20),
        limit(resource.RLIMIT_MEMLOCK, 0),
        limit(resource.RLIMIT_NOFILE, 64),
        limit(resource.RLIMIT_NPROC, 1),
        limit(resource.RLIMIT_CORE, 0),
        lambda: os.close(0),
        lambda: os.close(2),
        lambda: (os.close(0), os.close(2)),
        lambda: os.umask(0o777),
    ],
    ids=["AS", "MEMLOCK", "NOFILE", "NPROC", "CORE", "no stdin", "no stderr", "neither", "umask"],
)
def test_recorded_where_little_is_allowed(before: Callable[[], object], places: Places, agent: Agent) -> None:
    bare, done = places(before)
    same(bare, done)
    assert bare.code == 0
    assert done.said() == []
    [process] = agent.all_closed()
    assert process.in_order
    assert process.kinds[START] >= 200


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (limit(resource.RLIMIT_NOFILE, 8), "Too many open files"),
        (limit(resource.RLIMIT_FSIZE, 65536), "File too large"),
        (limit(resource.RLIMIT_FSIZE, 0), "File too large"),
    ],
    ids=["NOFILE", "FSIZE", "FSIZE 0"],
)
def test_not_recorded_and_told_once(before: Callable[[], object], why: str, places: Places, agent: Agent) -> None:
    bare, done = places(before)
    same(bare, done)
    [said] = done.said()
    assert said.startswith(NO_RING)
    assert why in said
    assert not any(process.ring for process in agent.processes)


def test_no_stdout_at_all(places: Places, program: Path, agent: Agent) -> None:
    """What it opens as descriptors 0 and 1 is that in both runs."""
    bare, done = places(lambda: [os.close(fd) for fd in (0, 1, 2)])
    assert (bare.code, done.code) == (0, 0)
    assert [path.name for path in program.parent.glob("out-*")] == ["out-5250-1"]
    agent.all_closed()


@pytest.mark.parametrize(
    "env",
    [
        {"HOME": None},
        {"TMPDIR": "/nonexistent", "XDG_RUNTIME_DIR": "/nonexistent", "XDG_DATA_HOME": "/nonexistent"},
        {"AFTERTRACE_RING_MEMORY": "file"},
    ],
    ids=["no HOME", "no TMPDIR", "no memfd"],
)
def test_recorded_where_places_are_missing(env: dict[str, str | None], places: Places, agent: Agent) -> None:
    bare, done = places(env=env)
    same(bare, done)
    assert done.said() == []
    [process] = agent.all_closed()
    assert process.kinds[START] >= 200


def test_a_socket_whose_path_is_too_long(places: Places, tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120) / "agent.sock"
    bare, done = places(env={"AFTERTRACE_AGENT_SOCKET": str(path)})
    same(bare, done)
    [said] = done.said()
    assert said.startswith(f"aftertrace: no-agent: {path}: ")
    assert "too long" in said
    told = subprocess.run(
        [*COMMAND, "doctor"], env=environment(AFTERTRACE_AGENT_SOCKET=str(path)), capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert "longer than a socket's path may be" in told.stdout
    refused = subprocess.run([*COMMAND, "agent", "--socket", str(path)], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "agent-socket" in refused.stderr


def test_a_working_directory_that_is_gone(places: Places, agent: Agent) -> None:
    def leave() -> None:
        gone = tempfile.mkdtemp()
        os.chdir(gone)
        os.rmdir(gone)

    bare, done = places(leave, env={"AFTERTRACE_ROOT": ""})
    same(bare, done)
    assert len(done.said()) == 1


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_run_itself_with_closed_streams(closed: tuple[int, ...], program: Path, agent: Agent) -> None:
    words = [*COMMAND, "run", "--agent-socket", str(agent.path), "--", sys.executable, str(program)]
    made = program.parent / "made"
    done = subprocess.run(
        words, env=environment(OUT=str(made)), capture_output=True, text=True, timeout=60, check=False,
        cwd=program.parent, preexec_fn=lambda: [os.close(fd) for fd in closed],
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    if 1 in closed:
        first = sorted({0, 1, 2, 3, 4} - ({0, 1, 2} - set(closed)))[:2]
        assert (program.parent / f"made-5250-{first[-1]}").is_dir()
    agent.all_closed()


def test_switched_off_by_the_environment_nothing_of_ours_is_there(places: Places, program: Path, agent: Agent) -> None:
    program.write_text(
        PROGRAM + "print([name for name in sys.modules if 'aftertrace' in name], len(os.listdir('/proc/self/fd')))\n"
    )
    bare, done = places(env={"AFTERTRACE_ENABLED": "0"})
    same(bare, done)
    assert done.said() == []
    assert not agent.processes


# -- namespaces, control groups, system calls that are refused

UNSHARE = ("unshare", "--mount", "--propagation", "private")
can_unshare = pytest.mark.skipif(
    os.geteuid() != 0
    or shutil.which("unshare") is None
    or subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode != 0,
    reason="no namespaces can be made here",
)


def inside(script: str) -> tuple[str, ...]:
    """Words that run a command after a script in a mount namespace of its own."""
    return (*UNSHARE, "sh", "-ec", f'{script}\nexec "$@"', "sh")


@can_unshare
@pytest.mark.parametrize(
    ("script", "env", "said"),
    [
        ("mount -o remount,ro,bind / || mount --bind -o ro / /", {}, ""),
        ("umount -l /dev/shm", {}, ""),
        ("mount -t tmpfs -o size=4k none /dev/shm", {}, ""),
        ("mount -t tmpfs -o size=4k none /dev/shm", {"AFTERTRACE_RING_MEMORY": "file"}, "No space left on device"),
        ("mount -t tmpfs -o size=256m none /dev/shm", {"AFTERTRACE_RING_MEMORY": "file"}, ""),
        ("mount -t tmpfs -o ro none /dev/shm", {"AFTERTRACE_RING_MEMORY": "file"}, "Read-only file system"),
        ("mount -t tmpfs none /sys/fs/cgroup; umount -l /sys", {}, ""),
    ],
    ids=[
        "read-only root",
        "no shm",
        "tiny shm",
        "tiny shm, no memfd",
        "small shm, no memfd",
        "ro shm, no memfd",
        "no sys",
    ],
)
def test_containers(script: str, env: dict[str, str | None], said: str, places: Places, agent: Agent) -> None:
    bare, done = places(wrap=inside(script), env=env)
    same(bare, done)
    assert bare.code == 0, bare.err
    if said:
        [line] = done.said()
        assert line.startswith(NO_RING)
        assert said in line
    else:
        assert done.said() == []
        assert agent.all_closed()[0].kinds[START] >= 200


# Refuses memfd_create with EPERM, as old container profiles do, and becomes the command.
FILTER = """
import ctypes, errno, os, platform, struct, sys
number = {"x86_64": 319, "aarch64": 279}[platform.machine()]
code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50000 | errno.EPERM), (0x06, 0, 0, 0x7FFF0000)]
program = b"".join(struct.pack("HBBI", *one) for one in code)
libc = ctypes.CDLL(None, use_errno=True)
text = ctypes.create_string_buffer(program)
head = struct.pack("HxxxxxxP", len(code), ctypes.addressof(text))
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.create_string_buffer(head), 0, 0):
    sys.exit(77)
try:
    os.memfd_create("x")
except PermissionError:
    os.execv(sys.argv[1], sys.argv[1:])
sys.exit(78)
"""


@pytest.mark.skipif(os.uname().machine not in {"x86_64", "aarch64"}, reason="its system call's number is not known")
def test_memfd_refused_by_seccomp(places: Places, agent: Agent) -> None:
    bare, done = places(wrap=(sys.executable, "-S", "-E", "-c", FILTER))
    if bare.code == 77:
        pytest.skip("no seccomp here")
    same(bare, done)
    assert (bare.code, done.said()) == (0, [])
    [process] = agent.all_closed()
    assert process.kinds[START] >= 200


@needs_root
def test_a_small_memory_cgroup(places: Places, agent: Agent) -> None:
    """The ring takes its 3 % of what the group allows, and the group is not what kills the program."""
    group = _memory_group()
    if group is None:
        pytest.skip("no memory control group can be made here")

    def enter() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    try:
        bare, done = places(enter)
        same(bare, done)
        assert (bare.code, done.said()) == (0, [])
        assert agent.all_closed()[0].kinds[START] >= 200
        words = [sys.executable, "-c", "from aftertrace.record import memory; print(memory.ring_bytes(0))"]
        asked = subprocess.run(words, capture_output=True, text=True, check=True, preexec_fn=enter)
        assert int(asked.stdout) == int((48 << 20) * 0.03)
    finally:
        group.rmdir()


def _memory_group() -> Path | None:
    """A group of its own with 48 MiB, of version 1 or 2."""
    for root, name in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(root) / f"aftertrace-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / name).write_text(str(48 << 20))
            return group
        except OSError:
            group.rmdir()
    return None

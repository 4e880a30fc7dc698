"""The recorder in real processes: the program behaves as it does bare, and its ring says what it did."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from aftertrace import _native

START, LINE, RETURN, YIELD, RESUME, UNWIND = 3, 4, 5, 6, 7, 12

# Records the program named last on the command line; its ring's records by kind go to stderr as `kind count` lines.
DRIVER = """
import collections, runpy, sys
from aftertrace import _native
level, root, program = int(sys.argv[1]), sys.argv[2], sys.argv[3]
_native.start(level, ring_bytes=int(sys.argv[4]), defs_bytes=1 << 20, roots=[root], libraries=[])
runpy.run_path(program, run_name="__main__")
status = _native.status()
_native.close()
reader = _native.Reader(_native.ring_fd())
kinds = collections.Counter()
while slices := reader.poll():
    for _, _, _, records in slices:
        at = 0
        while at < len(records):
            kinds[records[at]] += 1
            at += 3 + int.from_bytes(records[at + 1 : at + 3], "little")
assert reader.ended() and status["doubts"] == 0 and status["lost"] == 0, status
print(status["frames"], reader.lost_bytes, status["parked"], file=sys.stderr)
for kind, count in kinds.items():
    print(kind, count, file=sys.stderr)
"""

PROGRAMS = {
    "recursion to the limit": """
def deep(n):
    return deep(n + 1)
try:
    deep(0)
except RecursionError as error:
    print(type(error).__name__)
""",
    "tasks, async generators": """
import asyncio
async def leaf(i):
    await asyncio.sleep(0)
    return i * 2
async def counting(n):
    for i in range(n):
        yield i
async def main():
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(leaf(i)) for i in range(200)]
    return sum(task.result() for task in tasks) + sum([x async for x in counting(5)])
print(asyncio.run(main()))
""",
    "generators dropped and nested": """
def inner(n):
    try:
        for i in range(n):
            yield i
    finally:
        print("closed", n)
def outer():
    yield from inner(3)
    yield from inner(2)
dropped = outer()
next(dropped)
del dropped
print(list(outer()))
""",
    "exceptions": """
def fails(depth):
    try:
        if depth == 0:
            raise ExceptionGroup("group", [ValueError(1), KeyError("k")])
        fails(depth - 1)
    finally:
        depth = -depth
try:
    fails(3)
except* ValueError as group:
    print("values", group.exceptions)
except* KeyError as group:
    print("keys", group.exceptions)
""",
    "closures, classes, comprehensions, threads": """
import threading
class Stack:
    __slots__ = ("items",)
    def __init__(self):
        self.items = []
    def push(self, item):
        self.items.append(item)
def counter():
    count = 0
    def increment():
        nonlocal count
        count += 1
        return count
    return [increment() for _ in range(3)] + [count]
def work(stack):
    for i in range(300):
        stack.push(i)
stack = Stack()
threads = [threading.Thread(target=work, args=(stack,)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(stack.items), counter())
""",
    "hostile classes": """
import gc
class Hostile:
    def __init__(self):
        object.__setattr__(self, "value", 1)
    def _cry(self, *args):
        print("ran", args)
    __repr__ = __str__ = __len__ = __getattr__ = __getattribute__ = __eq__ = __bool__ = __iter__ = _cry
    __hash__ = None
    __class__ = property(lambda self: print("class"))
    def __del__(self):
        print("deleted")
def take(first, second):
    mine = first
    both = [first, second]
    return mine
one = Hostile()
take(one, {"key": one})
del one
print("after")
""",
    "a fork": """
import os
def work(n):
    return n * 2
child = os.fork()
if child == 0:
    os._exit(work(3))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), work(4))
""",
}


def record(tmp_path: Path, text: str, *, level: int = 2, frames: str = "fast", ring: int = 1 << 22):
    program, driver = tmp_path / "program.py", tmp_path.parent / f"{tmp_path.name}-driver.py"
    program.write_text(text)
    driver.write_text(DRIVER)
    command = [sys.executable, driver, str(level), f"{tmp_path}/", program, str(ring)]
    environment = {**os.environ, "AFTERTRACE_FRAMES": frames}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    bare = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (bare.returncode, bare.stdout), done.stderr
    way, lost, parked = done.stderr.splitlines()[0].split()
    kinds = Counter({int(k): int(n) for k, n in (line.split() for line in done.stderr.splitlines()[1:])})
    return way, int(lost), int(parked), kinds


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("level", [1, 2])
def test_a_program_runs_as_it_does_bare_and_both_ways_to_frames_agree(tmp_path: Path, name: str, level: int) -> None:
    fast = record(tmp_path, PROGRAMS[name], level=level)
    public = record(tmp_path, PROGRAMS[name], level=level, frames="public")
    assert (fast[0], public[0]) == ("fast" if sys.version_info < (3, 14) else "public", "public")
    for kind in (START, LINE, RETURN, YIELD, UNWIND):
        assert fast[3][kind] == public[3][kind], kind


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_starts_ends_and_what_yields_resumes(tmp_path: Path, name: str) -> None:
    _, lost, parked, kinds = record(tmp_path, PROGRAMS[name], level=1)
    assert lost == 0
    assert kinds[START] > 0
    assert kinds[LINE] == 0
    assert kinds[START] == kinds[RETURN] + kinds[UNWIND] + parked


def test_a_small_ring_wraps_and_is_read_from_a_keyframe(tmp_path: Path) -> None:
    text = "def f(a):\n    b = a\n    return b\nfor i in range(20000):\n    f(i)\n"
    _, _, _, kinds = record(tmp_path, text, ring=1 << 17)
    assert 0 < kinds[LINE] < 40000  # only the newest
    assert kinds[2] > 0  # FRAMEs


def test_last_lines_survive_sigkill(tmp_path: Path) -> None:
    program = tmp_path / "killed.py"
    program.write_text(
        "import os, signal\ndef last(word):\n    os.kill(os.getpid(), signal.SIGKILL)\nlast('final words')\n"
    )
    driver = (
        "import runpy, sys, socket\nfrom aftertrace import _native\n"
        f"_native.start(2, ring_bytes=1 << 20, defs_bytes=1 << 20, roots=[{str(tmp_path) + '/'!r}], libraries=[])\n"
        "socket.send_fds(socket.socket(fileno=int(sys.argv[1])), [b'x'], [_native.ring_fd()])\n"
        f"runpy.run_path({str(program)!r})\n"
    )
    import socket

    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-c", driver, str(theirs.fileno())]
        done = subprocess.run(command, pass_fds=[theirs.fileno()], timeout=60, check=False)
        _, (fd,), _, _ = socket.recv_fds(ours, 1, 1)
    assert done.returncode == -signal.SIGKILL
    reader = _native.Reader(fd)
    os.close(fd)
    records = b"".join(piece for _, _, _, piece in reader.poll())
    assert b"final words" in records
    assert not reader.ended()
    reader.close()

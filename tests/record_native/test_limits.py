"""Beyond what a record, the definitions or the ring can hold: less is recorded, it is said, and the rest is right."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from aftertrace.model import ValueKind
from aftertrace.wire import records

from .recorded import WAYS, run, steps


@pytest.mark.parametrize("level", [1, 2])
def test_a_thousand_variables_beside_a_large_value(tmp_path: Path, level: int) -> None:
    names = [f"v{i}" for i in range(990)]
    text = "def wide(big):\n"
    text += "".join(f"    {name} = 'x' * 300\n" for name in names[:495])
    text += "".join(f"    {name} = [big, big]\n" for name in names[495:])
    text += "    return big\nbig = ['y' * 250 for _ in range(60)]\nfor _ in range(30):\n    wide(big)\n"
    text += "def after(n):\n    return n\nfor i in range(50):\n    after(i)\n"
    seen = run(tmp_path, text, level)
    assert [one.value for one in steps(seen, "after", "Return")] == list(range(50))
    for record in seen.of(records.Return):
        if seen.code(1).qualname == "wide" and record.value.kind is ValueKind.SEQUENCE and level == 1:
            assert len(record.slots) == 991
    assert max(len(data) for *_, data in seen.slices) <= 65536


@pytest.mark.parametrize("count", [65, 127, 128, 400])
def test_a_line_that_writes_many_names_is_captured_whole(tmp_path: Path, count: int) -> None:
    names = ", ".join(f"v{i}" for i in range(count))
    text = f"def f(n):\n    {names} = range(n, n + {count})\n    return v0\nf(5)\n"
    seen = run(tmp_path, text)
    held = steps(seen, "f", "Line")[-1].names
    assert held == {"n": 5, **{f"v{i}": 5 + i for i in range(count)}}


def test_variables_beyond_a_thousand_are_said_to_be_missing(tmp_path: Path) -> None:
    text = "def f():\n" + "".join(f"    v{i} = {i}\n" for i in range(1100)) + "    return v1099\nf()\n"
    seen = run(tmp_path, text)
    (returned,) = steps(seen, "f", "Return")
    assert returned.value == 1099
    assert returned.names == {f"v{i}": i for i in range(1000)}
    assert any("1000 variables" in gap.detail for gap in seen.of(records.GapRecord))


@WAYS
def test_full_definitions_are_a_gap_and_what_is_defined_goes_on(tmp_path: Path, frames: str) -> None:
    text = """
def known(x):
    y = x
    return y
known(-1)  # a code is defined at its first call
space = {}
for i in range(3000):
    exec(compile(f"def made_{i}(a):\\n    b = a\\n    return b\\nmade_{i}({i})", __file__, "exec"), space)
for i in range(100):
    known(i)
"""
    seen = run(tmp_path, text, defs_bytes=40_000, environment={"AFTERTRACE_FRAMES": frames})
    assert [one.value for one in steps(seen, "known", "Return")] == list(range(-1, 100))
    made = {one.function for one in steps(seen) if one.function.startswith("made")}
    assert 100 < len(made) < 1000
    gaps = [gap.detail for gap in seen.of(records.GapRecord)]
    assert gaps.count("definitions full") == 1  # not once for each of the others
    assert seen.definitions.problem == ""


def test_code_made_again_and_again_is_armed_a_thousand_times(tmp_path: Path) -> None:
    text = """
source = compile("def again(a):\\n    return a\\nagain(1)", __file__, "exec")
for i in range(1200):
    exec(compile("def again(a):\\n    return a\\nagain(1)", __file__, "exec"))
"""
    seen = run(tmp_path, text, level=1)
    assert len(steps(seen, "again", "Return")) == 999
    assert [g.detail for g in seen.of(records.GapRecord)] == ["more than 1000 code objects of one place"] * 2


def test_code_of_more_than_two_thousand_lines_has_calls_only(tmp_path: Path) -> None:
    text = "def f(n):\n    a = n\n" + "    a += 1\n" * 2100 + "    return a\nf(1)\n"
    seen = run(tmp_path, text)
    assert steps(seen, "f", "Line") == []
    (returned,) = steps(seen, "f", "Return")
    assert (returned.value, returned.names) == (2101, {"n": 1, "a": 2101})
    assert any("2000 lines" in gap.detail for gap in seen.of(records.GapRecord))


@WAYS
def test_a_ring_of_two_subbuffers_is_read_rightly_from_its_keyframes(tmp_path: Path, frames: str) -> None:
    text = """
def deep(n, word):
    here = [word, n]
    if n:
        below = deep(n - 1, word + "x")
    here.append("back")
    return n, len(word), here
for i in range(60):
    deep(40, str(i))
"""
    seen = run(tmp_path, text, ring_bytes=1 << 17, environment={"AFTERTRACE_FRAMES": frames})
    returns = steps(seen, "deep", "Return")
    assert len(returns) > 20
    for one in returns:
        assert one.value == [one.names["n"], len(one.names["word"]), one.names["here"]]


def test_deep_recursion_and_its_end(tmp_path: Path) -> None:
    text = """
import sys
sys.setrecursionlimit(30_000)
def deep(n):
    below = n and deep(n - 1)
    return n
def endless(n):
    return endless(n + 1)
print(deep(20_000))
sys.setrecursionlimit(500)
try:
    endless(0)
except RecursionError as error:
    print(str(error)[:32])
"""
    seen = run(tmp_path, text, level=1)
    assert seen.out.splitlines() == ["20000", "maximum recursion depth exceeded"]
    assert len(steps(seen, "deep", "Return")) == 20_001
    assert len(steps(seen, "endless", "Unwind")) == len(steps(seen, "endless", "Start"))
    assert seen.status["doubts"] == 0


# -- memory that cannot be had ----------------------------------------------------------------------------------------

START = """
import sys
from aftertrace import _native
try:
    _native.start(2, ring_bytes=1 << 22, defs_bytes=1 << 16, roots=["/"], libraries=[])
    print("started", _native.status()["memory"])
except OSError as error:
    print(error.errno)
def f(x):
    return x + 1
print(f(1), _native.status()["recording"])
_native.Span("s").end()
_native.close()
"""


def started(*, limit: int | None = None, memory: str = "") -> list[str]:
    def smaller() -> None:
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [sys.executable, "-c", START],
        capture_output=True,
        text=True,
        env={**os.environ, "AFTERTRACE_RING_MEMORY": memory},
        preexec_fn=smaller,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_a_file_takes_the_place_of_a_memfd() -> None:
    assert started(memory="file") == ["started", "file", "2", "True"]
    assert started() == ["started", "memfd", "2", "True"]


@pytest.mark.parametrize("memory", ["", "file"])
def test_no_memory_for_the_ring_is_an_os_error_and_the_program_goes_on(memory: str) -> None:
    assert started(limit=1 << 20, memory=memory) == [str(errno.EFBIG), "2", "False"]


def test_no_descriptors_is_an_os_error_and_the_program_goes_on(tmp_path: Path) -> None:
    text = START.replace("try:\n", "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\ntry:\n", 1)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.split(), done.stderr) == ([str(errno.EMFILE), "2", "False"], "")


NO_MORE = """
import ctypes, sys
from aftertrace import _native
_native.start(2, ring_bytes=1 << 22, defs_bytes=1 << 20, roots=["/"], libraries=[])
[ring] = [line for line in open("/proc/self/maps") if "memfd:aftertrace" in line]
start, end = (int(part, 16) for part in ring.split()[0].split("-"))
refused = end - (1 << 21)  # from here on the kernel gives no memory
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(refused), 1 << 21, 1) == 0
reader = _native.Reader(_native.ring_fd())
def f(x):
    y = x + 1
    return y
assert _native.arm(f.__code__)
seen = {f(n) for n in range(200_000)}
with _native.Span("s"):
    _native.log(9, "l", "m", (), "f", 1, "g", None)
status = _native.status()
print(len(seen), f(1), status["recording"], status["lost"])
pieces = 0
while found := reader.poll():
    pieces += sum(len(records) for _, _, _, records in found)
print(1 << 20 < pieces <= 1 << 21, reader.ended())
_native.stop()
_native.start(2, ring_bytes=1 << 18, defs_bytes=1 << 16, roots=["/"], libraries=[])
f(2)
print(_native.status()["recording"], _native.status()["lost"])
_native.close()
"""


def output(program: Path, text: str) -> list[str]:
    program.write_text(text)
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_no_memory_for_the_rest_of_the_ring_ends_the_recording_and_not_the_program(tmp_path: Path) -> None:
    """As on a machine without memory: there the step is refused by the kernel too, here by the mapping's protection."""
    assert output(tmp_path / "program.py", NO_MORE) == ["200000 2 False 1", "True False", "True 0"]


NO_MORE_DEFINITIONS = """
import ctypes, sys
from aftertrace import _native
_native.start(1, ring_bytes=1 << 18, defs_bytes=1 << 20, roots=["/"], libraries=[])
[ring] = [line for line in open("/proc/self/maps") if "memfd:aftertrace" in line]
start = int(ring.partition("-")[0], 16)
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + 4096 + 65536), 65536, 1) == 0
reader = _native.Reader(_native.ring_fd())
for n in range(2000):
    exec(compile(f"def f{n}(argument): return argument\\nf{n}({n})", __file__, "exec"))
print(_native.status()["recording"], 65536 - 1024 < len(reader.definitions()) <= 65536)
"""


def test_no_memory_for_more_definitions_is_as_if_they_were_full(tmp_path: Path) -> None:
    assert output(tmp_path / "program.py", NO_MORE_DEFINITIONS) == ["True True"]


SUBINTERPRETER = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
from aftertrace import _native
_native.start(2, ring_bytes=1 << 20, defs_bytes=1 << 16, roots=[sys.argv[1]], libraries=[])
one = interpreters.create()
said = interpreters.run_string(one, '''
try:
    from aftertrace import _native
    _native.start(2, ring_bytes=1 << 20, defs_bytes=1 << 16, roots=["/"], libraries=[])
except (ImportError, RuntimeError) as error:
    print(type(error).__name__)
exec(compile("def f(x):\\\\n    return x\\\\nprint(f(3))", "/app/inner.py", "exec"))
''')
interpreters.destroy(one)
print(_native.status()["recording"], _native.status()["doubts"])
"""


def test_a_subinterpreter_is_refused_and_runs_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SUBINTERPRETER, "/app/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["ImportError", "3", "True", "0"], done.stderr

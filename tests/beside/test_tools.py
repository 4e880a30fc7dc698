"""Other tools that watch the same program: their results are those of a run without us, and ours are without them."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from ..record.conftest import COMMAND, LINE, START, Agent, recorded, run
from .conftest import Both, Kinds

RETURN, YIELD, RESUME, RAISE, HANDLED = 5, 6, 7, 9, 11
FLOW = (START, LINE, RETURN, YIELD, RESUME, RAISE, HANDLED)


def flow(kinds: Kinds) -> dict[int, int]:
    """What the program did; spans, logs and level changes are not compared."""
    return {kind: kinds[kind] for kind in FLOW}


def python(*words: str) -> list[str]:
    return [sys.executable, *words]


@pytest.mark.parametrize("core", ["ctrace", "sysmon"])
def test_coverage(core: str, program: Path, agent: Agent, alone: Kinds) -> None:
    """coverage measures no branches by sys.monitoring before 3.14, and would say so."""
    options = ["--branch"] if core == "ctrace" else []
    measure = python("-m", "coverage", "run", *options, "work.py")
    told = []
    for words in (measure, recorded(agent.path, measure, "--level", "lines", "--budget", "100%")):
        done = run(words, program, COVERAGE_CORE=core)
        report = run(python("-m", "coverage", "json", "-q", "-o", "-"), program)
        files = json.loads(report.stdout)["files"]  # ours too where aftertrace is installed in place, not as a package
        assert all("aftertrace" in path for path in files if path != "work.py")
        told.append((done.returncode, done.stdout, done.stderr, files["work.py"]))
    assert told[0] == told[1]
    assert told[0][3]["summary"]["percent_covered"] > 90
    assert [flow(process.kinds) for process in agent.all_closed()] == [flow(alone)]


def test_pytest_cov(program: Path, both: Both) -> None:
    (program / "test_work.py").write_text(
        "import work\ndef test_fib(): assert work.fib(5) == 5\ndef test_main(): work.main(); assert 0\n"
    )
    options = (
        "-q",
        "-p",
        "no:cacheprovider",
        "--cov=work",
        "--cov-branch",
        "--cov-report=term-missing",
        "test_work.py",
    )
    bare, done, kinds = both(*python("-m", "pytest", *options))
    assert done.returncode == bare.returncode == 1
    assert _timeless(done.stdout) == _timeless(bare.stdout)
    assert "work.py" in done.stdout
    assert kinds[0][START] > 20


def _timeless(text: str) -> str:
    return re.sub(r"\d+\.\d+ ?s(econds)?", "", text)


PROFILES = """
import cProfile, profile, work
for kind in (cProfile, profile):
    found = kind.Profile()
    found.runcall(work.main)
    found.create_stats()
    print(sorted((key[0].rpartition("/")[2], key[1], key[2].partition(" at 0x")[0], value[0], value[1])
                 for key, value in found.stats.items()))
"""


def test_cprofile_and_profile(program: Path, both: Both, alone: Kinds) -> None:
    (program / "profiles.py").write_text(PROFILES)
    bare, done, kinds = both(*python("profiles.py"))
    assert (done.returncode, done.stdout, done.stderr) == (0, bare.stdout, "")
    assert "('work.py', 1, 'fib', 1, 25)" in done.stdout
    assert kinds[0][RAISE] == 2 * alone[RAISE]


TRACERS = """
import sys, work
seen = []
def trace(frame, event, arg):
    if frame.f_code.co_filename.endswith("work.py"):
        told = repr(arg) if arg is None or type(arg) in (int, str, list) else type(arg).__name__
        seen.append((event, frame.f_code.co_name, frame.f_lineno, told))
    return trace
def profile(frame, event, arg):
    if frame.f_code.co_filename.endswith("work.py"):
        seen.append((event, frame.f_code.co_name, frame.f_lineno))
def opcodes(frame, event, arg):
    frame.f_trace_opcodes = True
    seen.append((event, frame.f_code.co_name, frame.f_lineno, frame.f_lasti))
    return opcodes
for begin in (lambda: sys.settrace(trace), lambda: sys.setprofile(profile), lambda: sys.settrace(opcodes)):
    begin()
    work.main()
    sys.settrace(None)
    sys.setprofile(None)
print(seen)
"""


def test_settrace_and_setprofile_see_what_they_see_bare(program: Path, both: Both, alone: Kinds) -> None:
    (program / "tracers.py").write_text(TRACERS)
    bare, done, kinds = both(*python("tracers.py"))
    assert done.returncode == 0
    assert done.stdout == bare.stdout
    events = Counter(event[0] for event in ast.literal_eval(done.stdout.splitlines()[-1]))
    assert all(events[name] > 10 for name in ("call", "line", "return"))
    assert kinds[0][HANDLED] == 3 * alone[HANDLED]


def test_pdb_stops_where_it_does_bare(program: Path, agent: Agent) -> None:
    told = []
    (program / ".pdbrc").write_text("b work.py:13\nc\np n\nw\nn\ns\np n\nu\np i\nuntil\ncl 1\nc\nq\n")
    for words in (python("-m", "pdb", "work.py"), recorded(agent.path, python("-m", "pdb", "work.py"))):
        done = run(words, program, HOME=str(program))
        told.append((done.returncode, re.sub(r"0x[0-9a-f]+", "0x", done.stdout)))
    assert told[0] == told[1]
    assert "raise ValueError(n)" in told[0][1]


def test_viztracer(program: Path, both: Both, alone: Kinds) -> None:
    words = python("-m", "viztracer", "--quiet", "--unique_output_file", "work.py")
    bare, done, kinds = both(*words)
    assert (done.returncode, done.stdout) == (0, bare.stdout)
    one, other = (_calls(path) for path in program.glob("work_*.json"))
    assert one == other
    assert one["fib"] == 25
    assert [flow(one) for one in kinds] == [flow(alone)]


def _calls(path: Path) -> Counter[str]:
    events = json.loads(path.read_text())["traceEvents"]
    return Counter(event["name"].partition(" (")[0] for event in events if event["ph"] == "X")


def test_the_trace_module_counts_the_same(program: Path, both: Both) -> None:
    bare, done, _ = both(*python("-m", "trace", "--count", "-C", "counts", "work.py"))
    assert done.returncode == bare.returncode == 0
    assert "   25:     if n < 2:" in (program / "counts" / "work.cover").read_text()


MONITOR = """
import sys, work
m, E = sys.monitoring, sys.monitoring.events
free = [tool for tool in range(6) if m.get_tool(tool) is None]
tool = free[-1]
m.use_tool_id(tool, "another")
seen = []
def note(what):
    def callback(code, *words):
        if code.co_filename.endswith("work.py"):
            seen.append((what, code.co_name, *(type(word).__name__ if isinstance(word, Exception) else word
                                               for word in words if type(word) in (int, ValueError))))
        return m.DISABLE if what == "LINE" and words[0] % 2 else None
    return callback
GLOBAL = ("PY_START", "PY_RESUME", "PY_RETURN", "PY_YIELD", "LINE", "RAISE", "PY_UNWIND", "EXCEPTION_HANDLED", "CALL")
events = 0
for name in (*GLOBAL, "C_RETURN", "C_RAISE"):
    m.register_callback(tool, getattr(E, name), note(name))
for name in GLOBAL:
    events |= getattr(E, name)
m.set_events(tool, events)
work.main()
m.restart_events()
work.main()
m.set_events(tool, 0)
m.set_local_events(tool, work.fib.__code__, E.PY_START | E.PY_RETURN)
work.main()
m.restart_events()
m.set_local_events(tool, work.fib.__code__, 0)
m.free_tool_id(tool)
print(seen)
"""


def test_another_monitoring_tool_with_the_same_events(program: Path, both: Both, alone: Kinds) -> None:
    """It disables events, restarts them for everybody, and ends."""
    (program / "monitor.py").write_text(MONITOR)
    bare, done, kinds = both(*python("monitor.py"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == bare.stdout
    assert kinds[0][RAISE] == 3 * alone[RAISE]
    assert kinds[0][RETURN] >= 3 * (alone[RETURN] - 1)


GREEDY = """
import sys
taken = []
for tool in range(6):
    try:
        sys.monitoring.use_tool_id(tool, "greedy")
        taken.append(tool)
    except ValueError:
        pass
sys.monitoring.restart_events()
import aftertrace, work
print(taken, aftertrace.install(), file=sys.stderr)
work.main()
"""


def test_one_that_takes_every_id_after_us_has_all_but_ours(program: Path, both: Both, alone: Kinds) -> None:
    (program / "greedy.py").write_text(GREEDY)
    bare, done, kinds = both(*python("greedy.py"))
    assert done.stdout == bare.stdout
    assert done.stderr == "[0, 1, 2, 4, 5] True\n"
    assert kinds[0][RAISE] == alone[RAISE] + 1  # the refusal of ours


def test_one_that_has_taken_every_id_before_us_leaves_spans_and_it_is_told(program: Path, agent: Agent) -> None:
    (program / "greedy.py").write_text(GREEDY)
    done = run(python("greedy.py"), program, AFTERTRACE_AGENT_SOCKET=str(agent.path))
    assert done.returncode == 0
    assert done.stderr.count("no-tool-id") == 1
    assert "[0, 1, 2, 3, 4, 5] True" in done.stderr
    [process] = agent.all_closed()
    assert process.in_order
    assert not process.kinds[START]


def test_doctor_says_so_in_a_program_whose_ids_are_taken(tmp_path: Path) -> None:
    script = (
        "import sys\nfor tool in (3, 4): sys.monitoring.use_tool_id(tool, 'x')\nsys.argv = ['aftertrace', 'doctor']\n"
    )
    script += "from aftertrace.cli.main import main\nmain()\n"
    done = run([COMMAND[0], "-P", "-c", script], tmp_path)
    assert re.search(r"^bad +monitoring +No tool id", done.stdout, re.MULTILINE)

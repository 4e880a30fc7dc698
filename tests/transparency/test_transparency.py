"""`make transparency` on a package made here: what differs is found, what is known must be there, exactly."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

TESTS = """
import itertools, os, pathlib, sys
import pytest
import thing

def test_same():
    assert thing.half(4) == 2

def test_fails_both_ways():
    assert thing.half(4) == 3

def test_differs():
    assert sys.monitoring.get_tool(3) is None

@pytest.mark.xfail
def test_expected_to_fail():
    assert thing.half(0)

@pytest.fixture
def broken_end():
    yield
    assert sys.monitoring.get_tool(3) is None

def test_differs_at_its_end(broken_end):
    pass

def test_unsteady():
    counter = pathlib.Path("runs")
    counter.write_text(counter.read_text() + "x" if counter.exists() else "x")
    assert counter.read_text() != "xxx"

def test_forks():
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
"""


@pytest.fixture(scope="module")
def program() -> Iterator[SimpleNamespace]:
    """The modules of the program, which is no part of the package."""
    root = str(Path(__file__).absolute().parents[2])
    sys.path.insert(0, root)
    try:
        from transparency import compare, packages, report, rooms, suite
    finally:
        sys.path.remove(root)
    yield SimpleNamespace(compare=compare, packages=packages, report=report, rooms=rooms, suite=suite)
    for name in [name for name in sys.modules if name.partition(".")[0] == "transparency"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def runs(program: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any, Any]:
    """The package, its first bare run, its recorded one, its second bare one."""
    directory = tmp_path_factory.mktemp("room")
    tree = directory / "tree"
    tree.mkdir()
    (tree / "thing.py").write_text("def half(n):\n    return n // 2\n")
    (tree / "test_thing.py").write_text(TESTS)
    package = program.packages.Package("thing", "1", ("thing",), (), program.packages.PYTEST, passes=3)
    room = program.rooms.Room(package, directory, tree, Path(sys.executable))

    def run(name: str, recorded: bool) -> Any:
        return program.suite.run(room, name, recorded=recorded, progress=lambda done, tests: None)

    return package, run("bare", False), run("recorded", True), run("bare-again", False)


def test_what_differs_is_found(program: SimpleNamespace, runs: tuple[Any, Any, Any, Any]) -> None:
    verdict = program.compare.judge(*runs, [])
    assert {one.test.partition("::")[2]: (one.bare, one.recorded) for one in verdict.unexpected} == {
        "test_differs": ("passed", "failed"),
        "test_differs_at_its_end": ("passed", "passed, failed at teardown"),
    }
    assert verdict.unsteady == {"test_thing.py::test_unsteady": ("passed", "failed")}
    assert not verdict.problems
    assert not verdict.ok
    assert verdict.bare.outcomes["test_thing.py::test_expected_to_fail"] == "xfailed"
    assert verdict.bare.tests == len(verdict.bare.outcomes) - 1 == 7  # and the exit status
    assert verdict.recorded.recorder["records"] > 0
    shown = program.report.text([verdict], {})
    assert "DIFFERS test_thing.py::test_differs: passed -> failed" in shown
    assert "NOT the same" in shown
    assert json.loads(json.dumps(program.report.to_json(verdict)))["unexpected"][0]["text"]


def test_what_is_known_must_be_there_exactly(program: SimpleNamespace, runs: tuple[Any, Any, Any, Any]) -> None:
    known = [replace(one, reason="a test of ours") for one in program.compare.judge(*runs, []).unexpected]
    assert program.compare.judge(*runs, known).ok
    other_outcome = [replace(known[0], recorded="skipped"), *known[1:]]
    verdict = program.compare.judge(*runs, other_outcome)
    assert ([one.test for one in verdict.unexpected], verdict.vanished) == ([known[0].test], other_outcome[:1])
    gone = program.compare.Difference("thing", "test_thing.py::test_same", "passed", "failed", "was so once")
    verdict = program.compare.judge(*runs, [*known, gone])
    assert (verdict.unexpected, verdict.vanished, verdict.ok) == ([], [gone], False)
    assert program.compare.judge(*runs, [*known, replace(gone, package="another")]).ok


def test_runs_that_prove_nothing_are_no_success(program: SimpleNamespace, runs: tuple[Any, Any, Any, Any]) -> None:
    package, first, recorded, second = runs
    known = program.compare.judge(*runs, []).unexpected
    bare_only = program.compare.judge(package, first, first, second, [])
    assert "the recorder was not on" in bare_only.problems[0]
    few = program.compare.judge(replace(package, passes=100), first, recorded, second, known)
    assert "is the environment broken?" in few.problems[0]
    library = replace(recorded, not_user=["thing.py"])
    assert not program.compare.judge(package, first, library, second, known).ok


def test_known_differences_have_reasons(program: SimpleNamespace) -> None:
    for difference in program.compare.known():
        assert difference.package in program.packages.PACKAGES
        assert len(difference.reason) > 20

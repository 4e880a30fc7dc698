"""Turned up and down, stopped, forked and begun again while frames run: what is read is right, or it is not there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from .recorded import WAYS, load, run, steps


@WAYS
def test_lines_that_ran_unseen_are_made_up_for(tmp_path: Path, frames: str) -> None:
    text = """
from aftertrace import _native
def f(n):
    a = 1
    b = [2]
    _native.set_level(1)
    a = 10
    b.append(20)
    c = 30
    del n
    _native.set_level(2)
    d = 40
    e = 50
    return a
f(7)
"""
    seen = run(tmp_path, text, environment={"AFTERTRACE_FRAMES": frames})
    last = steps(seen, "f", "Line")[-1]
    assert (last.line, last.names) == (14, {"a": 10, "b": [2, 20], "c": 30, "d": 40, "e": 50})
    assert len({one.activation for one in steps(seen, "f")}) == 1


@WAYS
@pytest.mark.parametrize("off", ["_native.set_level(0)", "_native.stop()"])
def test_a_frame_that_ended_unseen_is_not_taken_for_its_successor(tmp_path: Path, frames: str, off: str) -> None:
    on = "_native.set_level(2)" if "level" in off else "_native.start(2, **options)"
    text = f"""
import json, sys
from aftertrace import _native
options = json.loads(sys.argv[4])
def f(x):
    y = x
    if x == 1:
        {off}
    elif x == 2:
        {on}
    z = y * 10
    return z
def g():
    f(1)
    f(2)
g()
f(3)
"""
    seen = run(tmp_path, text, environment={"AFTERTRACE_FRAMES": frames})
    assert seen.status["doubts"] == 0
    returns = [(one.names["x"], one.value) for one in steps(seen, "f", "Return")]
    assert returns == [(2, 20), (3, 30)]
    assert all(one.names.get("y", 2) == 2 for one in steps(seen, "f") if one.names.get("x") == 2)


@WAYS
def test_a_generator_that_went_on_unseen_is_not_taken_up_again(tmp_path: Path, frames: str) -> None:
    text = """
from aftertrace import _native
def numbers(n):
    total = 0
    for i in range(n):
        total += i
        yield total
def main():
    one = numbers(4)
    next(one)
    next(one)
    _native.set_level(0)
    next(one)
    _native.set_level(2)
    return next(one)
main()
"""
    seen = run(tmp_path, text, environment={"AFTERTRACE_FRAMES": frames})
    last = steps(seen, "numbers", "Yield")[-1]
    assert (last.value, last.names) == (6, {"n": 4, "total": 6, "i": 3})


@WAYS
def test_a_forked_child_records_into_its_own_ring(tmp_path: Path, frames: str) -> None:
    text = f"""
import os, ringdump
from aftertrace import _native
def f(x):
    y = x
    if x == 1 and os.fork() == 0:
        assert _native.status()["recording"] is False and _native.ring_fd() == -1
        return "child"
    elif x == 2:
        _native.reopen()
    z = y * 10
    return z
def g():
    said = f(1)
    if said == "child":
        f(2)
        f(3)
        ringdump.dump({str(tmp_path / "child.json")!r})
        os._exit(0)
    os.wait()
    f(4)
g()
"""
    parent = run(tmp_path, text, environment={"AFTERTRACE_FRAMES": frames})
    child = load(tmp_path / "child.json")
    assert [(one.names["x"], one.value) for one in steps(child, "f", "Return")] == [(2, 20), (3, 30)]
    assert [(one.names["x"], one.value) for one in steps(parent, "f", "Return")] == [(1, 10), (4, 40)]
    assert parent.uid != child.uid
    assert parent.pid != child.pid
    assert {child.code(one.code).qualname for one in child if hasattr(one, "code")} <= {"f", "g", "<module>"}
    assert parent.status["doubts"] == child.status["doubts"] == 0


def test_levels_up_and_down_at_random_tell_nothing_wrong(tmp_path: Path) -> None:
    """Each return of `work` tells its argument, so that each can be checked against what the reader has."""
    text = """
import random
from aftertrace import _native
chance = random.Random(5)
def work(n, depth):
    a = n
    if chance.random() < 0.2:
        _native.set_level(chance.randrange(3))
    b = a + 1
    if depth:
        for value in walk(n):
            b += 0
        work(n + 1, depth - 1)
    if chance.random() < 0.2:
        _native.set_level(chance.randrange(3))
    c = b + 1
    return n, a, b, c
def walk(n):
    for i in range(2):
        if chance.random() < 0.1:
            _native.set_level(chance.randrange(3))
        yield n, i
for n in range(400):
    work(n, 3)
"""
    seen = run(tmp_path, text)
    assert seen.status["doubts"] == 0
    returns = steps(seen, "work", "Return")
    assert len(returns) > 200
    assert all(one.value == [one.names[name] for name in ("n", "a", "b", "c")] for one in returns)
    yields = steps(seen, "walk", "Yield")
    assert len(yields) > 200
    assert all(one.value == [one.names["n"], one.names.get("i", one.value[1])] for one in yields)
    assert sum("i" in one.names for one in yields) > 50
    for line in steps(seen, "work", "Line"):
        held = line.names
        assert all(held[name] == held["n"] + more for name, more in (("a", 0), ("b", 1), ("c", 2)) if name in held)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the tool's events end with its id there: arm() asks anew")
def test_start_is_refused_twice_and_goes_on_after_stop(tmp_path: Path) -> None:
    text = """
import json, sys
from aftertrace import _native
options = json.loads(sys.argv[4])
try:
    _native.start(2, **options)
except RuntimeError as error:
    print(error)
first = _native.process_uid()
_native.stop()
_native.stop()
def between():
    return 1
between()
_native.start(1, **options)
print(first != _native.process_uid())
def after(x):
    return between() + x
after(2)
"""
    seen = run(tmp_path, text)
    assert seen.out.split("\n")[:2] == ["already started", "True"]
    assert [(one.function, one.value) for one in steps(seen, kind="Return") if one.function != "<module>"] == [
        ("between", 1),
        ("after", 3),
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_that_does_not_reopen_leaves_the_parents_ring_alone(tmp_path: Path) -> None:
    text = """
import os
import sys
def f(x):
    return x
children = []
for _ in range(5):
    child = os.fork()
    if child == 0:
        for i in range(1000):
            f(("child", i))
        os._exit(0)
    children.append(child)
for i in range(1000):
    f(("parent", i))
for child in children:
    os.waitpid(child, 0)
"""
    seen = run(tmp_path, text, level=1)
    assert {one.value[0] for one in steps(seen, "f", "Return")} == {"parent"}

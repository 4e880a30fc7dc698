"""The budget: who is shed, who is not, who comes back; what is read of a frame is right, whatever its levels were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aftertrace.wire.definitions import CAUSES, EXCEPTIONS, LevelChange

from .recorded import WAYS, Recorded, run, steps

FIXED = {"ring_bytes": 4 << 20, "defs_bytes": 1 << 20}

# `work(f)` runs f for some CPU time; `told()` prints what it cost of it, and which level each function has.
PRELUDE = """
import json, time
from aftertrace import _native
def work(f, seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        f()
def spent():
    _native.govern()
    usage = _native.usage()
    return usage["code_s"] + usage["exceptions_s"] + usage["arming_s"]
def told(f, seconds=1.0):
    '''After a while of getting used to it: the share of CPU that the governor counts.'''
    work(f, 1.0)
    before, began = spent(), time.process_time()
    work(f, seconds)
    share = (spent() - before) / (time.process_time() - began)
    levels = {name: level for _, name, _, level, _, _ in _native.hot(1000)}
    print(json.dumps({"share": share, "levels": levels, "usage": _native.usage()}))
"""

ADVERSARIES = {
    "fib": """
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
def hot():
    fib(14)
""",
    "loops": """
def hot():
    total = 0
    for i in range(60):
        for j in range(60):
            total += i * j
    return total
""",
    "generators": """
def steps(n):
    for i in range(n):
        yield i
def hot():
    return sum(steps(2000))
""",
    "exceptions": """
def fails(x):
    try:
        raise KeyError(x)
    except KeyError:
        return None
def hot():
    for i in range(300):
        fails(i)
""",
    "library exceptions": """
import collections.abc
class Empty(collections.abc.Mapping):
    def __getitem__(self, key): raise KeyError(key)
    def __len__(self): return 0
    def __iter__(self): return iter(())
EMPTY = Empty()
def hot():
    for i in range(300):
        EMPTY.get(i)  # is raised here, handled in the library
""",
    "values": """
BIG = {f"key {i}": ["x" * 5000, {"n": i}] for i in range(500)}
def look(big, text):
    again = big
    return len(again) + len(text)
def hot():
    for _ in range(50):
        look(BIG, "y" * 100_000)
""",
    "deep": """
def deep(n):
    return 0 if n == 0 else 1 + deep(n - 1)
def hot():
    deep(300)
""",
    "tasks": """
import asyncio
async def task(n):
    await asyncio.sleep(0)
    return n
async def gather():
    return await asyncio.gather(*[task(i) for i in range(500)])
LOOP = asyncio.new_event_loop()
def hot():
    LOOP.run_until_complete(gather())
""",
    "exec": """
def hot():
    for i in range(10):
        scope = {}
        exec(compile(f"def f{i}(x):\\n    y = x + 1\\n    return y\\n", __file__, "exec"), scope)
        scope[f"f{i}"](i)
""",
}


def said(seen: Recorded) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(seen.out.splitlines()[-1])
    return found


def changes(seen: Recorded, function: str) -> list[LevelChange]:
    return [
        change
        for change in seen.definitions.levels
        if change.code != EXCEPTIONS and seen.code(change.code).qualname == function
    ]


@pytest.mark.alone
@pytest.mark.parametrize("name", ADVERSARIES)
def test_the_budget_is_kept(tmp_path: Path, name: str) -> None:
    text = PRELUDE + ADVERSARIES[name] + "\ntold(hot)\n"
    seen = run(tmp_path, text, budget=0.02, **FIXED)
    found = said(seen)
    assert found["share"] <= 0.025, found
    assert found["usage"]["demotions"] > 0
    assert seen.status["doubts"] == 0
    assert all(CAUSES[change.cause] in CAUSES.values() and change.level <= 3 for change in seen.definitions.levels)


def test_without_a_limit_nothing_is_shed(tmp_path: Path) -> None:
    found = said(run(tmp_path, PRELUDE + ADVERSARIES["fib"] + "\ntold(hot, 0.1)\n", **FIXED))
    assert found["usage"]["demotions"] == 0
    assert found["share"] > 0.1
    assert found["levels"]["fib"] == found["levels"]["hot"] == 2


COLD = """
def cold(n):
    a = n + 1
    return a
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
def both():
    cold(1)
    sum(map(str.__len__, map(str, range(2000))))
    fib(N)
"""


@pytest.mark.alone
def test_the_hottest_code_is_shed_and_cold_code_keeps_its_lines(tmp_path: Path) -> None:
    seen = run(tmp_path, PRELUDE + "N = 12" + COLD + "\ntold(both)\ncold(77)\n", budget=0.02, **FIXED)
    found = said(seen)
    assert found["levels"]["fib"] < found["levels"]["cold"] == 2
    last = [one for one in steps_at_end(seen) if one.function == "cold"]
    assert [(one.kind, one.names) for one in last] == [
        ("Start", {"n": 77}),
        ("Line", {"n": 77}),
        ("Line", {"n": 77, "a": 78}),
        ("Return", {"n": 77, "a": 78}),
    ]
    first = changes(seen, "fib")[0]
    assert (first.level, CAUSES[first.cause]) in {(0, "budget"), (1, "budget")}
    assert [change.ticks for change in seen.definitions.levels] == sorted(c.ticks for c in seen.definitions.levels)


def steps_at_end(seen: Recorded) -> list[Any]:
    """Of the last call that is recorded: the ring may have gone round."""
    seen.slices = seen.slices[-1:]
    found = steps(seen)
    return [
        one for one in found if one.activation == max(other.activation for other in found if other.function == "cold")
    ]


@pytest.mark.alone
def test_what_was_hot_comes_back(tmp_path: Path) -> None:
    text = (
        PRELUDE
        + "N = 9"
        + COLD
        + """
told(both)
def other():
    sum(map(str.__len__, map(str, range(2000))))
for _ in range(1000):
    work(other, 0.05)
    _native.govern()
    if all(level == 2 for _, name, _, level, _, _ in _native.hot(1000) if name == "fib"):
        break
    time.sleep(0.05)
print(json.dumps({"levels": {name: level for _, name, _, level, _, _ in _native.hot(1000)}}))
fib(3)
"""
    )
    seen = run(tmp_path, text, budget=0.02, **FIXED)
    assert said(seen)["levels"].get("fib", 2) == 2
    assert "cold" in [CAUSES[change.cause] for change in changes(seen, "fib")]
    assert [one.value for one in steps(seen, "fib", "Return")][-1] == 2


@pytest.mark.alone
def test_code_in_focus_is_shed_last(tmp_path: Path) -> None:
    text = (
        PRELUDE
        + """
def failed(n):
    a = n
    b = a
    return b
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
def both():
    for i in range(4):
        failed(i)
    sum(map(str.__len__, map(str, range(3000))))
    fib(10)
both()
lines = {name: line for _, name, line, *_ in _native.hot(1000)}
print(_native.focus(frozenset({(__file__, failed.__code__.co_firstlineno), (__file__, 12345)}), 60.0))
told(both)
"""
    )
    seen = run(tmp_path, text, budget=0.02, **FIXED)
    assert seen.out.splitlines()[0] == "1"
    assert said(seen)["levels"]["failed"] == 2
    assert said(seen)["levels"].get("fib", 0) < 2


FLIPS = """
import random
from aftertrace import _native
def flip():
    for function in (f, steps, outer, fails):
        if chance.random() < 0.3:
            _native.set_code_level(function.__code__, chance.choice([0, 1, 2]))
def f(x):
    y = x * 10
    flip()
    z = [y + 1]
    z.append(x)
    return z
def steps(n):
    for i in range(n):
        flip()
        twice = i * 2
        yield twice
def fails(x):
    text = f"no {x}"
    flip()
    raise ValueError(text)
def outer(n):
    total = 0
    for twice in steps(n):
        total += twice
        flip()
        try:
            fails(n)
        except ValueError as error:
            message = str(error)
    return total, f(n), outer(n - 1) if n else 0
"""


@WAYS
def test_whatever_the_levels_were_what_is_read_is_right(tmp_path: Path, frames: str) -> None:
    text = FLIPS + "for seed in range(60):\n    chance = random.Random(seed)\n    outer(4)\n"
    seen = run(tmp_path, text, environment={"AFTERTRACE_FRAMES": frames})
    found = steps(seen)
    assert seen.status["doubts"] == 0
    assert len(found) > 3000
    for one in found:
        held = one.names
        if one.function == "f" and one.kind != "Start":
            assert held.get("y", held["x"] * 10) == held["x"] * 10
            assert held.get("z", [held["x"] * 10 + 1])[0] == held["x"] * 10 + 1
        if one.function == "f" and one.kind == "Return":
            assert one.value == held["z"] == [held["x"] * 10 + 1, held["x"]]
        if one.function == "steps" and one.kind == "Yield":
            assert one.value == held.get("twice", one.value) == held.get("i", one.value / 2) * 2
        if one.function == "fails" and one.kind == "Unwind":
            assert held["text"] == f"no {held['x']}"
        if one.function == "outer" and one.kind == "Return":
            assert one.value[0] == held["total"] == held["n"] * (held["n"] - 1)
    whose = {one.activation: one.function for one in found}
    for one in found:
        assert whose.get(one.parent, "") in {"", "outer", "<module>", "steps"} or one.function == "flip"


def test_levels_of_code_hold_in_a_forked_child(tmp_path: Path) -> None:
    text = """
import os, sys, ringdump
from aftertrace import _native
def shed(x):
    return x
def kept(x):
    return x
shed(1), kept(1)
_native.set_code_level(shed.__code__, 0)
child = os.fork()
if child == 0:
    _native.reopen()
    shed(2), kept(2)
    ringdump.dump(sys.argv[5] + ".child")
    os._exit(0)
os.waitpid(child, 0)
"""
    run(tmp_path, text)
    from .recorded import load

    child = load(tmp_path / "ring.json.child")
    assert [one.function for one in steps(child, kind="Start")] == ["kept"]
    assert [(change.level, child.code(change.code).qualname) for change in child.definitions.levels] == [(0, "shed")]

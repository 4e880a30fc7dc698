"""The debugger's movements on real recordings: what each step shows, and what must hold for any sequence of moves."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from aftertrace.errors import NotFound, UsageError
from aftertrace.reconstruct.cursor import Cursor
from aftertrace.reconstruct.execution import Execution, StepKind

from .oracle import PROGRAMS, record

MOVES = ["next", "into_calls", "out", "back", "back_over", "forward", "backward", "into_service", "up", "down"]


@pytest.fixture(scope="module", params=PROGRAMS)
def execution(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Execution:
    return record(tmp_path_factory.mktemp("recorded"), PROGRAMS[request.param])[0]


@pytest.fixture
def failing(tmp_path: Path) -> Execution:
    return record(tmp_path, PROGRAMS["exceptions"])[0]


def test_any_sequence_of_moves_stays_within_the_recording(execution: Execution) -> None:
    cursor, chance = Cursor(execution), Random(7)
    cursor.add_breakpoint(
        next(s for s in execution.steps if s.kind is StepKind.LINE and s.activation) and "program.py:4"
    )
    for _ in range(400):
        before = cursor.index
        move = chance.choice(MOVES)
        getattr(cursor, move)()
        assert 0 <= cursor.index < len(execution.steps)
        if move in {"next", "into_calls", "out", "forward", "into_service"}:
            assert cursor.index >= before
        if move in {"back", "back_over", "backward"}:
            assert cursor.index <= before
        stack = cursor.stack()
        assert 0 <= cursor.selected < max(len(stack), 1)
        assert len({(e.frame.process, e.frame.activation) for e in stack}) == len(stack)
        assert all(local.binding.written_at <= cursor.index for local in cursor.locals())


def test_stepping_into_everything_meets_every_line_and_back_again(execution: Execution) -> None:
    cursor = Cursor(execution)
    way = [cursor.index]
    while (stop := cursor.into_calls()).reason != "end of recording":
        assert stop.step.index > way[-1]
        way.append(stop.step.index)
    met = {execution.steps[index].activation for index in way}
    for step in execution.steps:
        frame = execution.frame(step)
        if step.kind is StepKind.LINE and step.index not in way and frame is not None:
            # of tasks that ran in turns a step follows one: the other's lines are all that may be passed over
            caller = cursor.flow.caller(frame, step.index)
            assert caller is not None
            assert caller.border is not None
            assert caller.border.kind == "task"
            assert frame.activation not in met
    back = [cursor.index]
    while (stop := cursor.back()).reason != "start of recording":
        assert stop.step.index < back[-1]
        back.append(stop.step.index)
    assert back[-1] == way[0]


def test_next_goes_over_a_call_and_back_over_returns(failing: Execution) -> None:
    cursor = Cursor(failing)
    cursor.run_to("program.py:12")
    here = cursor.index
    assert {local.binding.name: local.binding.value.scalar for local in cursor.locals()} == {"tries": 0, "key": "a"}
    cursor.next()
    assert (cursor.stack()[0].frame.code.qualname, cursor.step.line) == ("main", 10)
    assert next(one for one in cursor.locals() if one.binding.name == "value").binding.value.scalar == 1
    cursor.back_over()
    assert cursor.index == here


def test_into_a_call_shows_its_caller_and_out_goes_back_to_it(failing: Execution) -> None:
    cursor = Cursor(failing)
    cursor.run_to("program.py:12")
    cursor.into_calls()
    assert [(entry.frame.code.qualname, entry.line) for entry in cursor.stack()][:2] == [("deep", 3), ("main", 12)]
    assert cursor.up()
    assert {local.binding.name for local in cursor.locals()} == {"tries", "key"}
    cursor.out()
    assert cursor.stack()[0].frame.code.qualname == "main"


def test_the_raise_and_who_wrote_a_value(failing: Execution) -> None:
    cursor = Cursor(failing)
    cursor.goto_failure()
    assert cursor.step.kind is StepKind.RAISE
    assert (cursor.stack()[0].frame.code.qualname, cursor.step.line) == ("deep", 5)
    answer = cursor.evaluate("key in table").value
    assert answer is not None
    assert answer.scalar is False
    cursor.goto_write("table")
    assert cursor.step.line == 3
    with pytest.raises(NotFound):
        cursor.goto_write("no_such_name")


def test_breakpoints_forward_and_backward_meet_the_same_steps(failing: Execution) -> None:
    cursor = Cursor(failing)
    cursor.add_breakpoint("deep")
    hits = []
    while (stop := cursor.forward()).reason == "breakpoint":
        hits.append(stop.step.index)
    assert len(hits) == 2
    back = []
    while (stop := cursor.backward()).reason == "breakpoint":
        back.append(stop.step.index)
    assert back == hits[::-1]


def test_a_condition_is_asked_of_the_values_there(failing: Execution) -> None:
    cursor = Cursor(failing)
    cursor.add_breakpoint("program.py:5", "key == 'b'")
    stop = cursor.forward()
    assert stop.reason == "breakpoint"
    assert next(one for one in cursor.locals() if one.binding.name == "key").binding.value.scalar == "b"
    assert cursor.forward().reason == "end of recording"
    with pytest.raises(UsageError):
        cursor.add_breakpoint("program.py:5", "open('x')")
    with pytest.raises(NotFound):
        cursor.add_breakpoint("program.py:4000")


def test_addresses_lead_back_to_their_steps(execution: Execution) -> None:
    cursor = Cursor(execution)
    for step in execution.steps:
        if step.address:
            cursor.goto_address(step.address)
            assert cursor.index == step.index
    with pytest.raises(NotFound):
        cursor.goto_address("no.such.address")


def test_a_task_is_waited_for_by_the_coroutine_that_made_it(tmp_path: Path) -> None:
    cursor = Cursor(record(tmp_path, PROGRAMS["tasks"])[0])
    cursor.run_to("program.py:4")
    stack = cursor.stack()
    assert [(entry.frame.code.qualname, entry.line) for entry in stack] == [("leaf", 4), ("main", 9), ("<module>", 12)]
    assert stack[1].border is not None
    assert stack[1].border.kind == "task"
    first = stack[0].frame.activation
    for _ in range(20):
        if cursor.into_calls().step.activation != first:
            break
    assert cursor.stack()[0].frame.code.qualname in {"leaf", "main"}


MANY_TASKS = """
import asyncio
async def leaf(i):
    await asyncio.sleep(0)
    return i
async def middle(i):
    return await leaf(i)
async def gathers(n):
    return await asyncio.gather(*[middle(i) for i in range(n)])
async def main():
    found = await gathers(60)
    raise ValueError(sum(found))
try:
    asyncio.run(main())
except ValueError:
    pass
"""


def test_each_of_many_tasks_is_waited_for_by_the_coroutine_that_made_them_all(tmp_path: Path) -> None:
    execution = record(tmp_path, MANY_TASKS)[0]
    cursor = Cursor(execution)
    cursor.add_breakpoint("leaf")
    met = 0
    while cursor.forward().reason == "breakpoint":
        names = [entry.frame.code.qualname for entry in cursor.stack()]
        assert names == ["leaf", "middle", "gathers", "main", "<module>"]
        borders = [entry.border.kind if entry.border else "" for entry in cursor.stack()]
        assert borders == ["", "", "task", "", ""]
        met += 1
    assert met == 60


def test_an_exception_at_an_address_that_is_used_again_is_another_one(tmp_path: Path) -> None:
    cursor = Cursor(record(tmp_path, MANY_TASKS)[0])  # sixty StopIterations flew through library code before it
    cursor.goto_failure()
    assert (cursor.stack()[0].frame.code.qualname, cursor.step.line) == ("main", 12)


STRANGERS = """
import asyncio, functools
async def one():
    await asyncio.sleep(0.01)
async def two():
    await asyncio.sleep(0)
async def main():
    made = [getattr(globals()["o" + "ne"], "__call__"), functools.partial(globals()["tw" + "o"])]
    await asyncio.gather(*[make() for make in made])
asyncio.run(main())
"""


def test_where_no_line_names_a_task_the_only_one_that_waits_is_its_caller(tmp_path: Path) -> None:
    cursor = Cursor(record(tmp_path, STRANGERS)[0])
    cursor.run_to("program.py:4")
    assert [entry.frame.code.qualname for entry in cursor.stack()] == ["one", "main", "<module>"]
    cursor.run_to("program.py:6")
    # `one` waits too, and does not wait for main: nobody can say which of them made it
    assert [entry.frame.code.qualname for entry in cursor.stack()] == ["two", "<module>"]

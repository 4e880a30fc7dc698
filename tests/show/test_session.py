"""A debugger's session on a real recording: any words give an answer, and any answer is harmless text and JSON."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aftertrace.reconstruct.execution import Execution
from aftertrace.show import step
from aftertrace.show.commands import BY_NAME, COMMANDS
from aftertrace.show.console import Console
from aftertrace.show.session import Answer, Session

from ..reconstruct.oracle import record

PROGRAM = r"""
import asyncio
class Order:
    def __init__(self, lines):
        self.lines = lines
        self.password = "secret"
def total(order, *rest, tax=0.2):
    found = 0.0
    for name, price in order.lines:
        found += price * (1 + tax)
        label = f"{name}\x1b[31m\n\x07"
    return found
def numbers(n):
    for i in range(n):
        yield i * i
async def leaf(i):
    await asyncio.sleep(0)
    if i == 2:
        raise ValueError("no \x1b[2J 2")
    return i
async def main():
    got = await asyncio.gather(*[leaf(i) for i in range(4)], return_exceptions=True)
    return [str(one) for one in got]
def deep(n):
    long = "x" * 5000
    wide = {f"key {i}": [i] * 50 for i in range(40)}
    return deep(n - 1) if n else sum(numbers(4))
order = Order([("tea", 3.0), ("\u4e2d\u6587 \u202e", 4.5)])
sums = total(order), deep(30)
asyncio.run(main())
try:
    total(None)
except AttributeError as error:
    failure = error
"""
WORDS = [
    "", "0", "1", "3", "-1", "99999999999999999999", "total", "found", "order.lines[0]", "program.py:10", "start",
    "end", "raise", "cause", "leaf if i == 2", "total if", "x.y.z", "len(order) > 1", "(", "\x00", "\x1b[2J", "é" * 9,
]  # fmt: skip
LINES = st.one_of(
    st.text(max_size=40), st.builds("{} {}".format, st.sampled_from(sorted(BY_NAME)), st.sampled_from(WORDS))
)


@pytest.fixture(scope="module")
def execution(tmp_path_factory: pytest.TempPathFactory) -> Execution:
    return record(tmp_path_factory.mktemp("recorded"), PROGRAM)[0]


def hold(answer: Answer) -> None:
    """JSON on one line, and text that steers no terminal, at any width and with colours too."""
    line = json.dumps(answer)
    assert "\n" not in line
    for console in (Console(40), Console(100), Console(100, colour=True)):
        text = step.render(answer, console)
        text = re.sub(r"\x1b\[[0-9;]*m", "", text) if console.colour else text
        assert all(one.isprintable() for one in text.split("\n")), repr(text)


@settings(max_examples=300, deadline=None)
@given(LINES)
def test_any_line_has_an_answer(execution: Execution, line: str) -> None:
    session = Session(execution)
    hold(session.run(line))
    hold(session.run(""))
    session.complete(line)


def test_a_long_walk_of_any_commands(execution: Execution) -> None:
    session, chance = Session(execution), random.Random(3)
    names = [one.name for one in COMMANDS if one.name != "quit"]
    for _ in range(1500):
        answer = session.run(f"{chance.choice(names)} {chance.choice(WORDS)}".strip())
        assert 0 <= session.cursor.index < len(execution.steps)
        if chance.random() < 0.1:
            hold(answer)


def test_every_command_can_be_called_by_each_of_its_names(execution: Execution) -> None:
    session = Session(execution)
    given = {"print": " 1", "history": " sums", "wrote": " sums", "delete": " 1", "goto": " end"}
    session.run("break total")
    for one in COMMANDS:
        for name in (one.name, *one.short):
            session.run("break total")
            answer = session.run(name + given.get(one.name, ""))
            slug = answer.get("error", {}).get("slug", "")
            assert slug in {"", "no-such-frame", "no-such-name", "no-such-breakpoint"}, (name, answer)
    assert len(BY_NAME) == sum(1 + len(one.short) for one in COMMANDS)  # no name twice


def test_an_empty_line_repeats_and_counts_repeat(execution: Execution) -> None:
    one, other = Session(execution), Session(execution)
    one.run("goto total")
    other.run("goto total")
    one.run("next")
    one.run("")
    one.run("")
    assert other.run("n 3")["step"] == one.cursor.index


def test_completion_names_commands_locals_and_places(execution: Execution) -> None:
    session = Session(execution)
    session.run("goto program.py:10")
    assert session.complete("re") == ["reverse-continue", "reverse-out", "reverse-raise", "reverse-step"]
    assert session.complete("p fo") == ["found"]
    assert session.complete("break to") == ["total"]
    assert "program.py:" in session.complete("break ")
    assert session.complete("goto en") == ["end"]
    assert session.complete("nonsense x") == []


def test_a_generator_a_task_and_a_deep_stack_are_walked(execution: Execution) -> None:
    session = Session(execution)
    session.run("goto numbers")
    answer = session.run("where")
    assert [one["function"] for one in answer["stack"]][:2] == ["numbers", "deep"]
    assert len(answer["stack"]) == 33
    assert session.run("up 40")["selected"] == 32
    session.run("break leaf if i == 2")
    session.run("c")
    assert session.run("p i")["text"] == "2"
    assert [one["function"] for one in session.run("w")["stack"]] == ["leaf", "main", "<module>"]


def test_what_is_redacted_stays_so(execution: Execution) -> None:
    session = Session(execution)
    session.run("goto program.py:10")
    assert "secret" not in json.dumps(session.run("l")) + json.dumps(session.run("p order"))
    answer = session.run("p order.password")
    assert "redacted" in answer["unknown"] + str(answer.get("text"))


def test_a_cause_is_gone_to(execution: Execution, tmp_path: Path) -> None:
    address = execution.steps[20].address
    session = Session(execution, lambda: address)
    assert session.run("goto cause")["address"] == address
    assert Session(execution).run("goto cause")["error"]["slug"] == "no-cause"

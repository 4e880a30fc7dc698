"""Coroutines and generators that were made and never run: named where they were taken for a value, or tested."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from aftertrace.explain.why import why
from aftertrace.reconstruct.build import build

from ..reconstruct.services import Services, running

PROGRAM = """
import asyncio
MOST = {"A": 100}
class RefusedError(Exception):
    pass
async def find(name):
    return {"name": name}
async def allows(name, cents):
    return cents <= 50
async def is_blocked(name):
    return False
def rows(count):
    yield from range(count)
def lookup(name):
    return find(name)
async def taken(body):
    user = lookup(body["name"])
    return user["name"]
async def blocked(body):
    stopped = is_blocked(body["name"])
    if stopped:
        raise RefusedError(body["name"])
    return 1
async def enter(body):
    most = MOST.get(body["name"])
    if most is not None and body["cents"] > most:
        raise ValueError(f"{body['cents']} of {most}")
    return body["cents"]
async def paid(body):
    allowed = allows(body["name"], body["cents"])
    if not allowed:
        return 0
    return await enter(body)
async def compared(body):
    left = allows(body["name"], body["cents"])
    if left is None:
        return 0
    return await enter(body)
async def guard(body):
    allowed = allows(body["name"], body["cents"])
    if not allowed:
        raise RefusedError(body["name"])
async def guarded(body):
    await guard(body)
    return await enter(body)
async def awaited(body):
    allowed = allows(body["name"], body["cents"])
    if allowed is not None:
        await allowed
    return await enter(body)
async def in_a_task(body):
    allowed = allows(body["name"], body["cents"])
    if allowed:
        await asyncio.gather(allowed)
    return await enter(body)
async def many(body):
    found = rows(body["count"])
    if not found:
        return 0
    return 10 // body["count"]
def handle(path, body):
    ways = (taken, blocked, paid, compared, guarded, awaited, in_a_task, many)
    return asyncio.run(next(one for one in ways if one.__name__ == path[1:])(body))
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with running(tmp_path_factory.mktemp("unawaited"), {"app": PROGRAM}) as services:
        yield services


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(PROGRAM.split("\n"), 1) if line.strip() == text)


def said(program: Services, path: str, body: object) -> dict[str, Any]:
    return why(build(program.trace(program.request("app", path, body)))).to_json()


def test_what_the_failing_line_took_for_a_value(program: Services) -> None:
    cause = said(program, "/taken", {"name": "A"})["cause"]
    assert (cause["status"], cause["line"]) == ("verified", line_of("return find(name)"))
    assert cause["says"] == "the coroutine find() was made here and never awaited"


def test_the_branch_that_raised_tested_it(program: Services) -> None:
    cause = said(program, "/blocked", {"name": "A"})["cause"]
    assert (cause["status"], cause["name"]) == ("verified", "stopped")
    assert cause["line"] == line_of('stopped = is_blocked(body["name"])')


def test_a_branch_before_is_likely_and_the_value_of_the_failing_line_stays_named(program: Services) -> None:
    found = said(program, "/paid", {"name": "A", "cents": 900})
    cause = found["cause"]
    assert (cause["status"], cause["name"]) == ("likely", "allowed")
    assert cause["source"] == 'allowed = allows(body["name"], body["cents"])'
    assert f"line {line_of('if not allowed:')} tests it" in cause["says"]
    assert line_of('most = MOST.get(body["name"])') in {one["line"] for one in found["also"]}
    assert found["chain"][0]["source"] == "if not allowed:"


def test_one_that_was_compared_is_not_said_to_be_true(program: Services) -> None:
    cause = said(program, "/compared", {"name": "A", "cents": 900})["cause"]
    assert (cause["status"], cause["name"]) == ("likely", "left")
    assert cause["says"].endswith(f"line {line_of('if left is None:')} compares it, and not what it would have given")


def test_of_a_call_that_had_ended_it_is_named_beside_the_cause(program: Services) -> None:
    found = said(program, "/guarded", {"name": "A", "cents": 900})
    assert found["cause"]["source"] == 'most = MOST.get(body["name"])'
    assert 'allowed = allows(body["name"], body["cents"])' in {one["source"] for one in found["also"]}


@pytest.mark.parametrize("path", ["/awaited", "/in_a_task"])
def test_what_ran_is_not_named(program: Services, path: str) -> None:
    found = said(program, path, {"name": "A", "cents": 900})
    lines = {one["source"] for one in (found["cause"], *found["also"], *found["chain"])}
    assert 'allowed = allows(body["name"], body["cents"])' not in lines


def test_a_generator_is_one_too(program: Services) -> None:
    cause = said(program, "/many", {"count": 0})["cause"]
    assert (cause["status"], cause["source"]) == ("likely", 'found = rows(body["count"])')
    assert "never iterated" in cause["says"]


@pytest.mark.parametrize("path", ["/paid", "/many"])
def test_a_request_that_went_well_has_no_cause(program: Services, path: str) -> None:
    assert said(program, path, {"name": "B", "cents": 1, "count": 5})["cause"]["status"] == "unknown"

"""Line tables against what the interpreter itself says of the same code: lines and columns of every instruction."""

from __future__ import annotations

import ast
import asyncio
import json
import typing
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aftertrace.errors import BadRecording
from aftertrace.wire import linetable
from aftertrace.wire.linetable import Place

ODD = """
def größe(länge, *rest, **mehr):
    return (länge
            + sum(
                rest), f"{länge!r:>{10}}", [x async for x in mehr] if False else
            lambda:
                länge)  # over several lines, names of several bytes
async def later():
    async with a as b, c: await d
    return [i for i in range(3) if (j := i)]
""".replace("[x async for x in mehr] if False else\n            lambda", "lambda")


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _places(code: CodeType) -> dict[int, Place]:
    found = {}
    for unit, (line, end, column, end_column) in enumerate(code.co_positions()):
        if line is not None:
            known = (line, line if end is None else end, -1 if column is None else column)
            found[unit] = Place(*known, -1 if end_column is None else end_column)
    return found


@pytest.mark.parametrize("source", [ast, asyncio.base_events, json.decoder, typing, ODD])
def test_places_are_the_interpreters_own(source: ModuleType | str) -> None:
    text = source if isinstance(source, str) else Path(str(source.__file__)).read_text()
    count = 0
    for code in _codes(compile(text, "given.py", "exec")):
        expected = _places(code)
        assert linetable.places(code.co_linetable, code.co_firstlineno) == expected
        assert linetable.lines(code.co_linetable, code.co_firstlineno) == {u: p.line for u, p in expected.items()}
        count += len(expected)
    assert count > 20


@given(table=st.binary(max_size=60), first=st.integers(0, 1 << 20))
def test_any_bytes_give_places_or_a_clear_error(table: bytes, first: int) -> None:
    found: dict[int, Place] = {}
    told = ""
    try:
        found = linetable.places(table, first)
    except BadRecording as error:
        told = error.message
    assert not told or "a line table" in told
    assert all(0 <= unit < 8 * len(table) for unit in found)


def test_a_table_cut_short_is_told() -> None:
    table = compile("value = [1, 2,\n 3]\n", "given.py", "exec").co_linetable
    whole = linetable.places(table, 1)
    for end in range(len(table)):
        try:
            assert linetable.places(table[:end], 1).items() <= whole.items()
        except BadRecording:
            assert end > 0

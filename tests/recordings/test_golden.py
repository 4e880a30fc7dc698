"""Recordings of earlier days are read as they were then: a format that changes without a new version shows here."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aftertrace import _native
from aftertrace.wire import recording

from .programs import PROGRAMS
from .reading import reading

HERE = Path(__file__).parent
GOLDEN = sorted(HERE.glob("*.atrec.zst"))


def test_there_is_one_of_each_program_and_version() -> None:
    assert {path.name.split("-")[0] for path in GOLDEN} == set(PROGRAMS)
    assert len(GOLDEN) == 2 * len(PROGRAMS)
    assert sum(path.stat().st_size for path in HERE.iterdir() if path.is_file()) < 600_000
    assert recording.VERSION == _native.FORMAT_VERSION == 1


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name.removesuffix(".atrec.zst"))
def test_it_is_read_as_it_was(path: Path) -> None:
    expected = json.loads(path.with_suffix("").with_suffix(".json").read_text())
    found = json.loads(json.dumps(reading(path.read_bytes())))
    assert found.keys() == expected.keys()
    for part in expected:
        assert found[part] == expected[part], part
    assert found["problems"] == []
    assert len(found["steps"]) > 10


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_what_is_known_of_the_programs_is_in_them(version: str) -> None:
    told = {name: reading((HERE / f"{name}-{version}.atrec.zst").read_bytes()) for name in PROGRAMS}
    assert not any("hidden" in text for text in _texts(told["values"]["slices"]))
    results = [step[3] for step in told["calls"]["steps"] if step[:2] == ["return", "checkout"]]
    assert len(results) == 2
    assert told["wrapped"]["slices"][0][0] > 65536
    assert any(step[0] == "gap" for step in told["spans"]["steps"])
    assert {record[0] for _, records in told["spans"]["slices"] for record in records} >= {
        *("SpanStart", "SpanAttr", "SpanEventRecord", "SpanLinkRecord", "SpanStatus", "SpanName", "SpanEnd", "Log"),
        *("KeepRecord", "GapRecord"),
    }


def test_nothing_of_the_machine_is_in_them() -> None:
    for path in GOLDEN:
        files = reading(path.read_bytes())["files"]
        assert set(files.values()) == {f"/srv/app/{path.name.split('-')[0]}.py"}
    assert sys.version_info >= (3, 12)

"""Every program really fails, recorded natively: the cause's line, value and status; no wrong line is verified."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .more_programs import DOUBTFUL, HOSTILE, WAYS
from .programs import BUGS
from .recorded import ALL, answer, marked, place, record

KEYS = {"trace_id", "request", "kept", "coverage", "cause", "also", "chain", "failure", "ruled_out", "unknown", "next"}


@pytest.mark.parametrize("name", ALL)
def test_cause(tmp_path: Path, name: str) -> None:
    bug = ALL[name]
    said = answer(record(tmp_path, bug))
    cause, lines = said["cause"], marked(bug)
    assert said.keys() >= KEYS
    json.dumps(said)
    assert cause["status"] in {"verified", "likely", "unknown"}
    if cause["status"] == "verified":
        assert place(cause) in lines, cause
        assert cause["doubts"] == []
    if cause["status"] == "unknown":
        assert (cause["path"], cause["line"], cause["value"]) == ("", 0, None)
    if bug.status in {"verified", "likely", "unknown"}:
        assert cause["status"] == bug.status, cause
        assert bug.status == "unknown" or not lines or place(cause) in lines, cause
    if bug.status == "likely":
        assert cause["doubts"]
        assert said["unknown"]
    shown = (cause["value"] or {}).get("value", {})
    if bug.name:
        assert cause["name"] == bug.name
        assert shown["type"] == type(bug.value).__name__
    if cause["status"] == "verified" and bug.value is not None and "scalar" in shown:
        assert shown["scalar"] == bug.value  # it may be unknown, never another


def test_programs_are_of_many_kinds() -> None:
    """Nothing is skipped: each list is there, and most of the first can be proven."""
    assert len(BUGS) >= 28
    assert min(len(WAYS), len(DOUBTFUL), len(HOSTILE)) >= 8
    proven = [bug for bug in BUGS.values() if bug.status == "verified"]
    assert len(proven) >= 20


def test_both_candidates_are_named(tmp_path: Path) -> None:
    bug = DOUBTFUL["two operands that are both None"]
    said = answer(record(tmp_path, bug))
    named = {place(said["cause"]), *(place(one) for one in said["also"])}
    assert named == marked(bug)
    assert any("as suspect" in doubt for doubt in said["cause"]["doubts"])


def test_the_sender_is_named_too(tmp_path: Path) -> None:
    """A field that the receiver lacks: the reader's line, and beside it the line that made what was sent."""
    said = answer(record(tmp_path, WAYS["field missing at the border"]))
    assert [place(one) for one in said["also"]] == [("front", 4)]


def test_the_chain_crosses_the_border(tmp_path: Path) -> None:
    said = answer(record(tmp_path, BUGS["renamed at the border"]))
    services = [link["service"] for link in said["chain"]]
    assert said["cause"]["service"] == "front"
    assert services.index("back") > 0
    assert any(link["border"] and link["border"]["kind"] == "http" for link in [said["cause"], *said["chain"]])
    assert (said["failure"]["service"], said["failure"]["says"]) == ("back", "KeyError: 'de-0'")


def test_values_that_do_not_explain_it_are_doubted(tmp_path: Path) -> None:
    """The source says 5, and 10 / 5 does not fail: what the name held is not recorded."""
    said = answer(record(tmp_path, DOUBTFUL["a constant that is not constant"]))
    assert any("do not explain" in doubt for doubt in said["cause"]["doubts"])


def test_too_deep_recursion_is_no_values_fault(tmp_path: Path) -> None:
    said = answer(record(tmp_path, HOSTILE["endless recursion"]))
    assert said["cause"]["status"] != "verified"
    assert said["failure"]["exception"] == "RecursionError"

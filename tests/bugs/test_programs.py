"""Each program runs, is well as long as its bug is not triggered, and then fails as its truth says."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest
from planted import Bug, Program, names

HEALTHY = 26
LOG_SECONDS = 5.0


def test_there_are_twenty() -> None:
    assert len(names()) == 20


@pytest.mark.whole
@pytest.mark.parametrize("name", names())
def test_a_program_is_well_and_then_fails_as_its_truth_says(
    start: Callable[[str], tuple[Bug, Program]], name: str
) -> None:
    if name == "stale_cache" and shutil.which("redis-server") is None:
        pytest.skip("redis-server is not there")
    bug, program = start(name)
    seen = bug.seen
    healthy = program.traffic("healthy", "--count", str(HEALTHY))
    assert {status[0] for status in healthy["statuses"]} == {"2"}, healthy
    assert not _logged(program, seen, seconds=0.3)
    assert "ERROR" in "".join(process.log_text() for process in program.by_role.values())  # decoys, when all is well
    report = program.traffic("failing")
    assert len(report["failing"]) == 1
    failed = report["failing"][0]
    assert failed["status"] == seen["status"], report
    assert len(failed["trace_id"]) == 32
    assert failed["ms"] >= seen.get("slower_than_ms", 0), report
    assert seen.get("body", failed["body"]) == failed["body"]
    assert not seen.get("log") or _logged(program, seen, LOG_SECONDS)


def _logged(program: Program, seen: dict[str, Any], seconds: float) -> bool:
    """Whether the log line of the failure is there within ``seconds``."""
    if "log" not in seen:
        return False
    until = time.monotonic() + seconds
    while seen["log"]["text"] not in program.by_role[seen["log"]["role"]].log_text():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True

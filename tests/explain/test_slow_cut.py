"""Slow requests of which something is missing, or whose clocks are off: no wrong line is proven, and nothing breaks."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from aftertrace.wire import recording
from aftertrace.wire.bundle import TraceData

from ..reconstruct.services import shifted
from .recorded import place
from .slow_programs import REPEATED, SINGLE, Slow, skus
from .test_cut import _from, _maimed, _until, _with
from .test_slow import asked, marked, record

CASES = {
    "property": replace(REPEATED["a property that asks the database"], body=skus(50)),
    "generator": replace(REPEATED["in a generator"], body=skus(50)),
    "calls": replace(REPEATED["a call to a service for each"], body=skus(20)),
    "coroutines": replace(REPEATED["coroutines awaited one after the other"], body=skus(20)),
    "statement": SINGLE["one slow statement"],
    "sleep": SINGLE["a line that sleeps"],
}
SECOND = 10**9

type Case = tuple[Slow, TraceData, list[TraceData]]


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    program = CASES[request.param]
    slow, healthy = record(tmp_path_factory.mktemp("slow"), program)
    return program, slow, healthy


def check(program: Slow, slow: TraceData, healthy: list[TraceData]) -> str:
    """The status; what must hold of any answer."""
    said = asked(slow, healthy)
    cause, finding = said["cause"], said["finding"]
    assert cause["status"] != "verified" or place(cause) in marked(program), cause
    if finding is not None and finding["kind"] == "slow":
        assert sum(row["total_ns"] for row in finding["where"]) == finding["duration_ns"]
    return str(cause["status"])


def test_slices_cut(case: Case) -> None:
    program, slow, healthy = case
    reads = [recording.read(one) for one in slow.recordings]
    longest = max(range(len(reads)), key=lambda n: sum(len(one.records) for one in reads[n].slices))
    size = max((len(one.records) for one in reads[longest].slices), default=0)
    for cut in range(0, size, max(size // 12, 1)):
        for siblings in (healthy, []):
            check(program, _with(slow, longest, lambda read, at=cut: _from(read, at)), siblings)
            check(program, _with(slow, longest, lambda read, at=cut: _until(read, at)), siblings)


@pytest.mark.parametrize("seed", range(8))
def test_anything_missing(case: Case, seed: int) -> None:
    program, slow, healthy = case
    chance = random.Random(seed)
    for _ in range(3):
        check(program, _maimed(slow, chance), [_maimed(one, chance) for one in healthy])
        check(program, _maimed(slow, chance), [])


def test_no_spans_no_sources_no_recordings(case: Case) -> None:
    program, slow, healthy = case
    for less in (
        replace(slow, spans=[]),
        replace(slow, sources={}),
        replace(slow, sources=dict.fromkeys(slow.sources, "def (\x00")),
        replace(slow, recordings=[]),
        replace(slow, recordings=[], spans=[]),
        replace(slow, spans=[replace(one, end_ns=0) for one in slow.spans]),
        replace(slow, spans=[replace(one, end_ns=one.start_ns) for one in slow.spans]),
        replace(slow, spans=[replace(one, parent_id=slow.spans[-1].span_id) for one in slow.spans]),
    ):
        check(program, less, healthy)
        check(program, less, [])


@pytest.mark.parametrize("off", [-3600 * SECOND, -SECOND, SECOND // 1000, 3600 * SECOND])
def test_another_hosts_clock(case: Case, off: int) -> None:
    """A service whose clock is off: the same line, and the same sum."""
    program, slow, healthy = case
    service = list(program.services)[-1]
    moved = shifted(slow, service, off)
    status = check(program, moved, healthy)
    if len(program.services) > 1:
        assert status == program.status

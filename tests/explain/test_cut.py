"""Recordings from which something is missing: ``why`` always answers, soon, and calls no wrong line verified."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from aftertrace import _native
from aftertrace.model import Span
from aftertrace.wire import recording
from aftertrace.wire.bundle import TraceData
from aftertrace.wire.recording import Recording

from .more_programs import HOSTILE, WAYS
from .programs import BUGS, Bug
from .recorded import answer, marked, place, record

CASES = {
    name: (BUGS | WAYS)[name]
    for name in (
        "wrong default",
        "renamed at the border",
        "through two borders and back",
        "the sender's wrong list",
        "through a task",
        "through a generator",
        "swallowed, then failing later",
        "an attribute that is counted",
        "recursion",
        "a starred call",
    )
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bug, TraceData]:
    bug = CASES[request.param]
    return bug, record(tmp_path_factory.mktemp("cut"), bug)


def check(bug: Bug, trace: TraceData) -> str:
    """The status; what must hold of any answer."""
    said = answer(trace)
    cause = said["cause"]
    assert cause["status"] != "verified" or place(cause) in marked(bug), cause
    return str(cause["status"])


def test_whole(case: tuple[Bug, TraceData]) -> None:
    bug, trace = case
    assert check(bug, trace) == "verified"


def test_without_sources(case: tuple[Bug, TraceData]) -> None:
    bug, trace = case
    assert check(bug, replace(trace, sources={})) == "unknown"
    said = answer(replace(trace, sources={}))
    assert any("source" in one for one in said["unknown"])


def test_source_of_another_version(case: tuple[Bug, TraceData]) -> None:
    """The hash names a text that is not what ran: lines do not fit, nothing may be verified from them wrongly."""
    bug, trace = case
    assert check(bug, replace(trace, sources=dict.fromkeys(trace.sources, ""))) == "unknown"
    assert check(bug, replace(trace, sources=dict.fromkeys(trace.sources, "def (\x00"))) == "unknown"


def test_without_recordings(case: tuple[Bug, TraceData]) -> None:
    """Spans alone: which service failed is known, why is not, and the answer says so."""
    said = answer(replace(case[1], recordings=[]))
    assert said["cause"]["status"] == "unknown"
    assert said["failure"]["kind"] == "answer"
    assert any("no recording" in one for one in said["unknown"])
    assert said["coverage"]["recorded"] == 0


def test_without_spans(case: tuple[Bug, TraceData]) -> None:
    bug, trace = case
    check(bug, replace(trace, spans=[]))


def test_nothing(case: tuple[Bug, TraceData]) -> None:
    said = answer(TraceData(case[1].trace_id))
    assert said["failure"]["kind"] == "none"
    assert said["cause"]["status"] == "unknown"
    assert any("nothing failed" in one for one in said["unknown"])


def test_without_one_service(case: tuple[Bug, TraceData]) -> None:
    bug, trace = case
    for number in range(len(trace.recordings)):
        check(bug, replace(trace, recordings=trace.recordings[:number] + trace.recordings[number + 1 :]))


def test_slices_cut(case: tuple[Bug, TraceData]) -> None:
    """The beginning of a ring is overwritten, or its end never came."""
    bug, trace = case
    reads = [recording.read(one) for one in trace.recordings]
    longest = max(range(len(reads)), key=lambda n: sum(len(one.records) for one in reads[n].slices))
    size = max((len(one.records) for one in reads[longest].slices), default=0)
    for cut in range(0, size, max(size // 25, 1)):
        check(bug, _with(trace, longest, lambda read, at=cut: _from(read, at)))
        check(bug, _with(trace, longest, lambda read, at=cut: _until(read, at)))


def _from(read: Recording, at: int) -> Recording:
    slices = [replace(one, position=one.position + at, records=one.records[at:]) for one in read.slices]
    return replace(read, slices=[one for one in slices if one.records])


def _until(read: Recording, at: int) -> Recording:
    return replace(read, slices=[replace(one, records=one.records[:at]) for one in read.slices])


def _with(trace: TraceData, number: int, change: Callable[[Recording], Recording]) -> TraceData:
    recordings = list(trace.recordings)
    recordings[number] = recording.write(change(recording.read(recordings[number])))
    return replace(trace, recordings=recordings)


@pytest.mark.parametrize("seed", range(12))
def test_anything_missing(case: tuple[Bug, TraceData], seed: int) -> None:
    bug, trace = case
    chance = random.Random(seed)
    for _ in range(4):
        check(bug, _maimed(trace, chance))


def _maimed(trace: TraceData, chance: random.Random) -> TraceData:
    recordings = [recording.write(_less(recording.read(one), chance)) for one in trace.recordings]
    recordings = [_flipped(one, chance) if chance.random() < 0.2 else one for one in recordings]
    spans = [_odd(one, chance) for one in trace.spans if chance.random() < 0.85]
    sources = {key: text for key, text in trace.sources.items() if chance.random() < 0.8}
    return replace(trace, recordings=chance.sample(recordings, len(recordings)), spans=spans, sources=sources)


def _less(read: Recording, chance: random.Random) -> Recording:
    """Without some slices, a part of one, some definitions, clocks or source hashes."""
    slices = [one for one in read.slices if chance.random() < 0.9]
    if slices and chance.random() < 0.5:
        at = chance.randrange(len(slices[0].records) + 1)
        slices[0] = replace(slices[0], records=slices[0].records[:at])
    changed = replace(read, slices=slices)
    if chance.random() < 0.3:
        codes = {key: code for key, code in read.definitions.codes.items() if chance.random() < 0.8}
        changed = replace(changed, definitions=replace(read.definitions, codes=codes))
    if chance.random() < 0.3:
        changed = replace(changed, sources={})
    return changed


def _flipped(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def _odd(span: Span, chance: random.Random) -> Span:
    if chance.random() < 0.1:
        return replace(span, end_ns=0)
    if chance.random() < 0.1:
        return replace(span, parent_id="")
    return span


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_in_time(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    bug = HOSTILE[name]
    trace = record(tmp_path_factory.mktemp("hostile"), bug)
    check(bug, trace)
    check(bug, replace(trace, sources={}))


@pytest.mark.parametrize("name", ["wrong default", "renamed at the border"])
def test_calls_only(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """No lines: the failing function and the exception are known, which values led there is not, and it says so."""
    bug = CASES[name]
    trace = record(tmp_path_factory.mktemp("calls"), bug, level=_native.LEVEL_CALLS)
    said = answer(replace(trace, recordings=[_at_level(one, "calls") for one in trace.recordings]))
    assert said["cause"]["status"] != "verified"
    assert said["failure"]["exception"]
    assert said["unknown"]
    assert {one["level"] for one in said["coverage"]["services"]} == {"calls"}


def _at_level(data: bytes, level: str) -> bytes:
    read = recording.read(data)
    return recording.write(replace(read, meta=replace(read.meta, level=level)))

"""What a request waited for was held by others of its process: the line at which they took it, really recorded."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from aftertrace.explain.why import ask
from aftertrace.reconstruct.build import build
from aftertrace.reconstruct.execution import StepKind
from aftertrace.show import why as rendering
from aftertrace.show.console import Console
from aftertrace.wire.bundle import TraceData

from ..reconstruct.services import running
from .shops import Traces, as_siblings, kept_for

SECONDS = 1.5
POOL = """
import queue, time
from contextlib import contextmanager
FREE = queue.Queue()
FREE.put("c1")
@contextmanager
def connection():
    taken = FREE.get(timeout=30)
    try:
        yield taken
    finally:
        FREE.put(taken)
def printed(seconds):
    with connection() as one:  # held
        time.sleep(seconds)
        return one
def looked_up():
    with connection() as one:
        return one
def handle(path, body):
    if path == "/held":
        return FREE.empty()
    return printed(body["seconds"]) if path == "/print" else looked_up()
"""
LOCK = """
import threading, time
LOCK = threading.Lock()
COUNT = 0
def packed(seconds):
    time.sleep(seconds)
    return seconds
def append(seconds):
    global COUNT
    with LOCK:  # held
        COUNT += packed(seconds)
    return COUNT
def handle(path, body):
    if path == "/held":
        return LOCK.locked()
    return append(body["seconds"] if path == "/print" else 0)
"""


class Beside(Traces):
    """One that was slow, its healthy siblings, and those that overlapped it."""

    def __init__(self, slow: TraceData, healthy: list[TraceData], beside: list[TraceData]) -> None:
        super().__init__([slow, *healthy, *beside], [one.trace_id for one in healthy])
        self._beside = beside

    def neighbours(self, trace_id: str, limit: int) -> list[str]:
        return [one.trace_id for one in self._beside][:limit]


@pytest.fixture(scope="module", params=[POOL, LOCK], ids=["pool", "lock"])
def jam(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    """The program, and traces: the one that waited, healthy ones, the one that it waited for."""
    text = request.param
    with running(tmp_path_factory.mktemp("jam"), {"app": text.replace("  # held", "")}) as services:
        healthy = [services.trace(services.request("app", "/look", {})) for _ in range(6)]
        ids: list[str] = []
        held = threading.Thread(target=lambda: ids.append(services.request("app", "/print", {"seconds": SECONDS})))
        held.start()
        until = time.monotonic() + 20
        while not _answer(services, "/held") and time.monotonic() < until:
            time.sleep(0.01)
        waited = services.trace(services.request("app", "/look", {}))
        held.join()
        return text, (kept_for(waited, "latency"), as_siblings(healthy), services.trace(ids[0]))


def _answer(services: Any, path: str) -> bool:
    """What a request of no trace that anybody asks for was answered."""
    steps = build(services.trace(services.request("app", path, {}))).steps
    return any(step.kind is StepKind.RETURN and step.value is not None and step.value.scalar is True for step in steps)


def held_line(text: str) -> int:
    return next(n for n, line in enumerate(text.split("\n"), 1) if line.endswith("  # held"))


def asked(slow: TraceData, healthy: list[TraceData], beside: list[TraceData]) -> dict[str, Any]:
    said = ask(Beside(slow, healthy, beside), reference=slow.trace_id).to_json()
    text = rendering.render(said, Console(100))
    assert len(text.splitlines()) <= 19
    return said


def test_the_line_that_took_it(jam: tuple[str, Any]) -> None:
    text, (slow, healthy, holder) = jam
    said = asked(slow, healthy, [holder])
    cause = said["cause"]
    assert (cause["status"], cause["line"]) == ("likely", held_line(text)), said
    assert "1 other request held it, the longest for" in cause["says"]
    assert said["finding"]["held"]["traces"] == [holder.trace_id]
    assert said["finding"]["held"]["longest_ns"] >= SECONDS * 0.9e9
    assert not any("who held" in one for one in said["unknown"])
    assert any(one == f"show {holder.trace_id[:8]}" for one in said["next"])
    if text is LOCK:
        assert "in packed() (:11)" in cause["says"]
    else:
        assert cause["address"] == ""  # a step of another request
        assert [one["line"] for one in said["chain"]] == [8]


def test_nobody_is_called_who_is_not_there(jam: tuple[str, Any]) -> None:
    """Without the one that held it: where it waited, and no more."""
    text, (slow, healthy, _) = jam
    said = asked(slow, healthy, [])
    assert "held" not in said["finding"]
    assert said["cause"]["line"] == (8 if text is POOL else held_line(text))


def test_one_that_was_beside_it_and_held_nothing(jam: tuple[str, Any]) -> None:
    _, (slow, healthy, _) = jam
    assert "held" not in asked(slow, healthy[1:], healthy[:1])["finding"]
